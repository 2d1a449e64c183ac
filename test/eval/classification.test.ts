import { describe, expect, test } from '@jest/globals'
import {
  accuracy, averagePrecision, balancedAccuracy, cohenKappa, confusionMatrix, f1, logLoss, matthewsCorrelation, perClass, perplexity,
  precisionRecall, rocAuc,
} from '#lib/eval/index.js'
import { ConfigError, DataError } from '#lib/errors.js'

const labels = ['cat', 'dog', 'dog', 'emu', 'cat', 'emu', 'dog', 'cat']
const predictions = ['cat', 'dog', 'cat', 'emu', 'dog', 'cow', 'dog', 'cat']

// Expected values: scikit-learn 1.8.
describe('classification', () => {
  test('the confusion matrix has true classes in rows, predicted ones in columns, in order', () => {
    expect(confusionMatrix(predictions, labels)).toEqual({
      classes: ['cat', 'cow', 'dog', 'emu'], counts: [[2, 0, 1, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 1, 0, 1]],
    })
    expect(confusionMatrix([10, 9, 10], [9, 9, 10]).classes).toEqual([9, 10])
    expect(confusionMatrix([1, 0], [1, 1], { classes: [1, 0, 2] }).counts).toEqual([[1, 1, 0], [0, 0, 0], [0, 0, 0]])
  })

  test.each([
    ['micro', 0.625, 0.625, 0.625], ['macro', 0.5833333333333333, 0.4583333333333333, 0.5], ['weighted', 0.75, 0.625, 0.6666666666666666],
  ] as const)('%s precision, recall and F1', (average, precision, recall, f) => {
    const result = precisionRecall(predictions, labels, { average })
    expect([result.precision, result.recall, result.f].map((x) => x.toFixed(12))).toEqual([precision, recall, f].map((x) => x.toFixed(12)))
    expect(f1(predictions, labels, { average })).toBeCloseTo(f, 12)
  })

  test('a class that is never true or never predicted scores zeroDivision', () => {
    expect(perClass(predictions, labels)[1]).toEqual({ label: 'cow', precision: 0, recall: 0, f: 0, support: 0 })
    expect(perClass(predictions, labels, { zeroDivision: 1 })[1]).toMatchObject({ precision: 0, recall: 1, f: 0 })
  })

  test('binary scores are those of the positive class', () => {
    expect(precisionRecall([1, 1, 0, 0, 1], [1, 0, 1, 0, 1])).toEqual({ precision: 2 / 3, recall: 2 / 3, f: 2 / 3 })
    expect(precisionRecall(['y', 'y', 'n'], ['y', 'n', 'n'], { positive: 'y' })).toMatchObject({ precision: 0.5, recall: 1 })
    expect(precisionRecall([1, 1, 0], [1, 0, 0], { beta: 2 }).f).toBeCloseTo(5 * 0.5 / (4 * 0.5 + 1), 12)
    expect(precisionRecall([0, 0], [0, 0]).f).toBe(0)
    expect(() => precisionRecall(predictions, labels)).toThrow(/expects two classes, got 4/)
    expect(() => precisionRecall(['y', 'n'], ['y', 'n'])).toThrow(/positive class 1 does not occur/)
  })

  test('agreement', () => {
    expect(accuracy(predictions, labels)).toBe(0.625)
    expect(balancedAccuracy(predictions, labels)).toBeCloseTo(0.611111111111111, 12)
    expect(matthewsCorrelation(predictions, labels)).toBeCloseTo(0.4652421051992354, 12)
    expect(cohenKappa(predictions, labels)).toBeCloseTo(0.4545454545454546, 12)
    const p = [0, 2, 2, 1, 3, 1], y = [0, 1, 2, 3, 2, 1]
    expect(cohenKappa(p, y)).toBeCloseTo(0.3076923076923076, 12)
    expect(cohenKappa(p, y, { weights: 'linear' })).toBeCloseTo(0.36842105263157887, 12)
    expect(cohenKappa(p, y, { weights: 'quadratic' })).toBeCloseTo(0.4545454545454546, 12)
    expect(matthewsCorrelation([1, 1], [0, 1])).toBe(0)
    expect(cohenKappa([1, 1], [1, 1])).toBeNaN()
  })

  test('areas count ties half, or all at once', () => {
    const scores = [0.1, 0.4, 0.4, 0.8, 0.3, 0.1], y = [0, 0, 1, 1, 1, 0]
    expect(rocAuc(scores, y)).toBeCloseTo(0.8333333333333334, 12)
    expect(averagePrecision(scores, y)).toBeCloseTo(0.8055555555555556, 12)
    expect(rocAuc(new Float32Array([1, 1, 1]), [true, false, false])).toBe(0.5)
    expect(() => rocAuc([1, 2], [1, 1])).toThrow(/2 positive and 0 negative/)
    expect(() => averagePrecision([1, 2], [0, 0])).toThrow(DataError)
    expect(() => rocAuc([1, NaN], [1, 0])).toThrow(/scores\[1\] is NaN/)
    expect(() => rocAuc([1, 2], [1, 2])).toThrow(/labels\[1\] is 2/)
  })

  test('log loss stays finite for a class that was said to be impossible', () => {
    expect(logLoss([[0.7, 0.2, 0.1], [0, 0, 1], [0.25, 0.25, 0.5]], [0, 1, 2])).toBeCloseTo(12.364491837871945, 9)
    expect(logLoss([0.25, 0.5], [0, 1])).toBeCloseTo(0.4904146265058631, 12)
    expect(() => logLoss([[2, -1]], [0])).toThrow(/apply softmax/)
    expect(() => logLoss([[0.5, 0.5]], [2])).toThrow(/expected a class index from 0 to 1/)
  })

  test('perplexity is e to the mean negative log-likelihood', () => {
    expect(perplexity(0)).toBe(1)
    expect(perplexity(Math.log(8))).toBeCloseTo(8, 12)
    expect(() => perplexity(NaN)).toThrow(DataError)
    expect(() => perplexity(-1)).toThrow(/is -1/)
  })

  test('bad input says what was expected', () => {
    expect(() => accuracy([1], [1, 2])).toThrow(/1 predictions and 2 labels/)
    expect(() => accuracy([], [])).toThrow(DataError)
    expect(() => confusionMatrix([NaN], [1])).toThrow(/predictions\[0\] is NaN/)
    expect(() => confusionMatrix([3], [1], { classes: [1, 2] })).toThrow(/expected one of the classes 1, 2/)
    expect(() => precisionRecall([1], [1], { average: 'mean' as 'macro' })).toThrow(ConfigError)
    expect(() => precisionRecall([1], [1], { beta: 0 })).toThrow(ConfigError)
    expect(() => cohenKappa([1], [1], { weights: 'cubic' as 'linear' })).toThrow(/none, linear or quadratic/)
  })
})
