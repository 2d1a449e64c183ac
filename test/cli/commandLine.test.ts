import { describe, expect, test } from '@jest/globals'
import { commands } from '#lib/cli/commandLine.js'
import { kebab, parseCommandLine, UsageError } from '#lib/cli/arguments.js'
import { runCli } from './runCli.js'

const parse = (name: string, ...args: string[]) => parseCommandLine(name, commands[name]!, args)

describe('every flag of every command', () => {
  const flags = Object.entries(commands).flatMap(([name, { flags }]) => Object.entries(flags).map(([flag, { value }]) => [name, flag, value] as const))

  test.each(flags)('%s: %s with a letter too many is an error that names it', (name, flag) => {
    const typo = `--${kebab(flag)}q`
    expect(() => parse(name, typo)).toThrow(UsageError)
    expect(() => parse(name, typo)).toThrow(`unknown option ${typo}; do you mean --${kebab(flag)}?`)
  })

  test.each(flags)('%s: %s without its value, or a switch with one, is an error', (name, flag, value) => {
    if (value === undefined) expect(() => parse(name, `--${kebab(flag)}=yes`)).toThrow('takes no value')
    else expect(() => parse(name, `--${kebab(flag)}`)).toThrow('needs a value')
  })

  test.each(flags)('%s: %s twice is an error', (name, flag, value) => {
    const once = value === undefined ? [`--${kebab(flag)}`] : [`--${kebab(flag)}`, '1']
    expect(() => parse(name, ...once, ...once)).toThrow('given twice')
  })
})

test('values are texts until a command asks for more: a file may be called 007', () => {
  const { operands, options } = parse('translate', '007', '--num-beams', '3', '--output=08')
  expect(operands).toEqual(['007'])
  expect(options.text('output')).toBe('08')
  expect(options.count('numBeams')).toBe(3)
})

test('a negative number is a value, another flag is none', () => {
  expect(parse('translate', 'model', '--length-penalty', '-0.5').options.number('lengthPenalty')).toBe(-0.5)
  expect(() => parse('translate', 'model', '--output', '--scores')).toThrow('--output needs a value, but --scores follows')
})

test('switches can be negated, values cannot', () => {
  expect(parse('train', 'a.tsv', '--no-norm-first').options.on('normFirst')).toBe(false)
  expect(() => parse('train', 'a.tsv', '--no-max-steps')).toThrow('unknown option --no-max-steps')
})

test('numbers that are none are named', () => {
  const { options } = parse('translate', 'model', '--num-beams', 'four')
  expect(() => options.count('numBeams')).toThrow("--num-beams is 'four', expected a number")
  expect(() => parse('translate', 'model', '--num-beams', '1.5').options.count('numBeams')).toThrow('expected a whole number')
})

test('too few and too many arguments show how the command is used', () => {
  expect(() => parse('info')).toThrow('usage: warpweft info MODEL')
  expect(() => parse('info', 'a', 'b')).toThrow("unexpected argument 'b'")
})

test('exit codes: 0 for help and version, 2 for what cannot be understood; errors go to standard error', async () => {
  const [help, version, unknown] = await Promise.all([runCli(['--help']), runCli(['--version']), runCli(['tranlsate'])])
  expect(help).toMatchObject({ code: 0, err: '' })
  for (const name of Object.keys(commands)) expect(help.out).toContain(name)
  expect(version).toMatchObject({ code: 0, err: '' })
  expect(version.out).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(unknown).toMatchObject({ code: 2, out: '' })
  expect(unknown.err).toMatch(/^warpweft: there is no command 'tranlsate'; do you mean translate\? .*\n$/)
})
