import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError, ShapeError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { DecoderForQuestionAnswering, DecoderForSequenceClassification, DecoderForTokenClassification } from '#lib/models/decoderHeads.js'
import { GPT2, GPT2Model } from '#lib/models/gpt2.js'
import { GPT2DoubleHeads } from '#lib/models/gpt2DoubleHeads.js'
import { pretrainedClasses } from '#lib/models/registry.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'

const small = {
  vocab_size: 23, hidden_size: 16, intermediate_size: 20, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2, initializer_range: 0.3, pad_token_id: 0,
  n_embd: 16, n_layer: 1, n_head: 2, n_positions: 16, n_inner: 20, ffn_dim: 20, rotary_dim: 4, rotary_pct: 0.5, num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 8,
  shared_expert_intermediate_size: 8,
}
const make = <M>(architecture: string, options: Record<string, unknown> = {}): M => {
  manualSeed(1)
  return pretrainedClasses.find(known => known.architecture === architecture)!.create({ ...small, ...options }) as unknown as M
}
const ids = (...rows: number[][]) => tensor(rows, null, { dtype: 'int32' })
const values = (x: Tensor): number[] => Array.from(x.dataSync() as Float32Array)
const rowsOf = (x: Tensor): number[][] => { const L = x.shape.at(-1)!; return Array.from({ length: x.size / L }, (_, i) => values(x).slice(i * L, (i + 1) * L)) }
const close = (a: number[], b: number[], within = 1e-5) => { a.forEach((v, i) => { expect(Math.abs(v - b[i]!)).toBeLessThan(within) }) }

describe('a classifier of sequences', () => {
  const classify = (model: DecoderForSequenceClassification, rows: number[][], mask?: number[][]): number[][] =>
    scope(() => noGrad(() => rowsOf(model.eval().forward(ids(...rows), { attentionMask: mask && ids(...mask) }))))

  test('reads the last token that is not padding, which may be on the right, on the left or within', () => {
    const model = make<DecoderForSequenceClassification>('LlamaForSequenceClassification', { num_labels: 3 })
    const [alone] = classify(model, [[4, 8, 2]])
    const [right, other] = classify(model, [[4, 8, 2, 0, 0], [7, 7, 3, 1, 5]])
    close(right!, alone!)
    close(other!, classify(model, [[7, 7, 3, 1, 5]])[0]!)
    // Rotary positions are relative: padding on the left that the mask hides moves nothing.
    close(classify(model, [[0, 0, 4, 8, 2]], [[0, 0, 1, 1, 1]])[0]!, alone!)
    close(classify(model, [[4, 0, 2, 0]])[0]!, classify(model, [[4, 0, 2]])[0]!)
    // Nothing but padding: the first column.
    close(classify(model, [[0, 0, 0]])[0]!, classify(model, [[0]])[0]!)
    model.dispose()
  })

  test('of several texts needs to know what padding is; of one it takes the last column', () => {
    const model = make<DecoderForSequenceClassification>('GPT2ForSequenceClassification', { pad_token_id: null })
    expect(() => classify(model, [[1, 2], [3, 4]])).toThrow(ConfigError)
    expect(() => classify(model, [[1, 2], [3, 4]])).toThrow(/2 texts at once.*pad_token_id is missing/)
    close(classify(model, [[5, 0]])[0]!, classify(make('GPT2ForSequenceClassification', { pad_token_id: 22 }), [[5, 0]])[0]!)
    model.dispose()
  })

  test('padding takes no gradient in a token embedding that has a padding row, but does in that of GPT-2, which has none', () => {
    for (const [name, row] of [['LlamaForSequenceClassification', 'model.embed_tokens.weight'], ['GPT2ForSequenceClassification', 'transformer.wte.weight']] as const) {
      const model = make<DecoderForSequenceClassification>(name)
      scope(() => { backward(model.loss({ ids: ids([0, 4, 8, 2], [3, 5, 0, 0]), labels: tensor(Int32Array.of(1, 0)) })) })
      const grad = new Map(model.namedParameters()).get(row)!.grad!
      expect(rowsOf(grad)[0]!.every(v => v === 0)).toBe(name.startsWith('Llama'))
      expect(rowsOf(grad)[4]!.some(v => v !== 0)).toBe(true)
      model.dispose()
    }
  })

  test('its loss is what the labels, or the configuration, say', () => {
    const text = ids([4, 8, 2], [7, 3, 0]), read = (options: object, labels: Tensor): [number, number[][]] => {
      const model = make<DecoderForSequenceClassification>('LlamaForSequenceClassification', { ...options }).eval()
      const found: [number, number[][]] = [scope(() => noGrad(() => model.loss({ ids: text, labels }).itemSync())), classify(model, [[4, 8, 2], [7, 3, 0]])]
      model.dispose()
      return found
    }
    const [classes, logits] = read({}, tensor(Int32Array.of(1, 0)))
    expect(classes).toBeCloseTo(-(logits[0]![1]! - Math.log(Math.exp(logits[0]![0]!) + Math.exp(logits[0]![1]!)) + logits[1]![0]! - Math.log(Math.exp(logits[1]![0]!) + Math.exp(logits[1]![1]!))) / 2, 5)
    const [numbers, one] = read({ num_labels: 1 }, tensor([3, 1]))
    expect(numbers).toBeCloseTo(((one[0]![0]! - 3) ** 2 + (one[1]![0]! - 1) ** 2) / 2, 5)
    const [several] = read({ problem_type: 'multi_label_classification' }, tensor([[1, 0], [0, 0]]))
    const binary = (x: number, y: number) => Math.log1p(Math.exp(x)) - x * y
    expect(several).toBeCloseTo((binary(logits[0]![0]!, 1) + binary(logits[0]![1]!, 0) + binary(logits[1]![0]!, 0) + binary(logits[1]![1]!, 0)) / 4, 5)
  })
})

test('a model that labels tokens drops hidden states at the rate of its configuration, 0.1 without', () => {
  for (const [options, wanted] of [[{}, 0.1], [{ hidden_dropout: 0.3 }, 0.3], [{ hidden_dropout: 0.3, classifier_dropout: 0.5 }, 0.5]] as const) {
    const model = make<DecoderForTokenClassification>('LlamaForTokenClassification', { ...options, num_labels: 400 }), text = ids([1, 2, 3])
    const dropout = [...model.namedChildren()].find(([name]) => name === 'dropout')![1] as unknown as { p: number }
    expect(dropout.p).toBe(wanted)
    const read = () => scope(() => noGrad(() => values(model.forward(text))))
    expect(read()).not.toEqual(read())
    model.eval()
    expect(read()).toEqual(read())
    model.dispose()
  }
})

test.each<[string, Record<string, unknown>, RegExp]>([
  ['no labels', { num_labels: 0 }, /num_labels is 0, expected a positive integer/],
  ['labels that are no number', { num_labels: 'two' }, /num_labels is "two", expected a positive integer/],
  ['two answers to how many labels there are', { num_labels: 3, id2label: { 0: 'a', 1: 'b' } }, /num_labels is 3, but id2label has 2 names/],
  ['an unknown problem', { problem_type: 'ranking' }, /problem_type is "ranking" with 2 labels, expected one of: regression/],
  ['one class', { problem_type: 'single_label_classification', num_labels: 1 }, /classes need at least two labels/],
])('%s: a clear error', (_, options, message) => {
  expect(() => make('GPT2ForSequenceClassification', options)).toThrow(ConfigError)
  expect(() => make('GPT2ForSequenceClassification', options)).toThrow(message)
})

describe('a directory', () => {
  let folder: string
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warpweft-heads-')) })
  afterEach(() => { rmSync(folder, { recursive: true }) })
  const tasksOf = (type: string): Set<string> => new Set(pretrainedClasses.filter(({ modelType }) => modelType === type).map(({ task }) => task))
  const isDecoder = (type: string): boolean => tasksOf(type).has('causal-lm') && !tasksOf(type).has('masked-lm') && !tasksOf(type).has('seq2seq-lm')
  const heads = pretrainedClasses.filter(({ modelType, task }) =>
    ['sequence-classification', 'token-classification', 'question-answering'].includes(task) && isDecoder(modelType))

  test.each(heads.map(({ architecture }) => architecture))('%s: saved and loaded, it is the same class and computes the same', async architecture => {
    const Kind = [DecoderForSequenceClassification, DecoderForTokenClassification, DecoderForQuestionAnswering].find(({ name }) => architecture.endsWith(name.slice('Decoder'.length)))!
    const model = make<DecoderForTokenClassification>(architecture, architecture.endsWith('QuestionAnswering') ? {} : { num_labels: 3 }).eval()
    await saveModel(join(folder, 'model'), model)
    expect(model).toBeInstanceOf(Kind)
    const config = JSON.parse(readFileSync(join(folder, 'model', 'config.json'), 'utf8')) as Record<string, unknown>
    expect(config['architectures']).toEqual([architecture])
    if (!architecture.endsWith('QuestionAnswering')) expect(config['id2label']).toEqual({ 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' })
    expect(config).not.toHaveProperty('num_labels')
    const { model: loaded } = await loadModel(join(folder, 'model'))
    const outputs = (m: unknown): number[] => scope(() => noGrad(() => {
      const y = (m as { forward(ids: Tensor): Tensor | { startLogits: Tensor, endLogits: Tensor } }).forward(ids([3, 1, 4, 1, 5]))
      return 'startLogits' in y ? [...values(y.startLogits), ...values(y.endLogits)] : values(y)
    }))
    expect(loaded.constructor).toBe(model.constructor)
    expect(outputs(loaded)).toEqual(outputs(model))
    model.dispose()
    loaded.dispose()
  })

  test('the layers are taken from where the file has them: under the family\'s prefix, the head\'s, or none', () => {
    const known = pretrainedClasses.find(({ architecture }) => architecture === 'LlamaForQuestionAnswering')!, model = known.create(small)
    for (const name of ['transformer.norm.weight', 'model.norm.weight', 'norm.weight']) expect(known.nameOf(name, model)).toBe('transformer.norm.weight')
    expect(known.nameOf('qa_outputs.bias', model)).toBe('qa_outputs.bias')
    expect(known.nameOf('transformer.layers.0.self_attn.rotary_emb.inv_freq', model)).toBeUndefined()
    expect([...model.namedParameters({ once: false })].length).toBe([...model.namedParameters()].length)   // nothing is counted twice
    model.dispose()
  })
})

test('a head is for the layers that it was given', () => {
  const layers = new GPT2Model(small), model = new DecoderForSequenceClassification(layers, 'transformer')
  expect(model.decoder).toBe(layers)
  expect([...model.stateDict().keys()].at(-1)).toBe('score.weight')
  model.activationCheckpointing = true
  expect(layers.activationCheckpointing).toBe(true)
  expect([model.vocabSize, model.maxPositions]).toEqual([23, 16])
  model.dispose()
})

describe('GPT-2 with two heads', () => {
  const texts = [[[1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 7, 0]]], [B, N, T] = [1, 3, 4]
  const choices = () => tensor(texts.flat(2), [B, N, T], { dtype: 'int32' })

  test('judges the last token of each text, or those that are named, and goes on with texts as GPT-2 does', async () => {
    const model = make<GPT2DoubleHeads>('GPT2DoubleHeadsModel').eval()
    const chosen = (tokens?: number[]) => scope(() => noGrad(() => values(model.choose({ ids: choices(), choiceTokens: tokens && tensor(tokens, [B, N], { dtype: 'int32' }) }).choiceLogits)))
    const byHand = texts[0]!.map((text, n) => scope(() => noGrad(() => {
      const x = rowsOf(model.decoder.forward(ids(text))), weight = values(model.multiple_choice_head.summary.weight), bias = values(model.multiple_choice_head.summary.bias!)[0]!
      return [3, 3, 2].map(place => x[n === 2 ? place : 3]!.reduce((sum, value, c) => sum + value * weight[c]!, bias))
    })))
    close(chosen(), [byHand[0]![0]!, byHand[1]![0]!, byHand[2]![0]!])
    close(chosen([3, 3, 2]), [byHand[0]![0]!, byHand[1]![0]!, byHand[2]![2]!])
    expect(chosen()[2]).not.toBeCloseTo(chosen([3, 3, 2])[2]!, 3)

    const plain = new GPT2({ ...small, tie_word_embeddings: true }).eval()
    plain.loadStateDict(new Map([...plain.stateDict()].map(([name]) => { const p = model.stateDict().get(name)!; return [name, { shape: p.shape, data: p.dataSync() as Float32Array }] })))
    expect(await generate(model, [1, 2, 3], { maxNewTokens: 8 })).toEqual(await generate(plain, [1, 2, 3], { maxNewTokens: 8 }))
    for (const each of [model, plain]) each.dispose()
  })

  test('learns both, from one pass', () => {
    const model = make<GPT2DoubleHeads>('GPT2DoubleHeadsModel', { summary_first_dropout: 0, embd_pdrop: 0, resid_pdrop: 0, attn_pdrop: 0 })
    const { loss, choiceLoss } = model.choiceLosses({ ids: choices(), labels: choices(), choiceLabels: tensor([1], null, { dtype: 'int32' }) })
    const logits = scope(() => noGrad(() => values(model.choose({ ids: choices() }).choiceLogits)))
    expect(choiceLoss.itemSync()).toBeCloseTo(Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0)) - logits[1]!, 5)
    expect(loss.itemSync()).toBeCloseTo(scope(() => model.loss({ ids: ids(...texts[0]!), labels: ids(...texts[0]!) }).itemSync()), 5)
    backward(choiceLoss)
    expect(values(model.multiple_choice_head.summary.weight.grad!).some(value => value !== 0)).toBe(true)
    model.dispose()
  })

  test('is loaded and saved under the names of transformers; a head that a file lacks is drawn', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'warpweft-heads-'))
    try {
      const model = make<GPT2DoubleHeads>('GPT2DoubleHeadsModel'), plain = new GPT2(small)
      await saveModel(join(folder, 'double'), model)
      await saveModel(join(folder, 'plain'), plain)
      expect(JSON.parse(readFileSync(join(folder, 'double', 'config.json'), 'utf8'))).toMatchObject({ architectures: ['GPT2DoubleHeadsModel'], model_type: 'gpt2' })
      const again = await loadModel(join(folder, 'double')), fresh = await loadModel(join(folder, 'plain'), { task: 'multiple-choice' })
      expect(again.model).toBeInstanceOf(GPT2DoubleHeads)
      expect([...again.model.stateDict()].map(([name, p]) => [name, values(p as unknown as Tensor)])).toEqual([...model.stateDict()].map(([name, p]) => [name, values(p as unknown as Tensor)]))
      expect(fresh.drawn.sort()).toEqual(['multiple_choice_head.summary.bias', 'multiple_choice_head.summary.weight'])
      for (const each of [model, plain, again.model, fresh.model]) each.dispose()
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('says what does not fit', () => {
    expect(() => make('GPT2DoubleHeadsModel', { summary_type: 'mean' })).toThrow(/summary_type is "mean".*expected "cls_index"/)
    expect(() => make('GPT2DoubleHeadsModel', { summary_proj_to_labels: false })).toThrow(ConfigError)
    const model = make<GPT2DoubleHeads>('GPT2DoubleHeadsModel')
    expect(() => model.choose({ ids: ids([1, 2]) })).toThrow(/ids are \[1, 2\], expected \[B, N, T\]/)
    expect(() => model.choose({ ids: choices(), choiceTokens: ids([1, 2]) })).toThrow(ShapeError)
    expect(() => model.choose({ ids: choices(), attentionMask: ids([1, 1, 1, 1]) })).toThrow(/attentionMask is \[1, 4\], expected \[1, 3, 4\]/)
    model.dispose()
  })
})
