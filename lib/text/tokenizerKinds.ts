import { ConfigError, TokenizerError } from '../errors.js'
import { byteCharacters } from './byteLevel.js'
import { describe, type Json } from './jsonFields.js'
import { specialTokenRoles, type SpecialTokenNames, type SpecialTokenRole } from './specialTokens.js'

export const tokenizerKinds = ['bytelevel', 'bpe', 'bpe-whitespace', 'wordpiece', 'unigram', 'word', 'char'] as const

export type TokenizerKind = typeof tokenizerKinds[number]

/** @throws TokenizerError for an unknown kind */
export function checkedKind(kind: unknown): TokenizerKind {
  const known = tokenizerKinds.find(name => name === kind)
  if (!known) throw new TokenizerError(`unknown kind of tokenizer ${describe(kind)}. Known are ${tokenizerKinds.join(', ')}.`)
  return known
}

/** What a kind of tokenizer has around its model. */
export interface Layout {
  normalizer: Json | null
  preTokenizer: Json | null
  postProcessor: Json | null
  decoder: Json | null
  specialTokens: string[]
  names: SpecialTokenNames
  /** Characters that always are in the vocabulary. */
  alphabet: readonly string[]
  /** Whether training counts characters instead of words. */
  countsCharacters: boolean
}

export interface LayoutOptions extends SpecialTokenNames {
  specialTokens?: readonly string[]
  addBos?: boolean
  addEos?: boolean
  lowercase?: boolean
  splitDigits?: boolean
}

/**
 * The parts of a tokenizer.json around the model, by kind.
 * @throws TokenizerError if special tokens repeat, lack a part that the kind needs, or a part names none of them
 */
export function tokenizerLayout(kind: TokenizerKind, options: LayoutOptions): Layout {
  const bert = kind === 'wordpiece'
  const { names, specialTokens } = namedSpecialTokens(kind, options)
  const lowercase = options.lowercase ?? bert
  const normalizer = bert ? { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase }
    : withLowercase({ bytelevel: null, bpe: 'NFC', 'bpe-whitespace': 'NFKC', unigram: 'NFKC', word: 'NFC', char: null }[kind], lowercase)
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const parts: Record<TokenizerKind, [preTokenizer: Json | null, decoder: Json | null]> = {
    bytelevel: [byteLevel, { ...byteLevel, add_prefix_space: true }],
    bpe: [metaspace, metaspace],
    'bpe-whitespace': [{ type: 'Whitespace' }, { type: 'BPEDecoder', suffix: '</w>' }],
    wordpiece: [{ type: 'BertPreTokenizer' }, { type: 'WordPiece', prefix: '##', cleanup: true }],
    unigram: [metaspace, metaspace],
    word: [{ type: 'Whitespace' }, null],
    char: [null, { type: 'Fuse' }],
  }
  const [splitter, decoder] = parts[kind]
  const preTokenizer = sequence([splitter, options.splitDigits ? { type: 'Digits', individual_digits: true } : null], 'pretokenizers')
  const template = templateFor(bert ? { ...options, addBos: true, addEos: true } : options, names, specialTokens)
  const postProcessor = kind !== 'bytelevel' ? template
    : sequence([{ ...byteLevel, add_prefix_space: true, trim_offsets: false }, template], 'processors')
  return {
    normalizer, preTokenizer, decoder, postProcessor, specialTokens, names,
    alphabet: kind === 'bytelevel' ? byteCharacters : [], countsCharacters: kind === 'char',
  }
}

function withLowercase(form: string | null, lowercase: boolean): Json | null {
  const steps = form === null ? [] : [{ type: form }]
  return sequence(lowercase ? [...steps, { type: 'Lowercase' }] : steps, 'normalizers')
}

/** null, the only part, or a Sequence of the parts that are there. */
function sequence(parts: (Json | null)[], key: string): Json | null {
  const present = parts.filter(part => part !== null)
  return present.length > 1 ? { type: 'Sequence', [key]: present } : present[0] ?? null
}

function namedSpecialTokens(kind: TokenizerKind, options: LayoutOptions): { names: SpecialTokenNames, specialTokens: string[] } {
  const defaults: [SpecialTokenRole, string][] = kind === 'wordpiece'
    ? [['padToken', '[PAD]'], ['unkToken', '[UNK]'], ['bosToken', '[CLS]'], ['eosToken', '[SEP]'], ['maskToken', '[MASK]']]
    : [['padToken', '<pad>'], ['bosToken', '<s>'], ['eosToken', '</s>'], ['unkToken', '<unk>']]
  const listed = options.specialTokens
  const specialTokens = listed ? [...listed] : defaults.map(([role, token]) => options[role] ?? token)
  if (specialTokens.some(token => typeof token !== 'string' || token === '') || new Set(specialTokens).size < specialTokens.length) {
    throw new TokenizerError(`specialTokens are ${JSON.stringify(specialTokens)}, expected different strings that are not empty. `
      + 'Remove the repetition.')
  }
  const names: SpecialTokenNames = {}
  for (const role of Object.keys(specialTokenRoles) as SpecialTokenRole[]) {
    const given = options[role]
    if (given !== undefined && !specialTokens.includes(given)) {
      if (listed) throw new ConfigError(`${role} is ${JSON.stringify(given)}, which is not among specialTokens. Add it there.`)
      specialTokens.push(given)
    }
    const byDefault = defaults.find(([name]) => name === role)?.[1]
    const token = given ?? [byDefault, ...specialTokenRoles[role].usual].find(usual => usual !== undefined && specialTokens.includes(usual))
    if (token !== undefined) names[role] = token
  }
  if (names.unkToken === undefined && (kind === 'wordpiece' || kind === 'word')) {
    throw new TokenizerError(`a tokenizer of the kind '${kind}' needs a token for unknown words. Name it with unkToken, and have it `
      + 'among specialTokens.')
  }
  return { names, specialTokens }
}

function templateFor({ addBos = false, addEos = false }: LayoutOptions, names: SpecialTokenNames, specialTokens: string[]): Json | null {
  if (!addBos && !addEos) return null
  const used = (wanted: boolean, role: 'bosToken' | 'eosToken'): string[] => {
    const token = names[role]
    if (wanted && token === undefined) {
      throw new ConfigError(`${role === 'bosToken' ? 'addBos' : 'addEos'} needs a ${role}. Name one of specialTokens.`)
    }
    return wanted ? [token as string] : []
  }
  const bos = used(addBos, 'bosToken'), eos = used(addEos, 'eosToken')
  const special = (tokens: string[], typeId: number): Json[] => tokens.map(id => ({ SpecialToken: { id, type_id: typeId } }))
  const text = (id: 'A' | 'B', typeId: number): Json => ({ Sequence: { id, type_id: typeId } })
  const single = [...special(bos, 0), text('A', 0), ...special(eos, 0)]
  return {
    type: 'TemplateProcessing', single, pair: [...single, text('B', 1), ...special(eos, 1)],
    special_tokens: Object.fromEntries([...new Set([...bos, ...eos])].map(id => [id, { id, ids: [specialTokens.indexOf(id)], tokens: [id] }])),
  }
}
