import { readFile } from 'node:fs/promises'
import { parse, YAMLParseError } from 'yaml'
import { ConfigError } from '../errors.js'
import { ioError } from '../io/ioError.js'
import { closest } from '../spelling.js'

/** What a recipe says, by the names of the flags in camelCase. */
export type Recipe = Readonly<Record<string, unknown>>

/**
 * Reads a recipe in YAML (or JSON, which is YAML).
 * @param known names that it may have @throws ConfigError for what is no recipe, and for names that are not known   @throws CheckpointError if the system refuses
 */
export async function readRecipe(path: string, known: readonly string[]): Promise<Recipe> {
  let text: string, recipe: unknown
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw ioError('read', path, error)
  }
  try {
    recipe = parse(text)
  } catch (cause) {
    if (!(cause instanceof YAMLParseError)) throw cause
    throw new ConfigError(`${path}: ${cause.message.replace(/\s*\n[\s\S]*/, '')}`, { cause })
  }
  if (typeof recipe !== 'object' || recipe === null || Array.isArray(recipe)) throw new ConfigError(`${path}: expected names with values, as in 'learningRate: 1e-4'`)
  const unknown = Object.keys(recipe).filter(name => !known.includes(name))
  if (unknown.length > 0) {
    const meant = closest(unknown[0]!, known)
    // Quoted, so that the command line does not make flags of them.
    throw new ConfigError(`${path}: unknown ${quoted(unknown)}${meant === undefined ? '' : `; do you mean '${meant}'?`} Known are ${quoted(known)}`)
  }
  return recipe as Recipe
}

const quoted = (names: readonly string[]): string => names.map(name => `'${name}'`).join(', ')
