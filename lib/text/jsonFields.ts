import { TokenizerError } from '../errors.js'

/** An object of a tokenizer.json. */
export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reads the fields of one component of a tokenizer.json and names component and field when one is not what it must be. */
export class Fields {
  readonly #object: Json
  readonly #name: string

  constructor(object: unknown, name: string) {
    if (!isObject(object)) throw new TokenizerError(`tokenizer.json: ${name} is ${describe(object)}, expected an object. ${advice}`)
    this.#object = object
    this.#name = typeof object['type'] === 'string' ? `${name} (${object['type']})` : name
  }

  get type(): string { return this.string('type') }

  string(key: string, fallback?: string): string {
    return this.#read(key, 'a string', (value): value is string => typeof value === 'string', fallback)
  }

  boolean(key: string, fallback?: boolean): boolean {
    return this.#read(key, 'true or false', (value): value is boolean => typeof value === 'boolean', fallback)
  }

  number(key: string, fallback?: number): number {
    return this.#read(key, 'a number', (value): value is number => typeof value === 'number', fallback)
  }

  list(key: string, fallback?: unknown[]): unknown[] {
    return this.#read(key, 'a list', (value): value is unknown[] => Array.isArray(value), fallback)
  }

  object(key: string, fallback?: Json): Json {
    return this.#read(key, 'an object', isObject, fallback)
  }

  /** `undefined` where the field is absent or null. */
  optionalString(key: string): string | undefined {
    return this.has(key) ? this.string(key) : undefined
  }

  has(key: string): boolean {
    return this.#object[key] !== undefined && this.#object[key] !== null
  }

  /** A TokenizerError that names this component. */
  error(message: string, options?: ErrorOptions): TokenizerError {
    return new TokenizerError(`tokenizer.json: ${this.#name}: ${message}`, options)
  }

  #read<T>(key: string, expected: string, accepts: (value: unknown) => value is T, fallback: T | undefined): T {
    const value = this.#object[key] ?? fallback
    if (accepts(value)) return value
    throw this.error(`${key} is ${describe(value)}, expected ${expected}. ${advice}`)
  }
}

const advice = 'Is the file complete? Save it again from the tokenizer that made it.'

/** A value in a few words, for error messages. */
export function describe(value: unknown): string {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return 'a list'
  if (isObject(value)) return 'an object'
  const text = JSON.stringify(value) ?? typeof value   // a function or a symbol has no JSON
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
