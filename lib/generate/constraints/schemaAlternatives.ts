import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '../../errors.js'

export type Schema = Readonly<Record<string, unknown>>

/** A schema without `$ref`, `anyOf`, `oneOf` and `allOf`: these say which alternatives there are. */
export interface Alternative {
  readonly schema: Schema
  /** Where it stands, for errors. */
  readonly path: string
  /** How often each reference has been followed. */
  readonly within: ReadonlyMap<string, number>
}

/** Keywords that say something about the schema, not about values. */
export const annotations = new Set(['$schema', '$id', '$comment', '$defs', 'definitions', 'title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly'])
/** Keywords of each type. */
export const keywords: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'], string: ['minLength', 'maxLength', 'pattern', 'format'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'], number: [], boolean: [], null: [],
}
export const types = Object.keys(keywords)

export function fail(path: string, message: string): never { throw new ConfigError(`JSON schema, ${path}: ${message}`) }
export const list = (value: unknown, path: string): readonly unknown[] => Array.isArray(value) && value.length > 0 ? value as unknown[] : fail(path, `is ${JSON.stringify(value)}, expected a list`)

/** Most alternatives of one schema: each becomes states of an automaton. */
const mostAlternatives = 256

/** Takes schemas apart, following references into `root` at most `maxDepth` times beyond the first each. */
export class SchemaAlternatives {
  constructor(private readonly root: unknown, private readonly maxDepth: number) {}

  /**
   * Values fit a schema if they fit one of its alternatives, each of which has the keywords of all parts that hold at once.
   * @throws ConfigError for parts that cannot be joined, a reference that leads nowhere, and options of a `oneOf` that may hold at once
   */
  of(schema: unknown, path: string, within: ReadonlyMap<string, number>): readonly Alternative[] {
    if (schema === true) return [{ schema: {}, path, within }]
    if (schema === false) return []
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return fail(path, `is ${JSON.stringify(schema)}, expected a schema`)
    const { $ref, anyOf, oneOf, allOf, ...own } = schema as Schema
    let found: readonly Alternative[] = [{ schema: own, path, within }]
    if ($ref !== undefined) found = this.joined(found, this.referred($ref, path, within), path)
    if (allOf !== undefined) list(allOf, `${path}/allOf`).forEach((part, i) => { found = this.joined(found, this.of(part, `${path}/allOf/${i}`, within), path) })
    if (anyOf !== undefined) found = this.joined(found, list(anyOf, `${path}/anyOf`).flatMap((option, i) => this.of(option, `${path}/anyOf/${i}`, within)), path)
    if (oneOf !== undefined) {
      const options = list(oneOf, `${path}/oneOf`).map((option, i) => this.joined(found, this.of(option, `${path}/oneOf/${i}`, within), path))
      this.requireDisjoint(options, `${path}/oneOf`)
      found = options.flat()
    }
    return found
  }

  private referred(to: unknown, path: string, within: ReadonlyMap<string, number>): readonly Alternative[] {
    if (typeof to !== 'string' || !/^#(\/|$)/.test(to)) return fail(path, `$ref is ${JSON.stringify(to)}, expected a place in this schema, such as #/$defs/name`)
    const times = within.get(to) ?? 0
    if (times > this.maxDepth) return []
    let found: unknown = this.root
    for (const name of to.split('/').slice(1)) {
      const key = decodeURIComponent(name).replaceAll('~1', '/').replaceAll('~0', '~')
      found = typeof found === 'object' && found !== null && Object.hasOwn(found, key) ? (found as Schema)[key] : fail(path, `$ref leads to ${to}, which is not there`)
    }
    return this.of(found, to, new Map(within).set(to, times + 1))
  }

  /** Each of `a` together with each of `b`. */
  private joined(a: readonly Alternative[], b: readonly Alternative[], path: string): readonly Alternative[] {
    if (a.length * b.length > mostAlternatives) fail(path, `has ${a.length * b.length} alternatives, more than ${mostAlternatives}`)
    return a.flatMap(x => b.flatMap(y => {
      if (isEmpty(x.schema)) return [{ ...y, within: deepest(x.within, y.within) }]
      const schema = isEmpty(y.schema) ? x.schema : merged(x.schema, y.schema, x.path)
      return schema ? [{ schema, path: x.path, within: deepest(x.within, y.within) }] : []
    }))
  }

  private requireDisjoint(options: readonly (readonly Alternative[])[], path: string): void {
    options.forEach((some, i) => {
      for (let k = i + 1; k < options.length; k++) {
        if (!this.areDisjoint(some, options[k]!)) {
          fail(path, `options ${i} and ${k} may hold at once, which is not supported: they need different types, values, or a required property whose values differ. Use anyOf where both may hold`)
        }
      }
    })
  }

  /** Whether it is certain that no value fits one of `some` and one of `others`. */
  private areDisjoint(some: readonly Alternative[], others: readonly Alternative[]): boolean { return some.every(a => others.every(b => this.differ(a, b))) }

  private differ(a: Alternative, b: Alternative): boolean {
    const [x, y] = [valuesOf(a.schema), valuesOf(b.schema)], [of, allowed] = [typesOf(a.schema), typesOf(b.schema)]
    if (x && y) return !x.some(value => y.some(other => isDeepStrictEqual(value, other)))
    if (x) return x.every(value => !allowed.has(typeOf(value)))
    if (y) return y.every(value => !of.has(typeOf(value)))
    const shared = [...of].filter(type => allowed.has(type))
    return shared.length === 0 || (shared.length === 1 && shared[0] === 'object' && this.objectsDiffer(a, b))
  }

  /** By a property that one needs and the other cannot have, or that both need with different values. */
  private objectsDiffer(a: Alternative, b: Alternative): boolean {
    const facts = ({ schema }: Alternative) => ({ properties: (schema['properties'] ?? {}) as Schema, needed: (schema['required'] ?? []) as readonly string[], closed: schema['additionalProperties'] === false })
    const [x, y] = [facts(a), facts(b)], lacks = (one: typeof x, other: typeof x): boolean => one.closed && other.needed.some(name => !Object.hasOwn(one.properties, name))
    if (lacks(x, y) || lacks(y, x)) return true
    return x.needed.some(name => y.needed.includes(name) && Object.hasOwn(x.properties, name) && Object.hasOwn(y.properties, name)
      && this.areDisjoint(this.of(x.properties[name], `${a.path}/properties/${name}`, a.within), this.of(y.properties[name], `${b.path}/properties/${name}`, b.within)))
  }
}

const isEmpty = (schema: Schema): boolean => Object.keys(schema).every(key => annotations.has(key))

const deepest = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): ReadonlyMap<string, number> => new Map([...a, ...[...b].map(([to, times]) => [to, Math.max(times, a.get(to) ?? 0)] as const)])

/** 'number' for those that are no whole ones. */
function typeOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value === 'number' ? Number.isInteger(value) ? 'integer' : 'number' : typeof value
}

/** Types that values may have; whole numbers are numbers as well. */
function typesOf({ type, ...schema }: Schema): ReadonlySet<string> {
  const implied = types.filter(name => keywords[name]!.some(key => key in schema)), named = type === undefined ? implied.length === 1 ? implied : types : Array.isArray(type) ? type as string[] : [type as string]
  return new Set(named.flatMap(name => name === 'number' ? ['number', 'integer'] : [name]))
}

/** The values that `const` or `enum` lists, of those types that the schema names. */
export function valuesOf(schema: Schema): readonly unknown[] | undefined {
  const values = 'const' in schema ? [schema['const']] : schema['enum'] as readonly unknown[] | undefined
  if (!values || schema['type'] === undefined) return values
  const allowed = typesOf({ type: schema['type'] })
  return values.filter(value => allowed.has(typeOf(value)))
}

/** The keywords of both; undefined if nothing fits both. @throws ConfigError for keywords that cannot be joined */
function merged(a: Schema, b: Schema, path: string): Schema | undefined {
  const out: Record<string, unknown> = { ...a, ...properties(a, b, path) }
  for (const [key, y] of Object.entries(b)) {
    const x = out[key]
    if (annotations.has(key) || ['properties', 'additionalProperties'].includes(key) || isDeepStrictEqual(x, y)) continue
    if (key === 'const' || key === 'enum') {
      if (!('const' in out) && !('enum' in out)) { out[key] = y; continue }
      const both = valuesOf({ ...out, type: undefined })!.filter(value => valuesOf({ [key]: y })!.some(other => isDeepStrictEqual(value, other)))
      if (both.length === 0) return undefined
      delete out['const']
      out['enum'] = both
    } else if (x === undefined) out[key] = y
    else if (key === 'type') {
      const both = [...typesOf({ type: x })].filter(type => typesOf({ type: y }).has(type)), named = both.includes('number') ? both.filter(type => type !== 'integer') : both
      if (named.length === 0) return undefined
      out['type'] = named
    } else if (key === 'required') out[key] = [...new Set([...x as string[], ...y as string[]])]
    else if (key === 'items') out[key] = { allOf: [x, y] }
    else if (/^(min|exclusiveMin)/.test(key)) out[key] = Math.max(x as number, y as number)
    else if (/^(max|exclusiveMax)/.test(key)) out[key] = Math.min(x as number, y as number)
    else fail(path, `${key} in two parts that hold at once is not supported`)
  }
  if ('items' in out && 'prefixItems' in out && !('items' in a && 'prefixItems' in a) && !('items' in b && 'prefixItems' in b)) fail(path, 'items and prefixItems in two parts that hold at once are not supported')
  // What no part allows cannot be there.
  if (out['additionalProperties'] === false && ((out['required'] ?? []) as readonly string[]).some(name => !Object.hasOwn((out['properties'] ?? {}) as Schema, name))) return undefined
  return out
}

/** Properties that both allow: what one describes and the other forbids is left out. */
function properties(a: Schema, b: Schema, path: string): Record<string, unknown> {
  const [x, y] = [a, b].map(schema => (schema['properties'] ?? {}) as Schema) as [Schema, Schema], closed = [a, b].map(schema => schema['additionalProperties'] === false) as [boolean, boolean]
  for (const [one, other] of [[a, b], [b, a]] as const) {
    if (typeof one['additionalProperties'] === 'object' && one['additionalProperties'] !== null && ('properties' in other || 'additionalProperties' in other))
      fail(path, 'additionalProperties with a schema is not supported beside properties of a part that holds at once')
  }
  const names = [...new Set([...Object.keys(x), ...Object.keys(y)])].filter(name => (Object.hasOwn(x, name) || !closed[0]) && (Object.hasOwn(y, name) || !closed[1]))
  const together = (name: string): unknown => Object.hasOwn(x, name) && Object.hasOwn(y, name) ? isDeepStrictEqual(x[name], y[name]) ? x[name] : { allOf: [x[name], y[name]] } : x[name] ?? y[name]
  const additional = closed[0] || closed[1] ? false : a['additionalProperties'] ?? b['additionalProperties']
  return {
    ...('properties' in a || 'properties' in b ? { properties: Object.fromEntries(names.map(name => [name, together(name)])) } : {}),
    ...(additional === undefined ? {} : { additionalProperties: additional }),
  }
}
