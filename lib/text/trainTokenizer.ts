import { ConfigError, TokenizerError } from '../errors.js'
import { EventLoopTurns } from '../eventLoop.js'
import { AlignedText } from './alignedText.js'
import type { Json } from './jsonFields.js'
import { normalizer } from './normalizers.js'
import { preTokenizer } from './preTokenizers.js'
import type { SpecialTokenNames } from './specialTokens.js'
import { checkedKind, tokenizerLayout, type Layout, type TokenizerKind } from './tokenizerKinds.js'
import { trainBpe } from './trainBpe.js'
import { samples, type TrainTexts } from './trainTexts.js'
import { trainUnigram } from './trainUnigram.js'
import { trainWords } from './trainWords.js'

export type { TokenizerKind, TrainTexts }

export interface TokenizerTrainOptions extends SpecialTokenNames {
  /** Number of tokens, special ones included. Default 8000. */
  vocabSize?: number
  /** Least number of occurrences of a pair that is merged, or of a word ('word', 'char'). Default 2; 1 for 'char'. No use for 'unigram'. */
  minFrequency?: number
  /** Special tokens, with ids from 0 in this order. Default `<pad> <s> </s> <unk>`; for 'wordpiece' `[PAD] [UNK] [CLS] [SEP] [MASK]`. */
  specialTokens?: readonly string[]
  /** Let the template put bosToken before (eosToken behind) each text. Default false. 'wordpiece' always has [CLS] and [SEP]. */
  addBos?: boolean
  addEos?: boolean
  /** Lower-case and strip accents ('wordpiece': default true; else default false). */
  lowercase?: boolean
  /** Every digit is a word of its own, so that numbers are spelled digit by digit. Default false. */
  splitDigits?: boolean
  /** Characters that get a token even if the texts lack them. */
  initialAlphabet?: string
  /** Greatest number of characters to keep, the most frequent ones (BPE and 'wordpiece'). Default: all. */
  limitAlphabet?: number
  /** Longest piece of 'unigram', in characters. Default 16. */
  maxPieceLength?: number
  /** Share of the pieces that a pruning of 'unigram' keeps. Default 0.75. */
  shrinkingFactor?: number
}

const optionNames: Record<keyof TokenizerTrainOptions, true> = {
  vocabSize: true, minFrequency: true, specialTokens: true, addBos: true, addEos: true, lowercase: true, splitDigits: true, initialAlphabet: true,
  limitAlphabet: true, maxPieceLength: true, shrinkingFactor: true, padToken: true, bosToken: true, eosToken: true, unkToken: true,
  maskToken: true,
}

/**
 * Trains a tokenizer of a kind and returns its tokenizer.json, which Hugging Face's `tokenizers` loads.
 * @throws TokenizerError, ConfigError
 */
export async function trainTokenizer(
  kind: TokenizerKind, texts: TrainTexts, options: TokenizerTrainOptions,
): Promise<{ json: Json, names: SpecialTokenNames }> {
  checkedKind(kind)
  checkOptions(options)
  const layout = tokenizerLayout(kind, options)
  const wordCounts = await countWords(layout, texts)
  const json = {
    version: '1.0', truncation: null, padding: null,
    added_tokens: layout.specialTokens.map((content, id) => (
      { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: layout.normalizer, pre_tokenizer: layout.preTokenizer, post_processor: layout.postProcessor, decoder: layout.decoder,
    model: await trainedModel(kind, layout, wordCounts, options),
  }
  return { json, names: layout.names }
}

async function countWords(layout: Layout, texts: TrainTexts): Promise<Map<string, number>> {
  const normalize = normalizer(layout.normalizer), split = preTokenizer(layout.preTokenizer)
  const counts = new Map<string, number>(), turns = new EventLoopTurns()
  for await (const text of samples(texts)) {
    if (turns.isDue) await turns.giveIfDue()
    for (const { text: word } of split(normalize(AlignedText.of(text.replace(/\p{Surrogate}/gu, '\ufffd'))))) {
      if (word === '') continue
      // A model of characters has no use for the text that holds them.
      if (layout.countsCharacters) for (const character of word) counts.set(character, (counts.get(character) ?? 0) + 1)
      else counts.set(word, (counts.get(word) ?? 0) + 1)
    }
  }
  if (counts.size === 0) {
    throw new TokenizerError('the texts to train on are empty: there is no word in them. Check the path or the column they come from.')
  }
  return counts
}

async function trainedModel(kind: TokenizerKind, layout: Layout, wordCounts: Map<string, number>, options: TokenizerTrainOptions): Promise<Json> {
  const { vocabSize = 8000, maxPieceLength = 16, shrinkingFactor = 0.75, limitAlphabet = Infinity } = options
  const { specialTokens, names: { unkToken } } = layout
  const minFrequency = options.minFrequency ?? (kind === 'char' ? 1 : 2)
  const initialAlphabet = [...layout.alphabet, ...options.initialAlphabet ?? '']
  const bpe = (prefix: string, suffix: string): ReturnType<typeof trainBpe> =>
    trainBpe(wordCounts, { vocabSize, minFrequency, specialTokens, initialAlphabet, limitAlphabet, prefix, suffix })
  const bpeFields = {
    type: 'BPE', dropout: null, unk_token: kind === 'bytelevel' ? null : unkToken ?? null, continuing_subword_prefix: null,
    end_of_word_suffix: kind === 'bpe-whitespace' ? '</w>' : null, fuse_unk: false, byte_fallback: false, ignore_merges: false,
  }
  switch (kind) {
    case 'bytelevel': case 'bpe': case 'bpe-whitespace': {
      const { vocabulary, merges } = await bpe('', bpeFields.end_of_word_suffix ?? '')
      return { ...bpeFields, vocab: Object.fromEntries(vocabulary), merges }
    }
    case 'wordpiece': {
      const { vocabulary } = await bpe('##', '')
      const vocab = Object.fromEntries(vocabulary)
      return { type: 'WordPiece', unk_token: unkToken, continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab }
    }
    case 'unigram': {
      const vocab = await trainUnigram(wordCounts, {
        vocabSize, specialTokens, initialAlphabet, maxPieceLength, shrinkingFactor, subIterations: 2, seedSize: 1_000_000,
      })
      return { type: 'Unigram', unk_id: unkToken === undefined ? null : specialTokens.indexOf(unkToken), vocab, byte_fallback: false }
    }
    case 'word': case 'char': {
      const words = trainWords(wordCounts, { vocabSize, minFrequency, specialTokens })
      if (kind === 'word') return { type: 'WordLevel', vocab: numbered(words), unk_token: unkToken }
      const characters = words.slice(specialTokens.length).sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number))
      return { ...bpeFields, vocab: numbered([...specialTokens, ...characters]), merges: [] }
    }
  }
}

const numbered = (tokens: readonly string[]): Record<string, number> => Object.fromEntries(tokens.map((token, id) => [token, id]))

function checkOptions(options: TokenizerTrainOptions): void {
  for (const key of Object.keys(options)) {
    if (!(key in optionNames)) {
      throw new ConfigError(`unknown option ${key} of Tokenizer.train. Known are ${Object.keys(optionNames).join(', ')}.`)
    }
  }
  const { vocabSize = 1, minFrequency = 0, limitAlphabet = 1, maxPieceLength = 1, shrinkingFactor = 0.5 } = options
  const whole = (name: string, value: number, least: number): void => {
    if (!Number.isInteger(value) || value < least) throw new ConfigError(`${name} is ${value}, expected a whole number from ${least}.`)
  }
  whole('vocabSize', vocabSize, 1)
  whole('minFrequency', minFrequency, 0)
  if (limitAlphabet !== Infinity) whole('limitAlphabet', limitAlphabet, 1)
  whole('maxPieceLength', maxPieceLength, 1)
  if (!(shrinkingFactor > 0 && shrinkingFactor < 1)) {
    throw new ConfigError(`shrinkingFactor is ${shrinkingFactor}, expected a number between 0 and 1.`)
  }
}
