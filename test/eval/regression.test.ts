import { describe, expect, test } from '@jest/globals'
import { meanAbsoluteError, meanSquaredError, pearson, r2, rootMeanSquaredError, spearman } from '#lib/eval/index.js'
import { DataError } from '#lib/errors.js'

describe('regression', () => {
  const targets = [1, 2, 2, 4], predictions = [1.5, 1.5, 2.5, 3]

  test('errors and correlations equal those of scikit-learn and SciPy', () => {
    expect(meanSquaredError(predictions, targets)).toBe(0.4375)
    expect(rootMeanSquaredError(predictions, targets)).toBe(Math.sqrt(0.4375))
    expect(meanAbsoluteError(predictions, targets)).toBe(0.625)
    expect(r2(predictions, targets)).toBeCloseTo(0.631578947368421, 12)
    expect(pearson(predictions, targets)).toBeCloseTo(0.8388704928078613, 12)
    expect(spearman(predictions, targets)).toBeCloseTo(0.8333333333333335, 12)
  })

  test('keep their digits where the values are large against their spread', () => {
    const shifted = targets.map((x) => x + 1e9)
    expect(pearson(predictions, shifted)).toBeCloseTo(0.8388704928078613, 9)
    expect(pearson([999999.3999999999, 999999.4], [999999.2, 999999.9])).toBeCloseTo(1, 9)
  })

  test('a constant has no correlation, even one whose mean does not round to it', () => {
    expect(pearson([1, 2, 3], [0.1, 0.1, 0.1])).toBeNaN()
    expect(spearman([0.1, 0.1, 0.1], [1, 2, 3])).toBeNaN()
    expect(r2([1, 2], [2, 2])).toBe(0)
    expect(r2([2, 2], [2, 2])).toBe(1)
    expect(r2([2], [2])).toBeNaN()
  })

  test('accept typed arrays and reject what is not finite', () => {
    expect(meanSquaredError(new Float32Array([1, 2]), new Float64Array([1, 4]))).toBe(2)
    expect(() => meanSquaredError([1, NaN], [1, 2])).toThrow(/pair 1 is NaN and 2/)
    expect(() => pearson([1], [1, 2])).toThrow(DataError)
  })
})
