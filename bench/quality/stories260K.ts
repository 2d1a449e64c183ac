import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Llama } from '#lib/models/llama.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { readLlama2c, readLlama2cTokens } from '../../test/models/llama2c.js'

export const hasStories260K = (folder: string): boolean => existsSync(join(folder, 'stories260K.bin')) && existsSync(join(folder, 'tok512.bin'))

/** LLaMA of 260,032 weights that was trained on children's stories (Karpathy's llama2.c), which has never seen a play. */
export function stories260K(folder: string): Llama {
  const { config, weights } = readLlama2c(join(folder, 'stories260K.bin')), model = new Llama(config)
  model.loadStateDict(weights)
  return model
}

/** Its tokenizer: SentencePiece's BPE, which merges the two pieces whose whole comes first in the vocabulary; bytes where it has no piece. */
export function storiesTokenizer(folder: string): Tokenizer {
  const pieces = readLlama2cTokens(join(folder, 'tok512.bin'), 512).map((bytes, id) => {
    if (id < 3) return ['<unk>', '<s>', '</s>'][id]!
    return id < 259 ? `<0x${(id - 3).toString(16).toUpperCase().padStart(2, '0')}>` : Buffer.from(bytes).toString('utf8').replaceAll(' ', '▁')
  })
  const ids = new Map(pieces.map((piece, id) => [piece, id]))
  const merges = pieces.slice(259).flatMap(piece => {
    const letters = [...piece], halves = letters.slice(1).map((_, i) => [letters.slice(0, i + 1).join(''), letters.slice(i + 1).join('')] as const)
    return halves.filter(([left, right]) => ids.has(left) && ids.has(right)).sort((a, b) => ids.get(a[0])! - ids.get(b[0])! || ids.get(a[1])! - ids.get(b[1])!)
  })
  const special = ['<unk>', '<s>', '</s>'], plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  return Tokenizer.fromJSON({
    version: '1.0', truncation: null, padding: null, post_processor: null, added_tokens: special.map((content, id) => ({ id, content, ...plain })),
    normalizer: null, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: true },
    decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }] },
    model: { type: 'BPE', dropout: null, unk_token: '<unk>', continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: true, byte_fallback: true, vocab: Object.fromEntries(ids), merges },
  }, { unkToken: '<unk>', bosToken: '<s>', eosToken: '</s>' })
}
