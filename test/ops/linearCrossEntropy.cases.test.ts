import { describe, expect, test } from '@jest/globals'
import { ConfigError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { full, tensor } from '#lib/tensor/create.js'
import { defaultDevice, memory } from '#lib/tensor/device.js'
import type { DType } from '#lib/tensor/dtype.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { mul } from '#lib/ops/mul.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { linear } from '#lib/ops/linear.js'
import { linearCrossEntropy, type LinearCrossEntropyOptions } from '#lib/ops/linearCrossEntropy.js'
import { transpose } from '#lib/ops/view.js'
import { integers, normal, opCases, values, type Array64, type Input, type OpCase } from './opCases.js'

type Options = Omit<LinearCrossEntropyOptions, 'bias'>

/** By row: -sum of target * log p + zLoss * lse², with targets smoothed, over the positions that count. */
function reference(x: Array64, weight: Array64, bias: Array64 | undefined, labels: Array64, { labelSmoothing = 0, ignoreIndex = -100, zLoss = 0, reduction = 'mean' }: Options): Array64 {
  const [V, K] = weight.shape as [number, number]
  let sum = 0, counted = 0
  labels.data.forEach((label, r) => {
    if (label === ignoreIndex) return
    const logits = Array.from({ length: V }, (_, v) => Array.from({ length: K }, (__, k) => x.data[r * K + k]! * weight.data[v * K + k]!).reduce((a, b) => a + b, bias?.data[v] ?? 0))
    const highest = Math.max(...logits), lse = highest + Math.log(logits.reduce((a, v) => a + Math.exp(v - highest), 0))
    sum += logits.reduce((a, v, j) => a - ((j === label ? 1 - labelSmoothing : 0) + labelSmoothing / V) * (v - lse), 0) + zLoss * lse * lse
    counted++
  })
  return { shape: [], data: Float64Array.of(reduction === 'mean' ? sum / Math.max(counted, 1) : sum) }
}

/** Every fourth label is ignored. */
const labelsOf = (shape: number[], V: number, ignored = -100): Input => {
  const all = integers(shape, V, { seed: 3 })
  return { ...values(shape, i => i % 4 === 1 ? ignored : all.data[i]!), dtype: 'int32' }
}

const lossCase = (shape: number[], V: number, options: Options, withBias = true): OpCase => ({
  name: `[${shape.join(', ')}] to ${V} ${JSON.stringify(options)}${withBias ? ' with bias' : ''}`,
  inputs: {
    x: normal(shape, { seed: 1 }), weight: normal([V, shape.at(-1)!], { seed: 2, std: shape.at(-1)! ** -0.5 }), labels: labelsOf(shape.slice(0, -1), V, options.ignoreIndex),
    ...withBias ? { bias: { ...normal([V], { seed: 4 }), dtype: 'float32' as const, gradient: true } } : {},
  },
  run: ({ x, weight, labels, bias }) => linearCrossEntropy(x!, weight!, labels!, { bias, ...options }),
  reference: ({ x, weight, labels, bias }) => reference(x!, weight!, bias, labels!, options),
  ulps: 16, gradientUlps: 32,
})

opCases('linearCrossEntropy', [
  lossCase([7, 5], 9, { rows: 3 }),
  lossCase([2, 4, 8], 17, { rows: 2, labelSmoothing: 0.1 }, false),
  lossCase([5, 3], 6, { rows: 1, reduction: 'sum', ignoreIndex: 0 }),
  lossCase([9, 16], 33, { rows: 4, zLoss: 0.01 }, false),
  lossCase([6, 4], 5, { rows: 6 }),
  lossCase([6, 4], 5, {}),
])

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const furthest = (a: Tensor, b: Tensor): number => {
  const [x, y] = [numbers(a), numbers(b)]
  return Math.max(...x.map((v, i) => Math.abs(v - y[i]!))) / Math.max(...y.map(Math.abs))
}
const leaf = (a: Array64, dtype: DType = 'float32'): Tensor => tensor(Float32Array.from(a.data), a.shape, { dtype, requiresGrad: true })

const M = 50, K = 12, V = 40
const inputs = () => ({ x: leaf(normal([M, K], { seed: 1 })), weight: leaf(normal([V, K], { seed: 2, std: 0.5 })), bias: leaf(normal([V], { seed: 3 })), labels: tensor([...labelsOf([M], V).data], null, { dtype: 'int32' }) })

describe('linearCrossEntropy', () => {
  test.each(['float32', 'bfloat16', 'float16'] as const)('in pieces equals linear and crossEntropy in %s, loss and gradients, also with a scale behind them', precision => {
    const bound = { float32: 3e-6, bfloat16: 0.02, float16: 0.003 }[precision]
    for (const options of [{}, { reduction: 'sum' }, { labelSmoothing: 0.2, zLoss: 0.01 }] as const)
      for (const logitsDtype of [undefined, 'float32'] as const)
        for (const scale of [1, 1024])
          scope(() => {
            const a = inputs(), b = inputs()
            const [loss, expected] = autocast(precision, () => [
              linearCrossEntropy(a.x, a.weight, a.labels, { bias: a.bias, logitsDtype, rows: 16, ...options }),
              crossEntropy(linear(b.x, b.weight, b.bias, { dtype: logitsDtype }), b.labels, options),
            ] as const)
            backward(mul(loss, scale))
            backward(mul(expected, scale))
            expect(furthest(loss, expected)).toBeLessThanOrEqual(bound)
            for (const name of ['x', 'weight', 'bias'] as const) expect(furthest(a[name].grad!, b[name].grad!)).toBeLessThanOrEqual(bound)
          })
  })

  test('in float16 a loss scale saves the gradients of small probabilities, as it does in the composition', () => {
    scope(() => {
      const few = 40, onlyBias = () => ({ x: tensor(new Float32Array(few * K), [few, K]), weight: tensor(new Float32Array(V * K), [V, K]), bias: leaf({ data: Array.from({ length: V }, (_, v) => v === 0 ? 0 : -18 - Math.round(16 * v / V) / 16), shape: [V] } as never) })
      const labels = tensor(new Int32Array(few), [few]), { x, weight, bias } = onlyBias()
      for (const reduction of ['sum', 'mean'] as const) {
        backward(autocast('float16', () => linearCrossEntropy(x, weight, labels, { bias, rows: 16, reduction })), full([], 4096))
        const of = numbers(bias.grad!).map(g => g / 4096 / (reduction === 'sum' ? few : 1)), p = numbers(bias).map(Math.exp)
        for (let v = 1; v < V; v++) expect(Math.abs(of[v]! / p[v]! - 1)).toBeLessThan(0.01)   // e^-18 to e^-19: half of float16's least number and less
        bias.grad!.dispose()
        bias.grad = undefined
      }
    })
  })

  test('gradients of two calls add up, those of what is frozen are not computed', () => {
    scope(() => {
      const { x, weight, labels } = inputs(), once = inputs()
      backward(linearCrossEntropy(once.x, once.weight, once.labels, { rows: 16 }))
      for (let k = 0; k < 2; k++) backward(linearCrossEntropy(x, weight, labels, { rows: 16 }))
      expect(numbers(weight.grad!)).toEqual(numbers(once.weight.grad!).map(v => Math.fround(2 * v)))
      expect(numbers(x.grad!)).toEqual(numbers(once.x.grad!).map(v => Math.fround(2 * v)))
      const frozen = inputs()
      frozen.weight.requiresGrad = false
      backward(linearCrossEntropy(frozen.x, frozen.weight, frozen.labels, { rows: 16, bias: frozen.bias }))
      expect(frozen.weight.grad).toBeUndefined()
      const free = inputs()
      backward(linearCrossEntropy(free.x, free.weight, free.labels, { rows: 16, bias: free.bias }))
      expect(numbers(frozen.x.grad!)).toEqual(numbers(free.x.grad!))
      expect(furthest(frozen.bias.grad!, free.bias.grad!)).toBeLessThan(1e-6)
    })
  })

  test('a transposed weight and strided rows are taken as they lie', () => {
    scope(() => {
      const { x, weight, labels } = inputs(), xT = leaf(normal([K, M], { seed: 1 })), wT = leaf(normal([K, V], { seed: 2 }))
      for (const t of [x, weight]) t.requiresGrad = false
      const strided = linearCrossEntropy(transpose(xT), transpose(wT), labels, { rows: 16 }), expected = crossEntropy(linear(transpose(xT), transpose(wT)), labels)
      expect(furthest(strided, expected)).toBeLessThan(1e-6)
    })
  })

  test('where all positions are ignored, the loss and the gradients are 0', () => {
    scope(() => {
      const { x, weight } = inputs(), labels = tensor(new Array<number>(M).fill(-100), null, { dtype: 'int32' }), loss = linearCrossEntropy(x, weight, labels, { rows: 16 })
      backward(loss)
      expect([...numbers(loss), ...numbers(x.grad!), ...numbers(weight.grad!)].every(v => v === 0)).toBe(true)
    })
  })

  test('the peak of memory is a tenth of what all logits take, and nothing is left behind', () => {
    const before = memory(), rows = 8192, classes = 2048
    scope(() => {
      const x = leaf(normal([rows, 8], { seed: 1 })), weight = leaf(normal([classes, 8], { seed: 2 })), targets = tensor([...integers([rows], classes, { seed: 3 }).data], null, { dtype: 'int32' })
      const peakOf = (run: () => Tensor): number => {
        const { bytes } = memory()
        defaultDevice().resetPeakMemory()
        scope(() => { backward(run()) })
        return memory().peakBytes - bytes
      }
      expect(peakOf(() => linearCrossEntropy(x, weight, targets))).toBeLessThan(rows * classes * 4 / 10)
      expect(peakOf(() => crossEntropy(linear(x, weight), targets))).toBeGreaterThan(rows * classes * 4)
    })
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })

  test('without gradients there is the loss alone', () => {
    scope(() => {
      const { x, weight, labels } = inputs()
      const loss = noGrad(() => linearCrossEntropy(x, weight, labels, { rows: 16 }))
      expect(loss.requiresGrad).toBe(false)
      expect(numbers(loss)).toEqual(numbers(linearCrossEntropy(x, weight, labels, { rows: 16 })))
    })
  })

  test('what does not fit is refused by name', () => {
    scope(() => {
      const { x, weight, labels } = inputs()
      expect(() => linearCrossEntropy(x, transpose(weight), labels)).toThrow(ShapeError)
      expect(() => linearCrossEntropy(x, weight, tensor([1, 2], null, { dtype: 'int32' }))).toThrow(/labels are \[2\], expected the shape of x \[50, 12\] without/)
      expect(() => linearCrossEntropy(x, weight, labels, { rows: 0.5 })).toThrow(ConfigError)
      expect(() => linearCrossEntropy(x, weight, labels, { reduction: 'none' as 'sum' })).toThrow(/expected 'mean' or 'sum'/)
    })
  })
})
