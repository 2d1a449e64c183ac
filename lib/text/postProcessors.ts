import { TokenizerError } from '../errors.js'
import type { Span } from './alignedText.js'
import { byteCharacters } from './byteLevel.js'
import { insertedTokens, type TextEncoding } from './encoding.js'
import { Fields, isObject, type Json } from './jsonFields.js'

/** Adds special tokens around one text or a pair. */
export interface PostProcessor {
  process(encodings: TextEncoding[], addSpecialTokens: boolean): TextEncoding[]
  /** How many tokens it adds to one text, or to a pair. */
  added(pair: boolean): number
}

/**
 * The `post_processor` of a tokenizer.json.
 * @throws TokenizerError for an unknown type or a field that is not what it must be
 */
export function postProcessor(config: unknown): PostProcessor {
  if (config === null || config === undefined) return { process: encodings => encodings, added: () => 0 }
  const fields = new Fields(config, 'post_processor')
  switch (fields.type) {
    case 'Sequence': return chain(fields.list('processors').map(postProcessor))
    case 'ByteLevel': return byteLevel(fields)
    case 'TemplateProcessing': return template(fields)
    case 'BertProcessing': {
      const [cls, sep] = [namedToken(fields, 'cls'), namedToken(fields, 'sep')]
      return templateOf([[cls, 0], ['A', 0], [sep, 0]], [[cls, 0], ['A', 0], [sep, 0], ['B', 1], [sep, 1]])
    }
    case 'RobertaProcessing': {
      const [cls, sep] = [namedToken(fields, 'cls'), namedToken(fields, 'sep')]
      const inner = templateOf([[cls, 0], ['A', 0], [sep, 0]], [[cls, 0], ['A', 0], [sep, 0], [sep, 0], ['B', 0], [sep, 0]])
      return fields.boolean('trim_offsets', true) ? chain([trimming(fields.boolean('add_prefix_space', true)), inner]) : inner
    }
    default: throw new TokenizerError(`tokenizer.json: unknown post_processor ${JSON.stringify(fields.type)}. Known are Sequence, `
      + 'ByteLevel, '
      + 'TemplateProcessing, BertProcessing, RobertaProcessing.')
  }
}

function chain(steps: PostProcessor[]): PostProcessor {
  return {
    process: (encodings, addSpecialTokens) => steps.reduce((current, step) => step.process(current, addSpecialTokens), encodings),
    added: pair => steps.reduce((sum, step) => sum + step.added(pair), 0),
  }
}

function byteLevel(fields: Fields): PostProcessor {
  if (!fields.boolean('trim_offsets', true)) return { process: encodings => encodings, added: () => 0 }
  return trimming(fields.boolean('add_prefix_space', true))
}

/** Leaves the spaces that byte-level tokens begin or end with out of their offsets. */
function trimming(addPrefixSpace: boolean): PostProcessor {
  const space = byteCharacters[0x20] as string
  const isSpace = (character = ''): boolean => character === space || /^\p{White_Space}$/u.test(character)
  const trimmed = (token: string, [start, end]: Span, first: boolean, text: string): Span => {
    let leading = 0, trailing = 0
    while (isSpace(token[leading])) leading++
    while (isSpace(token[token.length - 1 - trailing])) trailing++
    // The space that was put before the text is not part of it.
    if (leading > 0 && first && addPrefixSpace) leading--
    let from = start, to = end
    for (; leading > 0 && from < end; leading--) from += (text.codePointAt(from) as number) > 0xffff ? 2 : 1
    for (; trailing > 0 && to > from; trailing--) to -= /[\udc00-\udfff]/.test(text[to - 1] as string) ? 2 : 1
    return [from, to]
  }
  return {
    process: encodings => encodings.map(encoding => ({
      ...encoding,
      offsets: encoding.offsets.map((span, i) => trimmed(encoding.tokens[i] as string, span, i === 0 || span[0] === 0, encoding.text)),
    })),
    added: () => 0,
  }
}

interface SpecialToken { ids: number[], tokens: string[] }
/** A text ('A' or 'B') or special tokens, and the type id that they get. */
type TemplatePiece = [content: 'A' | 'B' | SpecialToken, typeId: number]

function template(fields: Fields): PostProcessor {
  const special = fields.object('special_tokens', {})
  const pieces = (key: string): TemplatePiece[] => fields.list(key).map((item): TemplatePiece => {
    const [kind, value] = isObject(item) ? Object.entries(item)[0] ?? [] : []
    const piece = isObject(value) ? value : {} as Json
    const id = piece['id'], typeId = typeof piece['type_id'] === 'number' ? piece['type_id'] : 0
    if (kind === 'Sequence' && (id === 'A' || id === 'B')) return [id, typeId]
    const token = typeof id === 'string' ? special[id] : undefined
    if (kind !== 'SpecialToken' || !isObject(token) || !Array.isArray(token['ids']) || !Array.isArray(token['tokens'])
      || token['ids'].length !== token['tokens'].length) {
      throw fields.error(`${key} has the item ${JSON.stringify(item)}, expected { Sequence: { id: "A" | "B" } } or { SpecialToken: { `
        + 'id } } with an entry in special_tokens.')
    }
    return [{ ids: token['ids'] as number[], tokens: token['tokens'] as string[] }, typeId]
  })
  return templateOf(pieces('single'), pieces('pair'))
}

function templateOf(single: TemplatePiece[], pair: TemplatePiece[]): PostProcessor {
  return {
    process(encodings, addSpecialTokens) {
      return (encodings.length > 1 ? pair : single).flatMap(([content, typeId]): TextEncoding[] => {
        if (content === 'A' || content === 'B') {
          const encoding = encodings[content === 'A' ? 0 : 1]
          return encoding ? [{ ...encoding, typeIds: encoding.ids.map(() => typeId) }] : []
        }
        return addSpecialTokens ? content.ids.map((id, i) => insertedTokens(id, content.tokens[i] as string, typeId, 1)) : []
      })
    },
    added: isPair => (isPair ? pair : single).reduce((sum, [content]) => sum + (typeof content === 'string' ? 0 : content.ids.length), 0),
  }
}

/** A `[token, id]` field. */
function namedToken(fields: Fields, key: string): SpecialToken {
  const [token, id] = fields.list(key)
  if (typeof token !== 'string' || typeof id !== 'number') throw fields.error(`${key} is not [token, id]. Is the file complete?`)
  return { ids: [id], tokens: [token] }
}
