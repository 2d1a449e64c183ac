import { ConfigError } from '../../errors.js'

/** What a value must be: in words, for the message, and as a test. */
export interface Kind<T> { readonly accepts: string, readonly test: (value: unknown) => boolean, readonly type?: T }
/** An option that has to be given. */
export interface Needed<T> { readonly kind: Kind<T>, readonly needed: true }
/** An option that may be left out; `initial` stands for it then. */
export interface Optional<T, I> { readonly kind: Kind<T>, readonly needed: false, readonly initial: I }

/** The options of one schedule by name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a table of options of any types
export type Options = Readonly<Record<string, Needed<any> | Optional<any, any>>>
type NeededNames<S extends Options> = { [K in keyof S]: S[K] extends Needed<unknown> ? K : never }[keyof S]
type TypeOf<O> = O extends Needed<infer T> ? T : O extends Optional<infer T, unknown> ? T : never

/** What a caller writes for the options `S`. */
export type Given<S extends Options> =
  { readonly [K in NeededNames<S>]: TypeOf<S[K]> } & { readonly [K in Exclude<keyof S, NeededNames<S>>]?: TypeOf<S[K]> | undefined }
/** What a schedule receives: every option has a value. */
export type Filled<S extends Options> =
  { readonly [K in keyof S]: S[K] extends Optional<infer T, infer I> ? T | I : TypeOf<S[K]> }

export const needed = <T>(kind: Kind<T>): Needed<T> => ({ kind, needed: true })
export const optional = <T, I>(kind: Kind<T>, initial: I): Optional<T, I> => ({ kind, needed: false, initial })

const finite = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const wholeFrom = (least: number) => (value: unknown) => Number.isSafeInteger(value) && (value as number) >= least

export const count: Kind<number> = { accepts: 'a whole number >= 0', test: wholeFrom(0) }
export const positiveCount: Kind<number> = { accepts: 'a whole number >= 1', test: wholeFrom(1) }
export const amount: Kind<number> = { accepts: 'a finite number >= 0', test: value => finite(value) && value >= 0 }
export const positive: Kind<number> = { accepts: 'a finite number > 0', test: value => finite(value) && value > 0 }
export const fraction: Kind<number> = { accepts: 'a number from 0 to 1', test: value => finite(value) && value >= 0 && value <= 1 }
export const belowOne: Kind<number> = { accepts: 'a number > 0 and < 1', test: value => finite(value) && value > 0 && value < 1 }
export const flag: Kind<boolean> = { accepts: 'true or false', test: value => typeof value === 'boolean' }
export const counts: Kind<readonly number[]> = {
  accepts: 'a list of whole numbers >= 0', test: value => Array.isArray(value) && value.every(wholeFrom(0)),
}
export const oneOf = <const T extends string>(...words: T[]): Kind<T> =>
  ({ accepts: `one of ${words.join(', ')}`, test: value => (words as unknown[]).includes(value) })

/**
 * Fills in what was left out and checks what was given.
 *
 * A trainer knows `totalSteps` and `warmupSteps` for every schedule, so these names are always known. A total that a schedule has no
 * use for changes nothing and is passed over; a warm-up that it would not do is refused, because silence would change the training.
 *
 * @throws ConfigError that names the option, what it accepts and what came
 */
export function fill<S extends Options>(schedule: string, options: S, given: Readonly<Record<string, unknown>>): Filled<S> {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(options, name) || name === 'totalSteps' || given[name] === undefined) continue
    if (name === 'warmupSteps') {
      if (given[name] === 0) continue
      throw new ConfigError(`schedule ${schedule}: has no warm-up, but warmupSteps is ${shown(given[name])}. `
        + 'Leave it out, or take a schedule with a warm-up, such as constant_with_warmup or linear.')
    }
    throw new ConfigError(`schedule ${schedule}: unknown option ${name}. Known are ${Object.keys(options).join(', ')}.`)
  }
  const filled = Object.entries(options).map(([name, option]) => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined
    if (value === undefined) {
      if (option.needed) throw new ConfigError(`schedule ${schedule}: needs ${name}, ${option.kind.accepts}.`)
      return [name, option.initial as unknown]
    }
    if (!option.kind.test(value)) throw new ConfigError(`schedule ${schedule}: ${name} must be ${option.kind.accepts}, not ${shown(value)}.`)
    return [name, value]
  })
  return Object.fromEntries(filled) as Filled<S>
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : Array.isArray(value) ? `[${value.map(String).join(', ')}]` : String(value)
}
