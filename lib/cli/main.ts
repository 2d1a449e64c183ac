#!/usr/bin/env node
import { readFileSync, realpathSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { WarpweftError } from '../errors.js'
import { closest } from '../spelling.js'
import { commandHelp, parseCommandLine, UsageError, type Command } from './arguments.js'
import { bench } from './bench.js'
import { demo } from './demo.js'
import { doctor } from './doctor.js'
import { evaluate } from './evaluate.js'
import { info } from './info.js'
import { train } from './train.js'
import { translate } from './translate.js'

export const commands: Readonly<Record<string, Command>> = { demo, train, translate, evaluate, info, doctor, bench }

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

function overview(): string {
  const width = Math.max(...Object.keys(commands).map(name => name.length))
  return [
    `warpweft ${version}: train Transformers, translate with them`, '',
    ...Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`), '',
    '`warpweft COMMAND --help` says more of one. WARPWEFT_THREADS bounds the threads, WARPWEFT_DEBUG=1 shows where an error came from.',
  ].join('\n')
}

/** Runs a command line. @returns the exit code: 0, 1 for an error, 2 for a command line that cannot be understood, 130 and 143 after a signal */
export async function main(args: readonly string[]): Promise<number> {
  const [name = '--help', ...rest] = args
  try {
    if (name === '--help' || name === '-h' || name === 'help') {
      const of = name === 'help' && rest[0] !== undefined ? commands[rest[0]] : undefined
      console.log(of ? commandHelp(of) : overview())
      return 0
    }
    if (name === '--version' || name === '-v') {
      console.log(version)
      return 0
    }
    const command = Object.hasOwn(commands, name) ? commands[name]! : undefined
    if (!command) {
      const meant = closest(name, Object.keys(commands))
      throw new UsageError(`there is no command '${name}'${meant === undefined ? '' : `; do you mean ${meant}?`} Known are ${Object.keys(commands).join(', ')}.`)
    }
    if (rest.includes('--help') || rest.includes('-h')) {
      console.log(commandHelp(command))
      return 0
    }
    const { operands, options } = parseCommandLine(name, command, rest)
    return await command.run(operands, options)
  } catch (error) {
    if (process.env['WARPWEFT_DEBUG'] === '1') console.error(error)
    else console.error(`warpweft: ${oneLine(error)}`)
    return error instanceof UsageError ? 2 : 1
  }
}

function oneLine(error: unknown): string {
  if (error instanceof UsageError || error instanceof WarpweftError) return error.message.replace(/\s*\n\s*/g, ' ')
  const message = error instanceof Error ? `${error.name}: ${error.message}`.replace(/\s*\n\s*/g, ' ') : String(error)
  return `${message} (unexpected; WARPWEFT_DEBUG=1 shows where it came from)`
}

// Only where this file is the program: tests import it.
if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  // A reader that has enough (`warpweft translate … | head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => { process.exit(error.code === 'EPIPE' ? 0 : 1) })
  void main(process.argv.slice(2)).then(code => { process.exitCode = code })
}
