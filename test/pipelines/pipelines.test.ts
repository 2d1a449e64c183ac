import { writeFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { CheckpointError, ConfigError, DataError } from '#lib/errors.js'
import { BertForMaskedLM } from '#lib/models/bert.js'
import { GPT2, GPT2Model } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { Module } from '#lib/nn/module.js'
import { pipeline } from '#lib/pipelines/index.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { temporaryFolder } from '../io/temporaryFolder.js'

const at = temporaryFolder()
const words = ['anna', 'met', 'bob', 'in', 'new', 'york', 'and', 'paris', 'today', 'good', 'bad', 'is', 'this', 'a', 'about', 'sport', 'money', 'play', '##ing', '.', '?', 'who']
const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...words]
const bert = (): Tokenizer => Tokenizer.fromJSON({
  version: '1.0', added_tokens: vocabulary.slice(0, 5).map((content, id) => ({ id, content, special: true })), normalizer: { type: 'BertNormalizer', lowercase: true },
  pre_tokenizer: { type: 'BertPreTokenizer' }, decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  post_processor: {
    type: 'TemplateProcessing', single: [{ SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '[SEP]', type_id: 0 } }],
    pair: [{ SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '[SEP]', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } },
      { SpecialToken: { id: '[SEP]', type_id: 1 } }], special_tokens: { '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] }, '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] } },
  },
  model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])) },
})

/** A model whose logits are a function of each row's tokens, so that what a pipeline makes of them can be told in advance. */
class Told<Y> extends Module {
  readonly maxPositions = 16
  rows = 0
  constructor(readonly config: Record<string, unknown>, private readonly output: (rows: string[][], types: number[][]) => Y) { super() }
  forward(ids: Tensor, { tokenTypeIds }: { tokenTypeIds?: Tensor } = {}): Y {
    const [B, T] = ids.shape as [number, number], values = [...ids.dataSync() as Int32Array], types = tokenTypeIds ? [...tokenTypeIds.dataSync() as Int32Array] : []
    this.rows += B
    const rowsOf = <V>(list: V[]): V[][] => Array.from({ length: B }, (_, b) => list.slice(b * T, (b + 1) * T))
    return this.output(rowsOf(values.map(id => vocabulary[id]!)), rowsOf(types))
  }
}
const logit = (p: number): number => Math.log(p / (1 - p))

describe('text-classification', () => {
  const config = { id2label: { 0: 'NEG', 1: 'POS' }, num_labels: 2 }
  const model = () => new Told(config, rows => tensor(rows.map(row => [0, row.includes('good') ? logit(0.9) : row.includes('bad') ? logit(0.2) : 0])))

  test('gives the likeliest label of a text, or several, in batches', async () => {
    const told = model(), classify = await pipeline('sentiment-analysis', { model: told, tokenizer: bert() })
    expect(classify.task).toBe('text-classification')
    expect(await classify('this is good')).toEqual([{ label: 'POS', score: expect.closeTo(0.9, 6) }])
    const all = await classify(['this is bad', 'good', 'a'], { topK: null, batchSize: 2 })
    expect(all[0]).toEqual([{ label: 'NEG', score: expect.closeTo(0.8, 6) }, { label: 'POS', score: expect.closeTo(0.2, 6) }])
    expect(all[2]!.map(({ label }) => label)).toEqual(['NEG', 'POS'])   // equal scores: in the order of the labels
    expect(told.rows).toBe(4)
    expect(told.training).toBe(true)   // as it was
  })

  test('goes by the kind of the problem: several labels at once, or a number', async () => {
    const one = (extra: object) => pipeline('text-classification', { model: new Told({ ...config, ...extra }, () => tensor([[logit(0.7), logit(0.6)]])), tokenizer: bert() })
    expect(await (await one({ problem_type: 'multi_label_classification' }))('a', { topK: 2 })).toEqual([{ label: 'NEG', score: expect.closeTo(0.7, 6) }, { label: 'POS', score: expect.closeTo(0.6, 6) }])
    expect((await (await one({ problem_type: 'regression' }))('a'))[0]!.score).toBeCloseTo(logit(0.7), 6)
    await expect((await one({}))('a', { functionToApply: 'tanh' as never })).rejects.toThrow(ConfigError)
    await expect((await one({}))('a', { topK: 0 })).rejects.toThrow(/topK is 0/)
    await expect((await one({}))(['a', 5 as never])).rejects.toThrow(/5 as text 2, expected a text/)
  })

  test('zero-shot: each label is asked for as a hypothesis about the text', async () => {
    const inference = (rows: string[][]) => tensor(rows.map(row => {
      const hypothesis = row.slice(row.indexOf('[SEP]') + 1)
      return [0, 0, row.includes('play') && hypothesis.includes('sport') ? Math.log(6) : hypothesis.includes('money') ? Math.log(2) : 0]
    }))
    const model = new Told({ id2label: { 0: 'contradiction', 1: 'neutral', 2: 'ENTAILMENT' }, num_labels: 3 }, inference)
    const classify = await pipeline('zero-shot-classification', { model, tokenizer: bert() })
    expect(await classify('playing', ['money', 'sport', 'new'], { hypothesisTemplate: 'this is about {}.' })).toEqual({
      sequence: 'playing', labels: ['sport', 'money', 'new'], scores: [expect.closeTo(6 / 9, 5), expect.closeTo(2 / 9, 5), expect.closeTo(1 / 9, 5)],
    })
    expect((await classify('playing', ['sport', 'new'], { multiLabel: true })).scores).toEqual([expect.closeTo(6 / 7, 5), expect.closeTo(1 / 2, 5)])
    await expect(classify('playing', [])).rejects.toThrow(/no candidate labels/)
    await expect(classify('playing', ['a'], { hypothesisTemplate: 'no place' })).rejects.toThrow(/\{\} should stand/)
    await expect((await pipeline('zero-shot-classification', { model: new Told(config, inference), tokenizer: bert() }))('a', ['b'])).rejects.toThrow(/none of the model's labels is 'entailment'/)
  })
})

describe('token-classification', () => {
  const labels = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'], tags: Record<string, number> = { anna: 1, bob: 1, new: 3, york: 4, paris: 3, play: 1, '##ing': 3 }
  const model = () => new Told({ id2label: { ...labels } }, rows => tensor(rows.map(row => row.map(token => labels.map((_, id) => id === (tags[token] ?? 0) ? (token === '##ing' ? 4 : 3) : 0)))))

  test('marks tokens where they stand in the text, and joins those of one entity', async () => {
    const ner = await pipeline('ner', { model: model(), tokenizer: bert() }), text = 'Anna met Bob in New York.'
    expect((await ner(text)).map(({ entity, word, start, end, index }) => [entity, word, start, end, index])).toEqual([
      ['B-PER', 'Anna', 0, 4, 1], ['B-PER', 'Bob', 9, 12, 3], ['B-LOC', 'New', 16, 19, 5], ['I-LOC', 'York', 20, 24, 6]])
    const entities = await ner(text, { aggregationStrategy: 'simple' })
    expect(entities.map(({ entity, word }) => [entity, word])).toEqual([['PER', 'Anna'], ['PER', 'Bob'], ['LOC', 'New York']])
    expect(entities[2]!.score).toBeCloseTo(Math.exp(3) / (Math.exp(3) + 4), 5)
    expect((await ner(text, { ignoreLabels: [] })).length).toBe(7)
  })

  test('gives the parts of a word one label', async () => {
    const ner = await pipeline('ner', { model: model(), tokenizer: bert() })
    const entityOf = async (aggregationStrategy: 'simple' | 'first' | 'average' | 'max') => (await ner('playing', { aggregationStrategy })).map(({ entity, word }) => `${entity} ${word}`)
    expect(await entityOf('simple')).toEqual(['PER play', 'LOC ing'])
    expect(await entityOf('first')).toEqual(['PER playing'])
    expect(await entityOf('max')).toEqual(['LOC playing'])
    expect(await entityOf('average')).toEqual(['LOC playing'])
    await expect(ner('a', { aggregationStrategy: 'mean' as never })).rejects.toThrow(/aggregationStrategy is "mean"/)
  })

  test('a word begins as transformers tells it: by the mark of pieces, else behind a space', async () => {
    const entities = async (tokenizer: Tokenizer, text: string) => (await (await pipeline('ner', { tokenizer, model: new Told({ id2label: { 0: 'O', 1: 'E-ORG' } },
      rows => tensor(rows.map(row => row.map((_, i) => i === 1 ? [0, 3] : [1, 0])))) }))(text, { aggregationStrategy: 'first' })).map(({ entity, word }) => `${entity} ${word}`)
    expect(await entities(bert(), 'playing.')).toEqual(['ORG playing'])   // the tag without its letter, the full stop for itself
    const vocab = Object.fromEntries([...'abcdefghijklmnopqrstuvwxyz.'].map((letter, i) => [letter, i])), letters = Tokenizer.fromJSON({
      version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Split', pattern: { Regex: ' ' }, behavior: 'Removed', invert: false }, decoder: null,
      post_processor: null, model: { type: 'BPE', vocab, merges: [], unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, dropout: null },
    })
    expect(await entities(letters, 'ab. cd')).toEqual([])
    expect(await entities(letters, 'a bc. cd')).toEqual(['ORG bc.'])   // its second token is the first of the second word
  })

  test('reads a text that is longer than the model, once', async () => {
    const told = model(), ner = await pipeline('ner', { model: told, tokenizer: bert() }), text = 'in anna is in paris and bob '.repeat(12)
    const found = await ner(text, { aggregationStrategy: 'simple' })
    expect(found.length).toBe(36)
    expect(found.every(({ word, start, end }) => text.slice(start, end) === word)).toBe(true)
    expect(new Set(found.map(({ start }) => start)).size).toBe(36)
    expect(told.rows).toBeGreaterThan(4)
  })
})

describe('question-answering', () => {
  /** Sure that the answer begins and ends at these words. */
  const model = (first: string, last: string) => new Told({ type_vocab_size: 2 }, (rows, types) => {
    const scores = (word: string) => tensor(rows.map((row, b) => row.map((token, i) => token === word && types[b]![i] === 1 ? 6 : token === word ? 9 : 0)))
    return { startLogits: scores(first), endLogits: scores(last) }
  })

  test('finds the answer in the context, not in the question', async () => {
    const answer = await pipeline('question-answering', { model: model('new', 'york'), tokenizer: bert() })
    const [best] = await answer('who is in new york?', 'Anna met Bob in New York today.')
    expect(best).toMatchObject({ answer: 'New York', start: 16, end: 24 })
    expect(best!.score).toBeGreaterThan(0.8)
    const many = await answer('who?', 'Anna met Bob in New York today.', { topK: 3 })
    expect(many.length).toBe(3)
    expect(many.map(({ score }) => score)).toEqual([...many.map(({ score }) => score)].sort((a, b) => b - a))
  })

  test('in a context that is longer than the model, and never longer than allowed', async () => {
    const told = model('paris', 'today'), answer = await pipeline('question-answering', { model: told, tokenizer: bert() })
    const context = `${'anna is in a . '.repeat(9)}Paris today. ${'bob is bad . '.repeat(9)}`
    const [best] = await answer('who?', context)
    expect(best).toMatchObject({ answer: 'Paris today', start: context.indexOf('Paris') })
    expect(told.rows).toBeGreaterThan(5)
    expect((await answer('who?', context, { maxAnswerLength: 1 }))[0]!.answer).not.toContain(' ')
  })

  test('may say that there is none, and refuses what is no text', async () => {
    const answer = await pipeline('question-answering', { model: model('[CLS]', '[CLS]'), tokenizer: bert() })
    expect((await answer('who?', 'a.', { handleImpossibleAnswer: true }))[0]!.answer).toBe('')
    await expect(answer('who?', ' ')).rejects.toThrow(DataError)
    await expect(answer('who is in new york and paris and new york and paris?', 'a')).rejects.toThrow(/question alone fills/)
  })
})

describe('fill-mask', () => {
  const model = new Told({}, rows => tensor(rows.map(row => row.map(() => vocabulary.map(token => token === 'paris' ? 3 : token === 'york' ? 2 : 0)))))

  test('gives the likeliest tokens of each mask, or of the words to choose from', async () => {
    const fill = await pipeline('fill-mask', { model, tokenizer: bert() })
    const [first, second] = (await fill('anna is in [MASK].', { topK: 2 }))[0]!
    expect(first).toMatchObject({ token: vocabulary.indexOf('paris'), tokenStr: 'paris', sequence: 'anna is in paris.' })
    expect(first!.score).toBeCloseTo(Math.exp(3) / (Math.exp(3) + Math.exp(2) + vocabulary.length - 2), 5)
    expect(second!.sequence).toBe('anna is in york.')
    const two = await fill(['a', 'b'].map(() => 'new [MASK] and [MASK]'), { topK: 1 })
    expect(two.map(masks => masks.map(([filling]) => filling!.sequence))).toEqual([['[CLS] new paris and [MASK] [SEP]', '[CLS] new [MASK] and paris [SEP]'], ['[CLS] new paris and [MASK] [SEP]', '[CLS] new [MASK] and paris [SEP]']])
    expect((await fill('in [MASK]', { targets: ['bob', 'york', 'bob'] }))[0]!.map(({ tokenStr }) => tokenStr)).toEqual(['york', 'bob'])
    await expect(fill('in paris')).rejects.toThrow(/no \[MASK\] in "in paris"/)
    await expect(fill('in [MASK]', { targets: ['tokyo'] })).rejects.toThrow(/"tokyo" is not a token/)
  })
})

describe('feature-extraction and extractive-summarization', () => {
  /** One direction for each word; the first token has none. */
  const model = new Told({}, rows => tensor(rows.map(row => row.map(token => words.slice(0, 20).map(word => token === word ? 2 : token.startsWith('[') ? 0 : 0.01)))))

  test('vectors of tokens, their mean, and unit length; padding does not count', async () => {
    const embed = await pipeline('feature-extraction', { model, tokenizer: bert() })
    const [short, long] = await embed(['anna', 'anna met bob in paris'])
    expect([short!.length, long!.length]).toEqual([3, 7])
    const [[mean]] = await embed(['anna', 'anna met bob in paris'], { pooling: 'mean' }) as [[Float32Array], unknown]
    expect(mean[0]).toBeCloseTo(2 / 3, 6)
    const [[unit]] = await embed(['anna'], { pooling: 'mean', normalize: true }) as [[Float32Array]]
    expect(Math.hypot(...unit)).toBeCloseTo(1, 6)
    expect((await embed('anna', { pooling: 'cls' }))[0]!.every(value => value === 0)).toBe(true)
    await expect(embed('a', { pooling: 'max' as never })).rejects.toThrow(/pooling is "max"/)
  })

  test('a summary has the sentences that are most like the rest, in their order', async () => {
    const summarize = await pipeline('extractive-summarization', { model, tokenizer: bert() })
    const text = 'Anna met Bob in Paris. This is about money. Anna and Bob met in Paris today. Anna is in Paris.'
    const { summaryText, sentences } = await summarize(text, { sentences: 3 })
    expect(sentences.every(({ text: sentence, start, end }) => text.slice(start, end) === sentence)).toBe(true)
    expect(summaryText).toBe('Anna met Bob in Paris. Anna and Bob met in Paris today. Anna is in Paris.')
    expect((await summarize(text, { sentences: 9 })).sentences.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6)
    await expect(summarize(text, { sentences: 0 })).rejects.toThrow(ConfigError)
  })
})

test('an encoder from a directory: features where no pooler was saved, masks filled, and a head that is missing named', async () => {
  manualSeed(2)
  const model = new BertForMaskedLM({ vocab_size: vocabulary.length, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 8, max_position_embeddings: 16 })
  await model.savePretrained(at('masked'), { tokenizer: bert() })
  const features = await pipeline('feature-extraction', at('masked')), fill = await pipeline('fill-mask', at('masked'))
  expect((await features('anna met bob')).map(vector => vector.length)).toEqual([16, 16, 16, 16, 16])
  expect(await fill('anna met [MASK]', { topK: 2 })).toHaveLength(1)
  await expect(pipeline('text-classification', at('masked'))).rejects.toThrow(/was not trained for 'text-classification': bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight/)
  for (const each of [model, features, fill]) each.dispose()
})

describe('text-generation, from a directory', () => {
  test('goes on with prompts, with or without them, and leaves no memory behind', async () => {
    manualSeed(3)
    const tokenizer = await Tokenizer.train('char', ['abc abd. ']), model = new GPT2({ vocab_size: tokenizer.vocabSize, n_positions: 32, n_embd: 16, n_layer: 1, n_head: 2 })
    await model.savePretrained(at('model'), { tokenizer })
    const write = await pipeline('text-generation', at('model'))
    const [[whole], [part]] = [await write('abc', { maxNewTokens: 5 }), await write('abc', { maxNewTokens: 5, returnFullText: false })]
    expect(whole!.generatedText).toBe(`abc${part!.generatedText}`)
    expect((await write(['a', 'ab'], { maxNewTokens: 3, doSample: true, seed: 1, numReturnSequences: 2 })).map(texts => texts.length)).toEqual([2, 2])
    const before = memory().tensors
    await write('abc', { maxNewTokens: 5 })
    expect(memory().tensors).toBe(before)
    write.dispose()
    model.dispose()
  })

  test('answers a conversation through the template of its directory', async () => {
    manualSeed(4)
    const tokenizer = await Tokenizer.train('char', ['abc<>: ur']), model = new GPT2({ vocab_size: tokenizer.vocabSize, n_positions: 64, n_embd: 16, n_layer: 1, n_head: 2 })
    await model.savePretrained(at('chat'), { tokenizer })
    const answer = await pipeline('text-generation', at('chat')), messages = [{ role: 'user', content: 'abc' }]
    await expect(answer(messages)).rejects.toThrow(/no chat template/)
    writeFileSync(at('chat', 'chat_template.jinja'), "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}")
    const chat = await pipeline('text-generation', at('chat'))
    const [found] = await chat(messages, { maxNewTokens: 6 }), [[expected]] = [await chat('<u>abc<a>', { maxNewTokens: 6, returnFullText: false, addSpecialTokens: false })]
    expect(found).toEqual(expected)
  })

  test('a model that was not trained for the task, has no tokenizer, or is for another: one clear error', async () => {
    const tokenizer = await Tokenizer.train('char', ['abc'])
    await new GPT2Model({ vocab_size: 12, n_positions: 32, n_embd: 16, n_layer: 1, n_head: 2 }).savePretrained(at('bare'))
    await new Llama({ vocab_size: 12, hidden_size: 16, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 }).savePretrained(at('llama'), { tokenizer })
    await expect(pipeline('text-generation', at('bare'))).rejects.toThrow(/has no tokenizer/)
    await expect(pipeline('translation', at('llama'))).rejects.toThrow(/llama cannot be loaded for 'seq2seq-lm'/)
    await expect(pipeline('text-generation', at('nothing'))).rejects.toThrow(CheckpointError)
    await expect(pipeline('text-clasification' as never, at('llama'))).rejects.toThrow(/do you mean 'text-classification'\?/)
  })
})
