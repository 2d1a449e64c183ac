import { DataError } from '../errors.js'

/** A sentence and its translation. */
export interface Pair { source: string, target: string }

/** Why a line is not of the format. */
export class Malformed {
  readonly problem: string
  constructor(problem: string) { this.problem = problem }
}

/** Columns of source and target: numbers from 0, or names that the first line gives. */
export type Columns = readonly [number, number] | readonly [string, string]

/**
 * Reads lines of tab-separated columns, without quoting, the first of which is a header (undefined) if columns are named. Default: the only
 * two columns.
 */
export function tsvLines(columns: Columns | undefined, path: string): (line: string) => Pair | Malformed | undefined {
  const named = typeof columns?.[0] === 'string' ? columns as readonly [string, string] : undefined
  let chosen = named ? undefined : columns as readonly [number, number] | undefined
  return line => {
    const fields = line.split('\t')
    if (named && !chosen) {
      const absent = named.find(name => !fields.includes(name))
      if (absent !== undefined) throw new DataError(`${path}: no column '${absent}'; by its first line the columns are ${fields.join(', ')}`)
      chosen = [fields.indexOf(named[0]), fields.indexOf(named[1])]
      return undefined
    }
    if (!chosen && fields.length !== 2) {
      return new Malformed(`expected 2 columns separated by a tab, got ${fields.length}`
        + (fields.length > 2 ? '. Choose with columns: [0, 1]' : '. If each language has a file of its own, give both'))
    }
    const [source, target] = chosen ?? [0, 1], needed = Math.max(source, target) + 1
    if (fields.length < needed) return new Malformed(`expected at least ${needed} columns separated by tabs, got ${fields.length}`)
    return { source: fields[source]!, target: fields[target]! }
  }
}

/** Reads JSON lines with a text under each of two keys. */
export function jsonPairs([sourceKey, targetKey]: readonly [string, string]): (line: string) => Pair | Malformed {
  return line => {
    const source = jsonText(line, sourceKey), target = jsonText(line, targetKey)
    if (typeof source !== 'string') return source
    if (typeof target !== 'string') return target
    return { source, target }
  }
}

/** The text under a key of a line of JSON; dots in the key go into objects where there is no such key itself. */
export function jsonText(line: string, key: string): string | Malformed {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    return new Malformed(`not JSON (${(error as Error).message}); expected one object a line`)
  }
  if (!isRecord(value)) return new Malformed(`expected a JSON object, got ${line.trim().slice(0, 40)}. An array must be written one object a line`)
  const text = valueAt(value, key)
  if (typeof text === 'string') return text
  const keys = Object.keys(value).map(k => `'${k}'`).join(', ')
  return new Malformed(`no text under the key '${key}'; the object has ${keys || 'no keys'}. Say which keys hold the text`)
}

function valueAt(value: Record<string, unknown>, key: string): unknown {
  if (Object.hasOwn(value, key)) return value[key]
  const dot = key.indexOf('.'), inner = dot > 0 && Object.hasOwn(value, key.slice(0, dot)) ? value[key.slice(0, dot)] : undefined
  return isRecord(inner) ? valueAt(inner, key.slice(dot + 1)) : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
