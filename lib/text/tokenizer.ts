import { TokenizerError } from '../errors.js'
import { readAddedToken, sectionizer, type AddedToken, type Section } from './addedTokens.js'
import { AlignedText } from './alignedText.js'
import { decoder, type Decoder } from './decoders.js'
import { insertedTokens, joined, type Encoding, type TextEncoding } from './encoding.js'
import { describe, Fields, isObject, type Json } from './jsonFields.js'
import { model, type Model, type WordTokens } from './model.js'
import { normalizer } from './normalizers.js'
import { padded, type PaddingOptions } from './padding.js'
import { postProcessor, type PostProcessor } from './postProcessors.js'
import { preTokenizer, type PreTokenizer } from './preTokenizers.js'
import { assignRoles, rolesForConfig, type SpecialTokenNames, type SpecialTokenRole } from './specialTokens.js'
import { StreamingDecoder } from './streamingDecoder.js'
import { parsed, readTokenizerFiles, writeTokenizerFiles } from './tokenizerFile.js'
import { trainTokenizer, type TokenizerKind, type TokenizerTrainOptions, type TrainTexts } from './trainTokenizer.js'
import { truncated, type TruncationOptions } from './truncation.js'

export interface EncodeOptions extends TruncationOptions {
  /** Apply the template of the tokenizer ([CLS] … [SEP], … </s>). Default true. */
  addSpecialTokens?: boolean
  /** A second text, joined to the first as the template says. */
  pair?: string
}

export interface EncodeBatchOptions extends Omit<EncodeOptions, 'pair'>, PaddingOptions {}

export interface DecodeOptions {
  /** Leave special tokens out. Default true. */
  skipSpecialTokens?: boolean
}

const cachedWords = 1 << 16
const longestCachedWord = 64

/**
 * A tokenizer of Hugging Face's tokenizer.json format: text to token ids with offsets, and back. Ids, tokens, offsets and decoded text are
 * those of the reference implementation (Rust `tokenizers`). The library @huggingface/tokenizers translates its expressions and decodes; as it
 * knows no offsets, normalisation, splitting and the models that keep them are ours. `truncation` and `padding` of the file are kept when it is
 * saved, and applied only when asked for in `encode`, as in `transformers`.
 */
export class Tokenizer {
  readonly #json: Json
  readonly #config: Json
  readonly #names: SpecialTokenNames
  readonly #normalize: ReturnType<typeof normalizer>
  readonly #split: PreTokenizer
  readonly #model: Model
  readonly #postProcessor: PostProcessor
  readonly #decode: Decoder
  readonly #words = new Map<string, WordTokens>()
  #added: AddedToken[]
  #sections!: (text: AlignedText) => Section[]
  #ids!: Map<string, number>
  #tokens!: (string | undefined)[]
  #special!: Set<string>
  #roles!: SpecialTokenNames

  private constructor(json: Json, names: SpecialTokenNames, config: Json) {
    const fields = new Fields(json, 'the file')
    this.#json = json
    this.#config = config
    this.#names = { ...names }
    this.#normalize = normalizer(json['normalizer'])
    this.#split = preTokenizer(json['pre_tokenizer'])
    this.#model = model(json['model'])
    this.#postProcessor = postProcessor(json['post_processor'])
    this.#decode = decoder(json['decoder'])
    this.#added = fields.list('added_tokens', []).map(readAddedToken)
      .map(token => ({ ...token, id: this.#model.vocabulary.get(token.content) ?? token.id }))
    this.#index()
  }

  /**
   * Reads a tokenizer.json, or a directory that holds one (and maybe a tokenizer_config.json, which names pad, bos, eos, unk and mask).
   * @param names overrides what the files say about the parts of the special tokens
   * @throws TokenizerError if a file cannot be read or is not a tokenizer
   */
  static async fromFile(path: string, names: SpecialTokenNames = {}): Promise<Tokenizer> {
    const { json, config } = await readTokenizerFiles(path)
    try {
      return Tokenizer.fromJSON(json, names, config)
    } catch (error) {
      if (error instanceof TokenizerError) throw new TokenizerError(`${path}: ${error.message}`, { cause: error })
      throw error
    }
  }

  /**
   * @param json a tokenizer.json, as text or parsed   @param config a tokenizer_config.json, parsed
   * @throws TokenizerError if it is not a tokenizer
   */
  static fromJSON(json: unknown, names: SpecialTokenNames = {}, config: Json = {}): Tokenizer {
    const object = typeof json === 'string' ? parsed(json) : json
    if (!isObject(object) || !isObject(object['model'])) {
      throw new TokenizerError(`a tokenizer.json is an object with a "model"; this is `
        + `${describe(object)}${isObject(object) ? ' without one' : ''}. `
        + 'Give the file that Hugging Face tokenizers or Tokenizer.save wrote.')
    }
    return new Tokenizer(structuredClone(object), names, structuredClone(config))
  }

  /**
   * Trains a tokenizer on texts, or on a text file, one sample a line (a .tsv file: one sample a field; .gz is unpacked).
   * @param kind 'bytelevel' (GPT-2's byte-level BPE), 'bpe' (BPE that marks spaces, as SentencePiece), 'bpe-whitespace' (BPE on words, `</w>`),
   * 'wordpiece' (BERT), 'unigram' (SentencePiece's default), 'word' or 'char'
   * @throws TokenizerError if there is nothing to train on, the kind is unknown, or the vocabulary size cannot hold the alphabet
   */
  static async train(kind: TokenizerKind, texts: TrainTexts, options: TokenizerTrainOptions = {}): Promise<Tokenizer> {
    const { json, names } = await trainTokenizer(kind, texts, options)
    return Tokenizer.fromJSON(json, names)
  }

  /** The tokenizer as tokenizer.json has it; `JSON.stringify(tokenizer)` works too. */
  toJSON(): Json {
    return structuredClone({ ...this.#json, added_tokens: this.#added })
  }

  /**
   * Writes tokenizer.json to a path that ends in .json; into a directory, with tokenizer_config.json beside it.
   * @throws TokenizerError if it cannot be written
   */
  async save(path: string): Promise<void> {
    const plain = { tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false }
    const config = { ...plain, ...this.#config, ...rolesForConfig(this.#roles) }
    await writeTokenizerFiles(path, { json: this.toJSON(), config })
  }

  /** Rows that an embedding needs: the greatest id and one. */
  get vocabSize(): number { return this.#tokens.length }

  tokenToId(token: string): number | undefined { return this.#ids.get(token) }

  idToToken(id: number): string | undefined { return this.#tokens[id] }

  get padToken(): string | undefined { return this.#roles.padToken }
  get bosToken(): string | undefined { return this.#roles.bosToken }
  get eosToken(): string | undefined { return this.#roles.eosToken }
  get unkToken(): string | undefined { return this.#roles.unkToken }
  get maskToken(): string | undefined { return this.#roles.maskToken }
  get padId(): number | undefined { return this.#roleId('padToken') }
  get bosId(): number | undefined { return this.#roleId('bosToken') }
  get eosId(): number | undefined { return this.#roleId('eosToken') }
  get unkId(): number | undefined { return this.#roleId('unkToken') }
  get maskId(): number | undefined { return this.#roleId('maskToken') }

  /** Tokens that `decode` leaves out on demand. */
  get specialTokens(): string[] { return [...this.#special] }

  /**
   * Adds special tokens at the end of the vocabulary (the model's embedding has to grow with it); known ones become special.
   * @returns how many are new
   */
  addSpecialTokens(tokens: string[], names: SpecialTokenNames = {}): number {
    const before = this.vocabSize
    let next = before
    for (const content of tokens) {
      const id = this.#ids.get(content) ?? next++
      this.#added = this.#added.filter(token => token.content !== content)
      this.#added.push({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })
    }
    this.#added.sort((a, b) => a.id - b.id)
    Object.assign(this.#names, names)
    this.#index()
    return next - before
  }

  /**
   * @returns parallel lists, one entry a token
   * @throws TokenizerError if `text` is not a string or cannot be cut to `maxLength`
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    const { addSpecialTokens = true, pair } = options
    const encodings = pair === undefined ? [this.#encodeText(text, 0)] : [this.#encodeText(text, 0), this.#encodeText(pair, 1)]
    const reserved = addSpecialTokens ? this.#postProcessor.added(pair !== undefined) : 0
    return joined(this.#postProcessor.process(truncated(encodings, reserved, options), addSpecialTokens))
  }

  /**
   * Encodes texts, or pairs of texts, and pads them to one length if `padding` says so.
   * @throws TokenizerError as `encode`, or if there is nothing to pad with
   */
  encodeBatch(texts: readonly (string | readonly [string, string])[], options: EncodeBatchOptions = {}): Encoding[] {
    const encodings = texts.map(text => {
      return typeof text === 'string' ? this.encode(text, options) : this.encode(text[0], { ...options, pair: text[1] })
    })
    return padded(encodings, options, count => {
      const { padId, padToken } = this
      if (padId === undefined || padToken === undefined) {
        throw new TokenizerError('the tokenizer has no padding token. Name one (fromFile(path, { padToken })), or add one with '
          + 'addSpecialTokens([\'<pad>\']).')
      }
      return insertedTokens(padId, padToken, 0, 0, count)
    })
  }

  /**
   * Text of token ids. Ids without a token (rows of a padded embedding) have no text.
   * @throws TokenizerError if an id is not a whole number from 0
   */
  decode(ids: Iterable<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const tokens: string[] = []
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0) {
        throw new TokenizerError(`decode: ${describe(id)} is not a token id, expected whole numbers from 0. Are these ids?`)
      }
      const token = this.#tokens[id]
      if (token !== undefined && !(skipSpecialTokens && this.#special.has(token))) tokens.push(token)
    }
    return this.#decode(tokens).join('')
  }

  decodeBatch(batch: Iterable<Iterable<number>>, options: DecodeOptions = {}): string[] {
    return Array.from(batch, ids => this.decode(ids, options))
  }

  /** Decodes ids as they come, without ever splitting a character. */
  streamingDecoder(options: DecodeOptions = {}): StreamingDecoder {
    return new StreamingDecoder(ids => this.decode(ids, options))
  }

  #encodeText(original: unknown, typeId: number): TextEncoding {
    if (typeof original !== 'string') throw new TokenizerError(`encode: the text is ${describe(original)}, expected a string.`)
    // Halves of surrogate pairs are no characters.
    const text = original.replace(/\p{Surrogate}/gu, '\ufffd')
    const aligned = AlignedText.of(text)
    const encoding: TextEncoding = { ids: [], tokens: [], offsets: [], attentionMask: [], typeIds: [], specialTokensMask: [], text }
    for (const section of this.#sections(aligned)) {
      const { text: { text: content }, added } = section
      if (added) append(encoding, section.text, { ids: [added.id], tokens: [content], spans: [0, content.length] })
      else for (const word of this.#split(section.text)) if (word.text !== '') append(encoding, word, this.#tokenize(word.text))
    }
    const count = encoding.ids.length
    encoding.attentionMask = new Array<number>(count).fill(1)
    encoding.typeIds = new Array<number>(count).fill(typeId)
    encoding.specialTokensMask = new Array<number>(count).fill(0)
    return encoding
  }

  #tokenize(word: string): WordTokens {
    if (word.length > longestCachedWord) return this.#model.tokenize(word)
    let tokens = this.#words.get(word)
    if (!tokens) {
      tokens = this.#model.tokenize(word)
      if (this.#words.size >= cachedWords) this.#words.clear()
      this.#words.set(word, tokens)
    }
    return tokens
  }

  /** Everything that follows from the vocabulary and the added tokens. */
  #index(): void {
    this.#ids = new Map(this.#model.vocabulary)
    for (const { content, id } of this.#added) this.#ids.set(content, id)
    let size = 0
    for (const id of this.#ids.values()) size = Math.max(size, id + 1)
    this.#tokens = new Array<string | undefined>(size).fill(undefined)
    for (const [token, id] of this.#ids) this.#tokens[id] = token
    this.#special = new Set(this.#added.filter(token => token.special).map(token => token.content))
    this.#sections = sectionizer(this.#added, this.#normalize)
    this.#roles = assignRoles(this.#names, this.#config, this.#model.unknownToken,
      token => this.#ids.has(token), token => this.#special.has(token))
  }

  #roleId(role: SpecialTokenRole): number | undefined {
    const token = this.#roles[role]
    return token === undefined ? undefined : this.#ids.get(token)
  }
}

function append(encoding: Encoding, text: AlignedText, { ids, tokens, spans }: WordTokens): void {
  for (let i = 0; i < ids.length; i++) {
    encoding.ids.push(ids[i] as number)
    encoding.tokens.push(tokens[i] as string)
    encoding.offsets.push(text.span(spans[2 * i] as number, spans[2 * i + 1] as number))
  }
}
