import { writeFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError, IndexError, ShapeError } from '#lib/errors.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import { writeSafetensors } from '#lib/io/safetensorsWriter.js'
import type { AlbertModel } from '#lib/models/albert.js'
import { BertForMaskedLM, type BertForPreTraining, BertForSequenceClassification, type BertLMHeadModel } from '#lib/models/bert.js'
import type { DistilBertModel } from '#lib/models/distilbert.js'
import { sinusoidalTable } from '#lib/nn/positions.js'
import { reshape, slice } from '#lib/ops/view.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { type AnyEncoder, batchFor, classNamed, encoderClasses, furthest, idsFor, ints, numbers, outputsOf, tiny } from './tinyEncoders.js'
import { levels, recomputedPieces } from './recomputed.js'

const at = temporaryFolder()
const all = encoderClasses.map(kind => [kind.architecture, kind] as const)
const bases = all.filter(([, { task }]) => task === 'base')
const noDropout = {
  hidden_dropout_prob: 0, attention_probs_dropout_prob: 0, classifier_dropout_prob: 0, summary_last_dropout: 0, dropout: 0, attention_dropout: 0, qa_dropout: 0, seq_classif_dropout: 0,
}

describe.each(all)('%s', (_, kind) => {
  test('saved and loaded, it is the same class and computes the same; a tied weight is saved once', async () => {
    const model = tiny(kind, kind.task.endsWith('classification') ? { num_labels: 3 } : {}).eval()
    await saveModel(at('model'), model)
    const { model: loaded, config, drawn, unused } = await loadModel(at('model'))
    expect(loaded.constructor).toBe(model.constructor)
    expect([config['architectures'], config['model_type'], drawn, unused]).toEqual([[kind.architecture], kind.modelType, [], []])
    scope(() => { expect(outputsOf(loaded as AnyEncoder, idsFor(kind))).toEqual(outputsOf(model, idsFor(kind))) })
    const file = await openSafetensors(at('model'))
    expect([...file.tensors.keys()].filter(name => /decoder|(projector|lm_head)\.weight/.test(name))).toEqual([])
    await file.close()
    model.dispose()
    loaded.dispose()
  })

  const batch = (): Record<string, ReturnType<typeof ints>> => batchFor(kind)!
  if (kind.task === 'base') return

  test('every parameter gets a gradient, recomputed layers give the same, dropout included, and a pass leaves nothing', () => {
    const gradients = levels.map(on => {
      const model = tiny(kind)
      model.activationCheckpointing = on
      let pieces = 0
      const step = () => { scope(() => { const loss = model.loss(batch()); pieces = recomputedPieces(loss); backward(loss) }) }
      step()
      expect(on ? pieces > 0 : pieces === 0).toBe(true)
      const found = [...model.namedParameters()].map(([name, p]) => [name, p.grad && numbers(p.grad)])
      const before = memory().tensors
      step()
      expect(memory().tensors).toBe(before)
      model.dispose()
      return found
    })
    expect(gradients[0]!.filter(([, g]) => !g)).toEqual([])
    for (const other of gradients.slice(1)) expect(other).toEqual(gradients[0])
  })

  test('drops while it is trained, and not otherwise', () => {
    scope(() => noGrad(() => {
      const model = tiny(kind), loss = () => model.loss(batch()).itemSync() as number
      expect(loss()).not.toBe(loss())
      model.eval()
      expect(loss()).toBe(loss())
      model.dispose()
      const dry = tiny(kind, noDropout)
      expect(dry.loss(batch()).itemSync()).toBe(dry.eval().loss(batch()).itemSync())
      dry.dispose()
    }))
  })
})

describe('dropout', () => {
  test.each<[string, string]>([
    ['BertForMaskedLM', 'hidden_dropout_prob'], ['BertForMaskedLM', 'attention_probs_dropout_prob'], ['BertForTokenClassification', 'classifier_dropout'],
    ['BertForSequenceClassification', 'classifier_dropout'], ['RobertaForSequenceClassification', 'classifier_dropout'], ['AlbertForMaskedLM', 'hidden_dropout_prob'],
    ['AlbertForMaskedLM', 'attention_probs_dropout_prob'], ['AlbertForPreTraining', 'classifier_dropout_prob'], ['DistilBertForMaskedLM', 'dropout'],
    ['DistilBertForMaskedLM', 'attention_dropout'], ['DistilBertForQuestionAnswering', 'qa_dropout'], ['DistilBertForMultipleChoice', 'seq_classif_dropout'],
    ['ElectraForSequenceClassification', 'classifier_dropout'], ['ElectraForMultipleChoice', 'summary_first_dropout'], ['ElectraForMultipleChoice', 'summary_last_dropout'],
  ])('of %s: %s alone makes two passes differ', (architecture, key) => {
    const kind = classNamed(architecture), model = tiny(kind, { ...noDropout, [key]: 0.3 })
    scope(() => noGrad(() => { expect(model.loss(batchFor(kind)!).itemSync()).not.toBe(model.loss(batchFor(kind)!).itemSync()) }))
    model.dispose()
  })

  test('in front of a classifier is that of hidden states if there is none of its own', () => {
    const kind = classNamed('BertForSequenceClassification'), rates = { ...noDropout, hidden_dropout_prob: 0.3 }
    const differ = (options: object): boolean => scope(() => noGrad(() => {
      const model = tiny(kind, options)
      model.encoder.eval()
      const [a, b] = [0, 1].map(() => model.loss(batchFor(kind)!).itemSync())
      model.dispose()
      return a !== b
    }))
    expect([differ(rates), differ({ ...rates, classifier_dropout: 0 })]).toEqual([true, false])
  })
})

describe('masks', () => {
  test.each(bases)('%s: padding changes nothing for the tokens that the mask leaves', (_, kind) => {
    scope(() => noGrad(() => {
      const model = tiny(kind).eval(), { pad_token_id: pad } = model.config
      const padded = model.forward(ints([[4, 8, 2, pad!, pad!, pad!], [9, 9, 3, 4, 5, 6]]), { attentionMask: ints([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]) })
      expect(furthest(outputsOf(model, ints([[4, 8, 2]])), numbers(slice(slice(padded, 0, 0, 1), 1, 0, 3)))).toBeLessThan(1e-5)
      expect(furthest(outputsOf(model, ints([[9, 9, 3, 4, 5, 6]])), numbers(slice(padded, 0, 1, 2)))).toBeLessThan(1e-5)
      model.dispose()
    }))
  })

  test.each(bases)('%s: in four dimensions, as truth values or as numbers to add, it says the same as in two', (_, kind) => {
    scope(() => noGrad(() => {
      const model = tiny(kind).eval(), ids = idsFor(kind), mask = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]
      const two = outputsOf(model, ids, { attentionMask: ints(mask) })
      expect(furthest(two, outputsOf(model, ids, { attentionMask: reshape(ints(mask), [2, 1, 1, 6]) }))).toBeLessThan(1e-5)
      expect(furthest(two, outputsOf(model, ids, { attentionMask: tensor(mask.flat().map(m => m ? 0 : -1e30), [2, 1, 1, 6]) }))).toBeLessThan(1e-5)
      expect(furthest(two, outputsOf(model, ids))).toBeGreaterThan(1e-3)
      expect(() => model.forward(ids, { attentionMask: reshape(ints(mask), [2, 1, 6]) })).toThrow(ShapeError)
      model.dispose()
    }))
  })
})

describe('positions and texts', () => {
  test.each(bases)('%s: positions and texts that are given are used, and those of the default are the same as none', (_, kind) => {
    scope(() => noGrad(() => {
      const model = tiny(kind).eval(), ids = idsFor(kind), first = kind.modelType.includes('roberta') ? 2 : 0, range = (from: number) => ints([Array.from({ length: 6 }, (_, i) => from + i)])
      const usual = outputsOf(model, ids)
      expect(furthest(usual, outputsOf(model, ids, { positionIds: range(first) }))).toBeLessThan(1e-6)
      expect(furthest(usual, outputsOf(model, ids, { positionIds: range(first + 1) }))).toBeGreaterThan(1e-3)
      if (kind.modelType !== 'distilbert') {
        expect(furthest(usual, outputsOf(model, ids, { tokenTypeIds: ints([[0, 0, 0, 0, 0, 0]]) }))).toBeLessThan(1e-6)
        expect(furthest(usual, outputsOf(model, ids, { tokenTypeIds: ints([[0, 0, 1, 1, 1, 1]]) }))).toBeGreaterThan(1e-3)
      }
      model.dispose()
    }))
  })

  test('too long a text is refused', async () => {
    const long = ints([Array.from({ length: 25 }, (_, i) => i)]), bert = tiny(classNamed('BertModel')), roberta = tiny(classNamed('RobertaModel'))
    expect(() => bert.forward(long)).toThrow(ShapeError)
    expect(() => bert.forward(long)).toThrow(/25 tokens, the model was built for at most 24/)
    await expect((roberta.forward(long) as ReturnType<typeof ints>).data()).rejects.toThrow(IndexError)
    bert.dispose()
    roberta.dispose()
  })

  test('positions of DistilBERT begin as sinusoids if the configuration says so', () => {
    const model = tiny(classNamed('DistilBertModel'), { sinusoidal_pos_embds: true }) as unknown as DistilBertModel
    expect(model.embeddings.position_embeddings.weight.dataSync()).toEqual(sinusoidalTable(24, 16))
    model.dispose()
  })
})

describe('as a decoder', () => {
  const decoders = all.filter(([, { task }]) => task === 'causal-lm')

  test.each(decoders)('%s: tokens one by one, and in two pieces, give what all at once give, and none sees a later one', (_, kind) => {
    const model = tiny(kind, { is_decoder: true }).eval() as unknown as BertLMHeadModel, tokens = [3, 5, 9, 2, 7, 7, 3, 11]
    scope(() => noGrad(() => {
      const positionIds = ints([tokens.map((_, i) => i)])   // RoBERTa counts from 0 when it generates
      const whole = model.forward(ints([tokens]), { positionIds }), last = numbers(slice(whole, 1, 7, 8))
      const changed = model.forward(ints([tokens.with(7, 20)]), { positionIds })
      expect(numbers(slice(changed, 1, 0, 7))).toEqual(numbers(slice(whole, 1, 0, 7)))
      for (const pieces of [tokens.map(t => [t]), [tokens.slice(0, 3), tokens.slice(3)]]) {
        const state = model.prepare()
        let found: number[] = []
        for (const piece of pieces) found = numbers(model.decode(ints([piece]), state))
        expect(furthest(found, last)).toBeLessThan(1e-5)
        state.dispose()
      }
    }))
    model.dispose()
  })

  test('without is_decoder the first tokens see the last', () => {
    const model = tiny(classNamed('BertLMHeadModel')).eval()
    scope(() => noGrad(() => { expect(furthest(outputsOf(model, ints([[3, 5, 9]])).slice(0, 30), outputsOf(model, ints([[3, 5, 8]])).slice(0, 30))).toBeGreaterThan(1e-3) }))
    model.dispose()
  })
})

describe('files', () => {
  /** The model's tensors under other names, with more beside them. */
  async function rewritten(model: AnyEncoder, architecture: string, rename: (name: string) => string, more: Record<string, number[]> = {}): Promise<void> {
    await saveModel(at('old'), model)
    const { architectures, ...config } = (await loadModel(at('old'))).config
    writeFileSync(at('old/config.json'), JSON.stringify({ ...config, architectures: [architecture] }))
    await writeSafetensors(at('old/model.safetensors'), [
      ...[...model.stateDict()].map(([name, p]) => ({ name: rename(name), dtype: 'F32' as const, shape: p.shape, data: () => p.dataSync() as Float32Array })),
      ...Object.entries(more).map(([name, values]) => ({ name, dtype: 'F32' as const, shape: [values.length], data: () => Float32Array.from(values) })),
    ])
  }

  test('of the first BERT: norms with gamma and beta, positions as a tensor, and heads that the model has not', async () => {
    const model = tiny(classNamed('BertForPreTraining')).eval() as unknown as BertForPreTraining
    await rewritten(model as unknown as AnyEncoder, 'BertForMaskedLM', name => name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'), { 'bert.embeddings.position_ids': [0, 1] })
    const { model: loaded } = await loadModel(at('old'))
    expect(loaded).toBeInstanceOf(BertForMaskedLM)
    scope(() => { expect(numbers((loaded as BertForMaskedLM).forward(ints([[4, 5, 6]])))).toEqual(numbers(model.forward(ints([[4, 5, 6]])).predictionLogits)) })
    const { model: classifier, drawn } = await loadModel(at('old'), { task: 'sequence-classification', config: { num_labels: 4 } })
    expect((classifier as BertForSequenceClassification).config.num_labels).toBe(4)
    expect(drawn).toEqual(['classifier.weight', 'classifier.bias'])
    for (const each of [model, loaded, classifier]) each.dispose()
  })

  test('with a tied output layer that is there nonetheless', async () => {
    const model = tiny(classNamed('AlbertForMaskedLM')).eval(), bias = Array.from({ length: 30 }, () => 0)
    await rewritten(model, 'AlbertForMaskedLM', name => name, { 'predictions.decoder.bias': bias })
    const { model: loaded } = await loadModel(at('old'))
    scope(() => { expect(outputsOf(loaded as AnyEncoder, ints([[4, 5]]))).toEqual(outputsOf(model, ints([[4, 5]]))) })
    await rewritten(model, 'AlbertForMaskedLM', name => name, { 'predictions.decoder.bias': bias.with(3, 1) })
    await expect(loadModel(at('old'))).rejects.toThrow(/predictions.bias and predictions.decoder.bias differ/)
    model.dispose()
    loaded.dispose()
  })

  test('of an untied output layer hold it, with the bias that nobody uses', async () => {
    const model = tiny(classNamed('RobertaForMaskedLM'), { tie_word_embeddings: false }).eval()
    await saveModel(at('untied'), model)
    const { model: loaded } = await loadModel(at('untied'))
    expect([...loaded.stateDict().keys()].filter(name => /lm_head.*(decoder|bias)/.test(name)).sort()).toEqual(['lm_head.bias', 'lm_head.decoder.bias', 'lm_head.decoder.weight', 'lm_head.dense.bias', 'lm_head.layer_norm.bias'])
    scope(() => { expect(outputsOf(loaded as AnyEncoder, ints([[4, 5]]))).toEqual(outputsOf(model, ints([[4, 5]]))) })
    model.dispose()
    loaded.dispose()
  })
})

test('ALBERT uses its layers again: depth costs no parameter', () => {
  const [shallow, deep] = [2, 6].map(num_hidden_layers => tiny(classNamed('AlbertModel'), { num_hidden_layers }) as unknown as AlbertModel) as [AlbertModel, AlbertModel]
  expect(deep.parameterCount).toBe(shallow.parameterCount)
  expect([deep.layerCount, shallow.layerCount]).toEqual([12, 4])
  scope(() => noGrad(() => { expect(furthest(numbers(deep.eval().forward(ints([[4, 5]]))), numbers(shallow.eval().forward(ints([[4, 5]]))))).toBeGreaterThan(1e-3) }))
  for (const model of [shallow, deep]) model.dispose()
})

describe('a configuration', () => {
  test.each<[string, string, Record<string, unknown>, RegExp]>([
    ['heads that do not divide the width', 'BertModel', { hidden_size: 18, num_attention_heads: 4 }, /bert: hidden_size 18 is not a multiple of the 4 attention heads/],
    ['the same of DistilBERT', 'DistilBertModel', { n_heads: 3 }, /distilbert: dim 16 is not a multiple of the 3/],
    ['an activation with a typo', 'RobertaModel', { hidden_act: 'gleu' }, /roberta: hidden_act is "gleu"; do you mean gelu\?/],
    ['an activation with weights of its own', 'ElectraModel', { hidden_act: 'prelu' }, /hidden_act is "prelu".*Known are/],
    ['positions between tokens', 'BertModel', { position_embedding_type: 'relative_key' }, /position_embedding_type: "relative_key" is not supported/],
    ['attention to another encoder', 'RobertaForCausalLM', { add_cross_attention: true }, /add_cross_attention: true is not supported/],
    ['heads that were taken out', 'BertModel', { pruned_heads: { 0: [1] } }, /pruned_heads: .* is not supported/],
    ['a number as text', 'AlbertModel', { num_hidden_groups: '1' }, /num_hidden_groups is "1", expected a number/],
    ['no layers', 'BertModel', { num_hidden_layers: 0 }, /num_hidden_layers is 0, expected a positive integer/],
    ['an unknown problem', 'BertForSequenceClassification', { problem_type: 'ranking' }, /problem_type is "ranking" with 2 labels, expected one of: regression/],
    ['classes of which there is one', 'BertForSequenceClassification', { problem_type: 'single_label_classification', num_labels: 1 }, /classes need at least two labels/],
    ['two numbers of labels', 'BertForTokenClassification', { num_labels: 2, id2label: { 0: 'a', 1: 'b', 2: 'c' } }, /num_labels is 2, but id2label has 3 names/],
    ['an answer with three ends', 'BertForQuestionAnswering', { num_labels: 3 }, /bert: num_labels is 3, expected 2 for question answering/],
    ['padding outside of the vocabulary', 'BertModel', { pad_token_id: 30 }, /pad_token_id is 30, expected null or an id of the 30/],
    ['positions that nothing is counted from', 'RobertaModel', { pad_token_id: null }, /roberta: pad_token_id is null, expected an id from 0 to 23/],
    ['an unknown summary', 'ElectraForMultipleChoice', { summary_type: 'attn' }, /summary_type is "attn", expected one of: first, last, mean, cls_index/],
  ])('with %s: a clear error', (_, architecture, options, message) => {
    expect(() => tiny(classNamed(architecture), options)).toThrow(ConfigError)
    expect(() => tiny(classNamed(architecture), options)).toThrow(message)
  })

  test('names the labels that it has, or numbers them', async () => {
    manualSeed(1)
    const small = { vocab_size: 30, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 8, max_position_embeddings: 8 }
    const labelsOf = async (options: object): Promise<unknown[]> => {
      const model = new BertForSequenceClassification({ ...small, ...options })
      await saveModel(at('labels'), model)
      model.dispose()
      const { config } = await loadModel(at('labels'))
      return [config['id2label'], config['label2id'], config['num_labels']]
    }
    expect(await labelsOf({ num_labels: 3 })).toEqual([{ 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' }, { LABEL_0: 0, LABEL_1: 1, LABEL_2: 2 }, undefined])
    expect(await labelsOf({ id2label: { 0: 'no', 1: 'yes' } })).toEqual([{ 0: 'no', 1: 'yes' }, { no: 0, yes: 1 }, undefined])
    expect(await labelsOf({})).toEqual([undefined, undefined, undefined])
  })
})
