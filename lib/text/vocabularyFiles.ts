import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TokenizerError } from '../errors.js'
import { isObject, type Json } from './jsonFields.js'

// Tokenizers as older directories have them: vocab.txt (BERT's WordPiece), or vocab.json with merges.txt (byte-level BPE). They become a tokenizer.json, as transformers makes one.

const inPython = 'Convert it in Python: AutoTokenizer.from_pretrained(directory).save_pretrained(directory) writes a tokenizer.json.'

/** Whether a directory has a tokenizer in a format that is read here. */
export async function hasTokenizer(directory: string): Promise<boolean> {
  const has = async (...files: string[]): Promise<boolean> => (await Promise.all(files.map(file => stat(join(directory, file)).then(() => true, () => false)))).every(Boolean)
  return await has('tokenizer.json') || await has('vocab.txt') || await has('vocab.json', 'merges.txt')
}

/**
 * The tokenizer.json that vocabulary files amount to; undefined where there are none.
 * @param config tokenizer_config.json
 * @throws TokenizerError for a class of tokenizers that is not known, or a file that is damaged
 */
export async function fromVocabularyFiles(directory: string, config: Json): Promise<Json | undefined> {
  const [words, vocabulary, merges] = await Promise.all(['vocab.txt', 'vocab.json', 'merges.txt'].map(file => text(join(directory, file))))
  const added = await jsonFile(join(directory, 'added_tokens.json')), named = (typeof config['tokenizer_class'] === 'string' ? config['tokenizer_class'] : '').replace(/(Fast|TokenizerFast|Tokenizer)+$/, '')
  if (words !== undefined && (named === '' || wordPieceClasses.includes(named))) return wordPiece(words, config, added)
  if (vocabulary === undefined || merges === undefined) {
    if (words === undefined) return undefined
    throw new TokenizerError(`${directory}: vocab.txt of a ${named}Tokenizer is not known here. ${inPython}`)
  }
  const ids = await jsonFile(join(directory, 'vocab.json'))
  const isRoberta = robertaClasses.includes(named) || (named === '' && ['<s>', '</s>', '<mask>'].every(token => token in ids))
  if (!isRoberta && named !== '' && !gpt2Classes.includes(named)) throw new TokenizerError(`${directory}: vocab.json and merges.txt of a ${named}Tokenizer are not known here. ${inPython}`)
  return byteLevelBpe(ids, merges, config, added, isRoberta)
}

const wordPieceClasses = ['Bert', 'DistilBert', 'Electra', 'MobileBert', 'RetriBert', 'DPRContextEncoder', 'DPRQuestionEncoder', 'DPRReader', 'MPNet']
const robertaClasses = ['Roberta', 'Bart', 'Longformer', 'LED', 'Mvp', 'Blenderbot']
const gpt2Classes = ['GPT2', 'CodeGen', 'GPTNeoX']

function wordPiece(file: string, config: Json, added: Json): Json {
  const lines = file.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  const vocab = Object.fromEntries(lines.map((token, id) => [token.trimEnd(), id])), [cls, sep] = [token(config, 'cls_token', '[CLS]'), token(config, 'sep_token', '[SEP]')]
  const special = [token(config, 'pad_token', '[PAD]'), token(config, 'unk_token', '[UNK]'), cls, sep, token(config, 'mask_token', '[MASK]')]
  return {
    version: '1.0', truncation: null, padding: null, added_tokens: addedTokens(vocab, special, added, config),
    normalizer: {
      type: 'BertNormalizer', clean_text: true, handle_chinese_chars: config['tokenize_chinese_chars'] ?? true, strip_accents: config['strip_accents'] ?? null,
      lowercase: config['do_lower_case'] ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: template([specialToken(cls, 0), sequence('A', 0), specialToken(sep, 0)], [sequence('B', 1), specialToken(sep, 1)], [cls, sep], vocab),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', unk_token: token(config, 'unk_token', '[UNK]'), continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab },
  }
}

function byteLevelBpe(vocab: Json, merges: string, config: Json, added: Json, isRoberta: boolean): Json {
  const pairs = merges.split(/\r?\n/).filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')))
  const prefix = config['add_prefix_space'] ?? false, byteLevel = { type: 'ByteLevel', add_prefix_space: prefix, trim_offsets: true, use_regex: true }
  const [cls, sep] = [token(config, 'cls_token', '<s>'), token(config, 'sep_token', '</s>')]
  const end = token(config, 'unk_token', '<|endoftext|>'), bos = token(config, 'bos_token', '<|endoftext|>')
  const special = isRoberta ? [cls, sep, token(config, 'pad_token', '<pad>'), token(config, 'unk_token', '<unk>'), token(config, 'mask_token', '<mask>')]
    : [end, bos, token(config, 'eos_token', '<|endoftext|>'), ...(config['pad_token'] ? [token(config, 'pad_token', '')] : [])]
  const withStart = !isRoberta && config['add_bos_token'] === true
  return {
    version: '1.0', truncation: null, padding: null, added_tokens: addedTokens(vocab, special, added, config),
    normalizer: null, pre_tokenizer: byteLevel,
    post_processor: isRoberta ? { type: 'RobertaProcessing', sep: [sep, vocab[sep]], cls: [cls, vocab[cls]], trim_offsets: true, add_prefix_space: prefix }
      : withStart ? template([specialToken(bos, 0), sequence('A', 0)], [specialToken(bos, 1), sequence('B', 1)], [bos], vocab)
        : { ...byteLevel, add_prefix_space: true, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false, byte_fallback: false, vocab, merges: pairs },
  }
}

const specialToken = (id: string, typeId: number): Json => ({ SpecialToken: { id, type_id: typeId } })
const sequence = (id: string, typeId: number): Json => ({ Sequence: { id, type_id: typeId } })

function template(single: Json[], second: Json[], tokens: string[], vocab: Json): Json {
  const known = Object.fromEntries(tokens.map(id => [id, { id, ids: [vocab[id]], tokens: [id] }]))
  return { type: 'TemplateProcessing', single, pair: [...single, ...second], special_tokens: known }
}

/** Special tokens, those of added_tokens.json, and those that tokenizer_config.json describes, by their ids. */
function addedTokens(vocab: Json, special: readonly string[], added: Json, config: Json): Json[] {
  const plain = { single_word: false, lstrip: false, rstrip: false }, tokens = new Map<number, Json>()
  for (const content of new Set(special)) {
    const id = vocab[content] ?? added[content]
    if (typeof id === 'number') tokens.set(id, { ...plain, ...describedBy(config, content), id, content, normalized: false, special: true })
  }
  for (const [content, id] of Object.entries(added)) if (typeof id === 'number' && !tokens.has(id)) tokens.set(id, { id, content, ...plain, normalized: true, special: false })
  const described = config['added_tokens_decoder']
  if (isObject(described)) for (const [id, entry] of Object.entries(described)) if (isObject(entry)) tokens.set(Number(id), { ...plain, normalized: true, special: false, ...entry, id: Number(id) })
  return [...tokens.values()].sort((a, b) => (a['id'] as number) - (b['id'] as number))
}

/** What tokenizer_config.json says of a special token that it describes instead of naming it: a mask that takes the space before it along, for one. */
function describedBy(config: Json, content: string): Json {
  return Object.entries(config).map(([key, value]) => key.endsWith('_token') && isObject(value) && value['content'] === content ? value : undefined).find(Boolean) ?? {}
}

function token(config: Json, key: string, usual: string): string {
  const value = config[key]
  if (typeof value === 'string') return value
  return isObject(value) && typeof value['content'] === 'string' ? value['content'] : usual
}

const text = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined)

async function jsonFile(path: string): Promise<Json> {
  const content = await text(path)
  if (content === undefined) return {}
  try {
    const value: unknown = JSON.parse(content)
    if (isObject(value)) return value
  } catch (cause) {
    throw new TokenizerError(`${path} is not JSON (${(cause as Error).message}). Is the file complete? Download it or save it again.`, { cause })
  }
  throw new TokenizerError(`${path} is not an object. Is it the right file?`)
}
