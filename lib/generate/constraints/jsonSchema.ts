import { Automaton } from './automaton.js'
import {
  character, choice, difference, emptyText, everyCharacter, intersection, literal, noText, optional, repetition, sequence, type CodePoints, type Language,
} from './language.js'
import { integersBetween } from './integers.js'
import { containing, regularExpression } from './regularExpression.js'
import { type Alternative, annotations, fail, keywords, list, type Schema, SchemaAlternatives, types, valuesOf } from './schemaAlternatives.js'

export interface JsonSchemaOptions {
  /** Between the parts of the text: a regular expression. Default ' ?', nothing or a space. */
  whitespace?: string | undefined
  /** How deeply values without a schema, and schemas that refer to themselves, may nest. Default 4. */
  maxDepth?: number | undefined
}

/**
 * The JSON texts that a schema validates, as far as an automaton can tell: properties in the order of the schema, the optional ones there or not, and no others
 * unless `additionalProperties` describes them. Recursion is unrolled as deeply as `maxDepth` says; parts that hold at once (`allOf`, `$ref` and what stands beside it)
 * are joined keyword by keyword.
 * @throws ConfigError that names keywords that are not supported, and where they stand
 * @see https://json-schema.org/draft/2020-12
 */
export function jsonSchema(schema: unknown, { whitespace = ' ?', maxDepth = 4 }: JsonSchemaOptions = {}): Language {
  return new Reader(schema, regularExpression(whitespace), maxDepth).read(schema, '#', new Map())
}

class Reader {
  private readonly alternatives: SchemaAlternatives

  constructor(root: unknown, private readonly space: Language, private readonly maxDepth: number) { this.alternatives = new SchemaAlternatives(root, maxDepth) }

  /** @param within how often each reference is being followed */
  read(schema: unknown, path: string, within: ReadonlyMap<string, number>): Language {
    return choice(...this.alternatives.of(schema, path, within).map(alternative => this.alternative(alternative)))
  }

  private alternative({ schema: s, path, within }: Alternative): Language {
    const only = (...names: readonly string[]): void => {
      const others = Object.keys(s).filter(key => !annotations.has(key) && !names.includes(key))
      if (others.length > 0) fail(path, `${others.join(', ')} ${others.length > 1 ? 'are' : 'is'} not supported${names.length > 1 ? ` beside ${names[0]!}` : ''}`)
    }
    if ('const' in s || 'enum' in s) return this.values(s, path, within)
    const given = s['type'] ?? this.impliedType(s, path)
    if (given === undefined) {
      only()
      return this.anyValue(this.maxDepth)
    }
    const named = Array.isArray(given) ? given as unknown[] : [given]
    for (const type of named) if (!types.includes(type as string)) fail(path, `type is ${JSON.stringify(type)}, expected one of ${types.join(', ')}`)
    only('type', ...named.flatMap(type => keywords[type as string]!))
    return choice(...named.map(type => this.ofType(type as string, s, path, within)))
  }

  /** Those of the listed values that fit the rest of the schema. */
  private values(s: Schema, path: string, within: ReadonlyMap<string, number>): Language {
    if ('enum' in s) list(s['enum'], `${path}/enum`)
    if (s['type'] !== undefined) for (const type of [s['type']].flat()) if (!types.includes(type as string)) fail(path, `type is ${JSON.stringify(type)}, expected one of ${types.join(', ')}`)
    const listed = valuesOf(s)!, { const: _, enum: __, ...rest } = s
    if (Object.keys(rest).every(key => key === 'type' || annotations.has(key))) return choice(...listed.map(value => literal(JSON.stringify(value))))
    const composed = listed.find(value => typeof value === 'object' && value !== null)
    if (composed !== undefined) return fail(path, `${JSON.stringify(composed)} among the values beside ${Object.keys(rest).filter(key => !annotations.has(key)).join(', ')} is not supported`)
    const fitting = matcher(this.alternative({ schema: rest, path, within }))
    return choice(...listed.map(value => JSON.stringify(value)).filter(fitting).map(literal))
  }

  private impliedType(s: Schema, path: string): string | undefined {
    const implied = types.filter(type => keywords[type]!.some(key => key in s))
    return implied.length > 1 ? fail(path, `type is missing: ${implied.join(' and ')} have keywords`) : implied[0]
  }

  private ofType(type: string, s: Schema, path: string, within: ReadonlyMap<string, number>): Language {
    switch (type) {
      case 'object': return this.object(s, path, within)
      case 'array': return this.array(s, path, within)
      case 'string': return this.string(s, path)
      case 'integer': return integer(s, path)
      case 'number': return number
      case 'boolean': return boolean
      default: return literal('null')
    }
  }

  private object(s: Schema, path: string, within: ReadonlyMap<string, number>): Language {
    const properties = (s['properties'] ?? {}) as Schema, required = s['required'] === undefined ? [] : list(s['required'], `${path}/required`)
    const names = Object.keys(properties), additional = s['additionalProperties']
    for (const name of required) if (!names.includes(name as string)) fail(`${path}/required`, `${JSON.stringify(name)} is not among the properties`)
    if (names.length === 0) {
      const value = additional === undefined || additional === true ? this.anyValue(this.maxDepth - 1) : this.read(additional, `${path}/additionalProperties`, within)
      return this.braced('{', repeatedBetween(this.pair(string(), value), this.comma, ...bounds(s, 'Properties', path)), '}')
    }
    if (typeof additional === 'object' && additional !== null) fail(`${path}/additionalProperties`, 'with a schema is not supported beside properties')
    for (const key of ['minProperties', 'maxProperties']) if (key in s) fail(path, `${key} is not supported beside properties`)
    const parts = names.map(name => ({
      pair: this.pair(literal(JSON.stringify(name)), this.read(properties[name], `${path}/properties/${name}`, within)), needed: required.includes(name),
    }))
    // From the last property to the first: what may follow where a property was before, and where none was.
    let behind: Language = emptyText, first: Language = emptyText
    for (const { pair, needed } of parts.reverse()) {
      const [next, begun]: [Language, Language] = [sequence(this.comma, pair, behind), sequence(pair, behind)]
      first = needed ? begun : choice(begun, first)
      behind = needed ? next : sequence(optional(sequence(this.comma, pair)), behind)
    }
    return this.braced('{', first, '}')
  }

  private array(s: Schema, path: string, within: ReadonlyMap<string, number>): Language {
    const prefix = s['prefixItems'] === undefined ? [] : list(s['prefixItems'], `${path}/prefixItems`)
    const [least, most] = bounds(s, 'Items', path)
    const item = 'items' in s ? this.read(s['items'], `${path}/items`, within) : this.anyValue(this.maxDepth - 1)
    if (prefix.length === 0) return this.braced('[', repeatedBetween(item, this.comma, least, most), ']')
    const first = prefix.map((own, i) => this.read(own, `${path}/prefixItems/${i}`, within))
    if (most < first.length || least < first.length) {
      if (s['items'] !== false && !(most <= first.length)) fail(path, 'minItems below the number of prefixItems is not supported, unless items is false')
      const some = Array.from({ length: Math.min(most, first.length) - least + 1 }, (_, i) => separated(first.slice(0, least + i), this.comma))
      return this.braced('[', choice(...some), ']')
    }
    return this.braced('[', sequence(separated(first, this.comma), repetition(sequence(this.comma, item), least - first.length, most - first.length)), ']')
  }

  private string(s: Schema, path: string): Language {
    const { pattern, format } = s
    if (pattern === undefined && format === undefined) return string(...bounds(s, 'Length', path))
    if ('minLength' in s || 'maxLength' in s || (pattern !== undefined && format !== undefined)) fail(path, 'only one of pattern, format, and minLength with maxLength is supported')
    if (typeof format === 'string' && Object.hasOwn(formats, format)) return quoted(escaped(regularExpression(formats[format]!)))
    if (format !== undefined) return fail(path, `format is ${JSON.stringify(format)}, known are ${Object.keys(formats).join(', ')}`)
    try {
      return quoted(escaped(containing(pattern as string)))
    } catch (cause) {
      return fail(`${path}/pattern`, (cause as Error).message)
    }
  }

  /** Any JSON value whose arrays and objects nest at most so deeply. */
  private anyValue(depth: number): Language {
    const flat = [string(), number, boolean, literal('null')]
    if (depth <= 0) return choice(...flat)
    const inner = this.anyValue(depth - 1)
    return choice(...flat, this.braced('[', repeatedBetween(inner, this.comma), ']'), this.braced('{', repeatedBetween(this.pair(string(), inner), this.comma), '}'))
  }

  private pair(name: Language, value: Language): Language { return sequence(name, this.space, literal(':'), this.space, value) }
  private get comma(): Language { return sequence(this.space, literal(','), this.space) }
  private braced(open: string, inside: Language, close: string): Language { return sequence(literal(open), this.space, inside, this.space, literal(close)) }
}

/** Items with something between them; the loop is built once, however long it runs. */
function repeatedBetween(item: Language, between: Language, least = 0, most = Infinity): Language {
  if (most < 1) return least > 0 ? noText : emptyText
  const some = sequence(item, repetition(sequence(between, item), Math.max(0, least - 1), most - 1))
  return least === 0 ? optional(some) : some
}

const separated = (items: readonly Language[], between: Language): Language => sequence(...items.flatMap((item, i) => i === 0 ? [item] : [between, item]))

const one = (...set: CodePoints): Language => character(set)
const [zeroToNine, oneToNine] = [one([0x30, 0x39]), one([0x31, 0x39])]
const digits = repetition(zeroToNine, 1)
const whole = sequence(optional(literal('-')), choice(literal('0'), sequence(oneToNine, repetition(zeroToNine, 0))))
const number = sequence(whole, optional(sequence(literal('.'), digits)), optional(sequence(one([0x45, 0x45], [0x65, 0x65]), optional(one([0x2B, 0x2B], [0x2D, 0x2D])), digits)))
const boolean = choice(literal('true'), literal('false'))

const hex: CodePoints = [[0x30, 0x39], [0x41, 0x46], [0x61, 0x66]], afterD: CodePoints = [[0x30, 0x37]]
const special: CodePoints = [[0, 0x1F], [0x22, 0x22], [0x5C, 0x5C]]
const anyHex = character(hex), dOrE = (from: number): CodePoints => [[0x41 + from, 0x46], [0x61 + from, 0x66]]
/** \u and what follows it, of one character: those of a surrogate pair belong together. */
const coded = sequence(literal('\\u'), choice(
  sequence(character(difference(hex, [[0x44, 0x44], [0x64, 0x64]])), anyHex, anyHex, anyHex), sequence(one([0x44, 0x44], [0x64, 0x64]), character(afterD), anyHex, anyHex),
  sequence(one([0x44, 0x44], [0x64, 0x64]), one([0x38, 0x39], [0x41, 0x42], [0x61, 0x62]), anyHex, anyHex, literal('\\u'), one([0x44, 0x44], [0x64, 0x64]), character(dOrE(2)), anyHex, anyHex)))
const inString = choice(character(difference(everyCharacter, special)), sequence(literal('\\'), one([0x22, 0x22], [0x2F, 0x2F], [0x5C, 0x5C], [0x62, 0x62], [0x66, 0x66], [0x6E, 0x6E], [0x72, 0x72], [0x74, 0x74])), coded)

const quoted = (inside: Language): Language => sequence(literal('"'), inside, literal('"'))
const string = (least = 0, most = Infinity): Language => quoted(repetition(inString, least, most))

/** A language of texts as that of what stands for them between quotes: what has to be escaped is. */
function escaped(language: Language): Language {
  switch (language.kind) {
    case 'sequence': return sequence(...language.parts.map(escaped))
    case 'choice': return choice(...language.options.map(escaped))
    case 'repetition': return repetition(escaped(language.of), language.least, language.most)
    case 'character': {
      const marked = intersection(language.of, special).flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => literal(JSON.stringify(String.fromCodePoint(from + i)).slice(1, -1))))
      return choice(character(difference(language.of, special)), ...marked)
    }
  }
}

const date = '\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])', time = '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)'
const byte = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const formats: Readonly<Record<string, string>> = {
  'date': date, 'time': time, 'date-time': `${date}T${time}`, 'uuid': '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'ipv4': `${byte}(\\.${byte}){3}`,
  'email': '[A-Za-z0-9_%+-]+(\\.[A-Za-z0-9_%+-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+',
}

function integer(s: Schema, path: string): Language {
  const bound = (key: string, beyond: string, step: number): number | undefined => {
    const [closed, open] = [s[key], s[beyond]].map((value, i) => value === undefined || Number.isSafeInteger(value) ? value as number | undefined
      : fail(path, `${[key, beyond][i]!} is ${JSON.stringify(value)}, expected a whole number`))
    return closed === undefined ? open === undefined ? undefined : open + step : open === undefined ? closed : step > 0 ? Math.max(closed, open + 1) : Math.min(closed, open - 1)
  }
  const [least, most] = [bound('minimum', 'exclusiveMinimum', 1), bound('maximum', 'exclusiveMaximum', -1)]
  return least === undefined && most === undefined ? whole : integersBetween(least ?? -Infinity, most ?? Infinity)
}

function bounds(s: Schema, of: 'Items' | 'Length' | 'Properties', path: string): [number, number] {
  const [least, most] = (['min', 'max'] as const).map(end => {
    const value = s[end + of]
    return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0) ? value as number | undefined : fail(path, `${end}${of} is ${JSON.stringify(value)}, expected a whole number >= 0`)
  })
  return [least ?? 0, most ?? Infinity]
}

const encoder = new TextEncoder()

/** Whether texts are of the language. */
function matcher(language: Language): (text: string) => boolean {
  const automaton = new Automaton(language)
  return text => {
    let state = automaton.start
    for (const byte of encoder.encode(text)) if ((state = automaton.next(state, byte)) < 0) return false
    return automaton.accepts(state)
  }
}
