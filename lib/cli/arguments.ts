import { parseArgs } from 'node:util'
import { closest } from '../spelling.js'

/** A command line that cannot be understood: one line, exit code 2. */
export class UsageError extends Error {}

/** A flag; `value` names what follows it, and is left out for switches (`--name`, `--no-name`). */
export interface Flag { readonly value?: string, readonly about: string }

export interface Command {
  readonly about: string
  /** As in `warpweft translate MODEL [FILE…]`. */
  readonly usage: string
  /** Least and most arguments beside the flags. */
  readonly operands: readonly [number, number]
  /** By option name in camelCase; on the command line it is in kebab-case. */
  readonly flags: Readonly<Record<string, Flag>>
  /** @returns the exit code */
  run(operands: readonly string[], options: Options): Promise<number>
}

export type Option = string | boolean

/** The flags that were given, by their names in camelCase. */
export class Options {
  constructor(private readonly given: ReadonlyMap<string, Option>) {}

  has(name: string): boolean { return this.given.has(name) }
  on(name: string): boolean { return this.given.get(name) === true }

  text(name: string): string | undefined {
    const value = this.given.get(name)
    return value === undefined ? undefined : String(value)
  }

  /** @throws UsageError for what is no finite number */
  number(name: string): number | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const number = Number(value)
    if (value.trim() === '' || !Number.isFinite(number)) throw new UsageError(`--${kebab(name)} is '${value}', expected a ${Math.abs(number) === Infinity ? 'finite ' : ''}number`)
    return number
  }

  /** @throws UsageError for what is no whole number, or below `least` */
  count(name: string, least = 0): number | undefined {
    const number = this.number(name)
    if (number !== undefined && !(Number.isSafeInteger(number) && number >= least))
      throw new UsageError(`--${kebab(name)} is ${this.text(name)}, expected a whole number >= ${least}`)
    return number
  }

  /** @throws UsageError for another word */
  word<const W extends string>(name: string, words: readonly W[]): W | undefined {
    const value = this.text(name)
    if (value === undefined || (words as readonly string[]).includes(value)) return value as W | undefined
    throw new UsageError(`--${kebab(name)} is '${value}', expected one of ${words.join(', ')}`)
  }
}

export const kebab = (name: string): string => name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
const camel = (name: string): string => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** @throws UsageError for what the command does not know, with the name that was probably meant */
export function parseCommandLine(name: string, command: Command, args: readonly string[]): { operands: string[], options: Options } {
  const help = `Run \`warpweft ${name} --help\` for the list.`
  const known = Object.keys(command.flags).map(kebab)
  const options = Object.fromEntries(Object.entries(command.flags).map(([flag, { value }]) =>
    [kebab(flag), { type: value === undefined ? 'boolean' as const : 'string' as const }]))
  // Not strict, so that the messages are our own: parseArgs would name the first problem only, and not what was meant.
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true })
  const operands: string[] = [], given = new Map<string, Option>()
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const negated = token.name.startsWith('no-') && !known.includes(token.name), flag = camel(negated ? token.name.slice(3) : token.name)
    const found = Object.hasOwn(command.flags, flag) ? command.flags[flag] : undefined
    if (!found || (negated && found.value !== undefined)) {
      const meant = closest(token.name, known)
      throw new UsageError(`unknown option ${token.rawName}${meant === undefined ? '.' : `; do you mean --${meant}?`} ${help}`)
    }
    if (given.has(flag)) throw new UsageError(`--${kebab(flag)} is given twice`)
    if (found.value === undefined) {
      if (token.value !== undefined) throw new UsageError(`--${kebab(flag)} takes no value, got '${token.value}'`)
      given.set(flag, !negated)
    } else {
      if (token.value === undefined || token.value === '') throw new UsageError(`--${kebab(flag)} needs a value: --${kebab(flag)} ${found.value}`)
      if (!token.inlineValue && /^--?[a-z]/.test(token.value)) {
        throw new UsageError(`--${kebab(flag)} needs a value, but ${token.value} follows. Write --${kebab(flag)}=${token.value} if that is the value.`)
      }
      given.set(flag, token.value)
    }
  }
  const [least, most] = command.operands
  if (operands.includes('')) throw new UsageError(`an argument is empty. Usage: warpweft ${command.usage}`)
  if (operands.length < least) throw new UsageError(`usage: warpweft ${command.usage}`)
  if (operands.length > most) throw new UsageError(`unexpected argument '${operands[most]}'. Usage: warpweft ${command.usage}`)
  return { operands, options: new Options(given) }
}

/** What `--help` prints for a command. */
export function commandHelp({ about, usage, flags }: Command): string {
  const rows = Object.entries(flags).map(([name, { value, about }]) => [`--${kebab(name)}${value === undefined ? '' : ` ${value}`}`, about] as const)
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  return [`${about}`, '', `  warpweft ${usage}`, ...(rows.length > 0 ? ['', 'Options'] : []), ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)].join('\n')
}
