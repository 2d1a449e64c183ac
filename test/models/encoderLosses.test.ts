import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError, ShapeError } from '#lib/errors.js'
import type { BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification } from '#lib/models/bert.js'
import { AdamW } from '#lib/optim/adamW.js'
import { tensor } from '#lib/tensor/create.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { batchFor, classNamed, encoderClasses, idsFor, ints, numbers, tiny } from './tinyEncoders.js'

const classifier = (options: object = {}): BertForSequenceClassification => tiny(classNamed('BertForSequenceClassification'), options).eval() as unknown as BertForSequenceClassification
const ids = (): Tensor => idsFor(classNamed('BertModel'))
const average = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length
const logSoftmax = (x: number[], i: number): number => x[i]! - Math.log(x.reduce((s, v) => s + Math.exp(v), 0))

/** [loss, what it should be] of a model, for the logits that it gives, in rows. */
function lossOf(model: BertForSequenceClassification, labels: Tensor, expected: (rows: number[][]) => number, options: object = {}): void {
  scope(() => noGrad(() => {
    const logits = numbers(model.forward(ids())), L = logits.length / 2
    expect(model.loss({ ids: ids(), labels }, options).itemSync()).toBeCloseTo(expected([logits.slice(0, L), logits.slice(L)]), 5)
  }))
  model.dispose()
}

describe('whole texts', () => {
  const floats = [0.5, -2, 1, 0.25, 3, 0], whether = [1, 0, 0, 1, 1, 0]
  const bce = (rows: number[][]): number[] => rows.flat().map((x, i) => Math.log(1 + Math.exp(x)) - x * whether[i]!)

  test('classes: cross-entropy, one that does not count left out', () => {
    lossOf(classifier({ num_labels: 3 }), ints([2, -100]), rows => -logSoftmax(rows[0]!, 2))
    lossOf(classifier({ num_labels: 3 }), ints([[2], [1]]), rows => -(logSoftmax(rows[0]!, 2) + logSoftmax(rows[1]!, 1)), { reduction: 'sum' })
  })

  test('a number: the squared difference, whatever the shape and dtype of the label', () => {
    const expected = (a: number, b: number) => (rows: number[][]) => average([(rows[0]![0]! - a) ** 2, (rows[1]![0]! - b) ** 2])
    lossOf(classifier({ num_labels: 1 }), tensor([0.5, -2]), expected(0.5, -2))
    lossOf(classifier({ num_labels: 1 }), tensor([[0.5], [-2]]), expected(0.5, -2))
    lossOf(classifier({ num_labels: 1 }), ints([1, 4]), expected(1, 4))
  })

  test('several numbers, if the configuration says so', () => {
    lossOf(classifier({ num_labels: 3, problem_type: 'regression' }), tensor(floats, [2, 3]), rows => average(rows.flat().map((x, i) => (x - floats[i]!) ** 2)))
  })

  test('labels that each apply or not: binary cross-entropy, guessed from numbers that are not whole, or told', () => {
    lossOf(classifier({ num_labels: 3 }), tensor(whether, [2, 3]), rows => average(bce(rows)))
    lossOf(classifier({ num_labels: 3, problem_type: 'multi_label_classification' }), ints([[1, 0, 0], [1, 1, 0]]), rows => 6 * average(bce(rows)), { reduction: 'sum' })
  })

  test('only classes are smoothed', () => {
    const model = classifier({ num_labels: 1 })
    expect(() => model.loss({ ids: ids(), labels: tensor([0.5, -2]) }, { labelSmoothing: 0.1 })).toThrow(ConfigError)
    expect(() => model.loss({ ids: ids(), labels: tensor([0.5, -2, 1]) })).toThrow(ShapeError)
    model.dispose()
  })
})

test('answers: both ends count half, one behind the text not at all, one before it as its beginning', () => {
  const model = tiny(classNamed('BertForQuestionAnswering')).eval() as unknown as BertForQuestionAnswering
  scope(() => noGrad(() => {
    const { startLogits, endLogits } = model.forward(ids()), [s, e] = [numbers(startLogits), numbers(endLogits)]
    const loss = (startPositions: number[], endPositions: number[]) => model.loss({ ids: ids(), startPositions: ints(startPositions), endPositions: ints(endPositions) }).itemSync() as number
    const start = [-logSoftmax(s.slice(0, 6), 0), -logSoftmax(s.slice(6), 4)], end = -logSoftmax(e.slice(0, 6), 3)
    expect(loss([-7, 4], [3, 6])).toBeCloseTo((average(start) + end) / 2, 5)
    expect(loss([-7, 4], [3, 99])).toBe(loss([0, 4], [3, 6]))
    expect(loss([6, 7], [6, 6])).toBe(0)
  }))
  model.dispose()
})

test('choices need a dimension of their own', () => {
  const model = tiny(classNamed('RobertaForMultipleChoice'))
  expect(() => model.forward(ints([[4, 5], [6, 7]]))).toThrow(/ids are \[2, 2\], expected \[B, N, T\]/)
  model.dispose()
})

test('tokens of a sum count as often as there are labels', () => {
  const kind = classNamed('BertForTokenClassification'), model = tiny(kind).eval() as unknown as BertForTokenClassification
  scope(() => noGrad(() => {
    const batch = batchFor(kind) as { ids: Tensor, labels: Tensor }
    expect(model.loss(batch, { reduction: 'sum' }).itemSync()).toBeCloseTo(9 * (model.loss(batch).itemSync() as number), 4)
  }))
  model.dispose()
})

test('ELECTRA counts the tokens that its mask names', () => {
  const kind = classNamed('ElectraForPreTraining'), model = tiny(kind).eval()
  scope(() => noGrad(() => {
    const { ids, labels } = batchFor(kind)!, attentionMask = ints([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    const x = numbers(model.forward(ids!, { attentionMask }) as Tensor), y = [0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1]
    const losses = x.map((v, i) => Math.log(1 + Math.exp(v)) - v * y[i]!).filter((_, i) => i !== 4 && i !== 5)
    expect(model.loss({ ids, labels, attentionMask }).itemSync()).toBeCloseTo(average(losses), 5)
    expect(model.loss({ ids, labels, attentionMask }, { reduction: 'sum' }).itemSync()).toBeCloseTo(10 * average(losses), 4)
  }))
  model.dispose()
})

const trained = encoderClasses.filter(({ task, modelType }) => task === 'sequence-classification' || (task === 'multiple-choice' && modelType === 'bert'))
test.each(trained.map(kind => [kind.architecture, kind] as const))('%s learns two texts by heart, in half precision as well', (_, kind) => {
  for (const precision of ['float32', 'bfloat16'] as const) {
    const model = tiny(kind, { initializer_range: 0.1 }), optimizer = new AdamW(model, { learningRate: 5e-3 }), batch = batchFor(kind)!
    const loss = (): number => scope(() => noGrad(() => model.eval().loss(batch).itemSync() as number)), before = loss()
    for (let step = 0; step < 40; step++) {
      model.train()
      scope(() => { backward(autocast(precision, () => model.loss(batch))) })
      optimizer.step()
      model.zeroGrad()
    }
    expect(before).toBeGreaterThan(0.4)
    expect(loss()).toBeLessThan(0.1)
    model.dispose()
  }
})
