import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { AutogradError, DisposedError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { checkpoint } from '#lib/autograd/checkpoint.js'
import { customOp } from '#lib/autograd/customOp.js'
import { gradcheck } from '#lib/autograd/gradcheck.js'
import { Linear } from '#lib/nn/layers.js'
import * as ops from '#lib/ops/index.js'
import { full, ones, tensor } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { native } from '#lib/tensor/native.js'
import { generator, manualSeed } from '#lib/tensor/random.js'
import { enableGrad, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const leaf = (...values: number[]): Tensor => tensor(values, null, { requiresGrad: true })
const wave = (shape: number[], requiresGrad = true): Tensor =>
  tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + 0.3)), shape, { requiresGrad })

describe('checkpoint', () => {
  /** Values and gradients of three dropout blocks, whole or recomputed. */
  function run(wrap: (block: (x: Tensor) => Tensor, x: Tensor) => Tensor, between: () => void = () => { /* nothing */ }): number[][] {
    return scope(() => {
      manualSeed(5)
      const blocks = Array.from({ length: 3 }, () => new Linear(16, 16)), x = wave([7, 16])
      let y: Tensor = x
      for (const linear of blocks) y = wrap(h => ops.add(h, ops.dropout(ops.gelu(linear.forward(ops.dropout(h, 0.2))), 0.3)), y)
      const z = ops.dropout(y, 0.5)   // what follows draws the same numbers, recomputed or not
      between()
      backward(ops.sum(ops.square(z)))
      const result = [numbers(z), numbers(x.grad!), ...blocks.flatMap(b => b.parameters().map(p => numbers(p.grad!)))]
      for (const b of blocks) b.dispose()
      return result
    })
  }
  const plain = (block: (x: Tensor) => Tensor, x: Tensor): Tensor => block(x)

  test('gives the same bits with dropout on, values and gradients', () => {
    const expected = run(plain)
    expect(expected[1]!.some(v => v === 0)).toBe(true)   // dropout was on
    expect(run((block, x) => checkpoint(block, x))).toEqual(expected)
  })

  test('nested, too', () => {
    expect(run((block, x) => checkpoint(a => checkpoint(block, a), x))).toEqual(run(plain))
  })

  test('recomputes with the numbers of its forward pass, though the seed or the step has changed before the backward pass', () => {
    const expected = run(plain)
    expect(run((block, x) => checkpoint(block, x), () => { generator.startStep(99) })).toEqual(expected)
    expect(run((block, x) => checkpoint(block, x), () => { manualSeed(1234) })).toEqual(expected)
  })

  test('keeps fewer tensors than the blocks themselves, and none after the backward pass', () => {
    const linear = new Linear(64, 64), x = wave([32, 64])
    const block = (h: Tensor): Tensor => scope(() => { for (let i = 0; i < 6; i++) h = ops.gelu(linear.forward(h)); return h })
    backward(ops.sum(x))
    linear.parameters().forEach(p => { p.grad = ones(p.shape).keep() })
    generator.tensor(x.device)   // which the first pass would make, and keep
    const before = memory()
    const held = (wrapped: boolean): number => {
      const y = wrapped ? checkpoint(block, x) : block(x), { bytes } = memory(), s = ops.sum(y)
      backward(s)
      s.dispose()
      y.dispose()
      return bytes - before.bytes
    }
    expect(held(true)).toBeLessThan(held(false) / 4)
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
    linear.dispose()
    x.dispose()
  })

  test('several inputs, one of them twice, one of them a view, one without a gradient', () => {
    const f = (a: Tensor, b: Tensor, c: Tensor, d: Tensor): Tensor => ops.mul(ops.add(ops.mul(a, b), c), d)
    const gradients = (wrapped: boolean): number[][] => scope(() => {
      const a = wave([4, 4]), c = wave([4, 4]), d = wave([4, 4], false), turned = ops.transpose(c)
      backward(ops.sum(wrapped ? checkpoint(f, a, a, turned, d) : f(a, a, turned, d)))
      expect(d.grad).toBeUndefined()
      return [numbers(a.grad!), numbers(c.grad!)]
    })
    expect(gradients(true)).toEqual(gradients(false))
  })

  test('views of what was computed before, of leaves and of one another get their gradients', () => {
    const f = (a: Tensor, b: Tensor, c: Tensor, d: Tensor): Tensor => ops.add(ops.mul(a, b), ops.mul(ops.mul(c, d), c))
    const gradients = (wrapped: boolean): number[][] => scope(() => {
      const x = wave([4, 6]), y = ops.mul(x, 2), leafView = ops.reshape(x, [3, 8]), rows = (t: Tensor, from: number): Tensor => ops.reshape(ops.slice(t, 0, from, from + 2), [12])
      const [a, b, c, d] = [rows(y, 0), rows(y, 1), ops.reshape(ops.slice(leafView, 0, 0, 1), [8]), ops.reshape(ops.slice(leafView, 0, 2, 3), [8])] as [Tensor, Tensor, Tensor, Tensor]
      const g = (a: Tensor, b: Tensor, c: Tensor, d: Tensor): Tensor => ops.concat([f(a, b, a, b), f(c, d, c, d), ops.reshape(x, [24])], 0)   // x inside as well
      backward(ops.sum(ops.square(wrapped ? checkpoint(g, a, b, c, d) : g(a, b, c, d))))
      expect(y.grad).toBeUndefined()
      return [numbers(x.grad!)]
    })
    const [expected] = gradients(false), [got] = gradients(true)
    got!.forEach((v, i) => { expect(Math.abs(v - expected![i]!)).toBeLessThan(1e-5 * Math.max(...expected!.map(Math.abs))) })
  })

  test('without an input that requires a gradient is an error, because parameters inside would get none', () => {
    scope(() => { expect(() => checkpoint(x => ops.mul(x, 2), ones([2]))).toThrow(AutogradError) })
  })
})

describe('customOp', () => {
  const cube = customOp<{ scale: number }>({
    name: 'cube',
    forward: ([x], { scale }) => ops.mul(ops.pow(x!, 3), scale),
    backward: (dy, [x], _, { scale }) => [ops.mul(dy, ops.mul(ops.square(x!), 3 * scale))],
  })

  test('its gradient flows into what comes before it', async () => {
    const x = leaf(1, -2, 0.5)
    const y = cube([ops.mul(x, 2)], { scale: 0.5 })
    expect(numbers(y)).toEqual([4, -32, 0.5])
    backward(y, tensor([1, 1, 2]))
    expect(numbers(x.grad!)).toEqual([12, 48, 6])
    await gradcheck(t => cube([t], { scale: 2 }), [wave([3, 5])])
  })

  test('a wrong gradient is found by gradcheck', async () => {
    const wrong = customOp({ name: 'wrong', forward: ([x]) => ops.square(x!), backward: (dy, [x]) => [ops.mul(dy, x!)] })
    await expect(gradcheck(t => wrong([t]), [wave([3, 5])])).rejects.toThrow(/gradcheck: along a random direction of input 0/)
  })

  test('a gradient that is missing or of another shape is an error that names the op', () => {
    scope(() => {
      const none = customOp({ name: 'none', forward: ([x]) => ops.neg(x!), backward: () => [undefined] })
      const other = customOp({ name: 'other', forward: ([x]) => ops.neg(x!), backward: () => [ones([2])] })
      expect(() => { backward(none([leaf(1, 2, 3)]), ones([3])) }).toThrow(/none: backward returned no gradient for input 0/)
      expect(() => { backward(other([leaf(1, 2, 3)]), ones([3])) }).toThrow(ShapeError)
    })
  })

  test('leaves nothing behind inside of a scope', () => {
    const before = memory().tensors
    scope(() => { backward(ops.sum(cube([leaf(1, 2)], { scale: 1 }))) })
    expect(memory().tensors).toBe(before)
  })
})

describe('the tape', () => {
  test('a second backward pass throws, and the first one stands', () => {
    scope(() => {
      const x = leaf(1, 2), y = ops.sum(ops.square(x))
      backward(y)
      expect(() => { backward(y) }).toThrow(/has run before/)
      expect(numbers(x.grad!)).toEqual([2, 4])
    })
  })

  test('two losses over one forward pass: the second backward throws, the sum of both does not', () => {
    scope(() => {
      const x = leaf(1, 2), h = ops.square(x), a = ops.sum(h), b = ops.sum(ops.mul(h, 3))
      backward(a)
      expect(() => { backward(b) }).toThrow(AutogradError)
      const z = leaf(1, 2), g = ops.square(z)
      backward(ops.add(ops.sum(g), ops.sum(ops.mul(g, 3))))
      expect(numbers(z.grad!)).toEqual([8, 16])
    })
  })

  test('a saved tensor that was written since throws, whoever wrote it', () => {
    scope(() => {
      const x = leaf(1, 2), y = ops.sum(ops.square(x))
      native.fill(x.raw, 5)
      expect(() => { backward(y) }).toThrow(/was written since/)
      const w = leaf(1, 2), h = ops.mul(w, w), view = ops.slice(w, 0, 0, 1), z = ops.sum(h)
      native.fill(view.handle, 7)   // through a view of the same memory
      expect(() => { backward(z) }).toThrow(AutogradError)
    })
  })

  test('gradients add up over backward passes until they are cleared', () => {
    scope(() => {
      const x = leaf(1, 2)
      for (let i = 0; i < 3; i++) backward(ops.sum(ops.mul(x, i + 1)))
      expect(numbers(x.grad!)).toEqual([6, 6])
    })
  })

  test('what was saved outlives dispose and scopes; what was not needed is freed', () => {
    const x = leaf(3), before = memory().tensors
    const y = scope(() => {
      const h = ops.square(x), s = ops.mul(h, h)
      h.dispose()
      return s
    })
    const noise = Array.from({ length: 16 }, () => full([1], NaN))
    backward(y)
    expect(numbers(x.grad!)).toEqual([4 * 27])
    for (const t of [...noise, y]) t.dispose()
    expect(memory().tensors).toBe(before + 1)   // the gradient
    x.dispose()
  })

  test('noGrad records nothing, enableGrad inside of it does, and both follow async functions', async () => {
    const x = leaf(2)
    await Promise.all([
      noGrad(async () => {
        await cpu.synchronize()
        expect(ops.square(x).requiresGrad).toBe(false)
        expect(enableGrad(() => ops.square(x)).requiresGrad).toBe(true)
      }),
      (async () => {
        await cpu.synchronize()
        expect(ops.square(x).requiresGrad).toBe(true)
      })(),
    ])
    expect(() => { backward(noGrad(() => ops.square(x))) }).toThrow(/does not depend on anything that requires a gradient/)
  })

  test('two interleaved async scopes free their own tensors only', async () => {
    const one = scope(async () => {
      const a = full([2], 1)
      await cpu.synchronize()
      const b = ops.add(a, 1)
      await cpu.synchronize()
      return [a, b].map(t => numbers(t)[0])
    })
    const early = await scope(async () => { const c = full([2], 9); await cpu.synchronize(); return c })
    expect(numbers(early)).toEqual([9, 9])
    expect(await one).toEqual([1, 2])
  })

  test('detach shares the values and stops the gradient', () => {
    scope(() => {
      const x = leaf(1, 2), d = ops.detach(ops.mul(x, 3))
      expect([numbers(d), d.requiresGrad]).toEqual([[3, 6], false])
      backward(ops.sum(ops.mul(x, d)))
      expect(numbers(x.grad!)).toEqual([3, 6])
    })
  })

  test('a disposed leaf is an error in the forward pass; one that goes after it takes only its own gradient along', () => {
    scope(() => {
      const gone = leaf(1), x = leaf(2), y = ops.mul(gone, x)
      gone.dispose()
      expect(() => ops.add(gone, 1)).toThrow(DisposedError)
      backward(y)
      expect(numbers(x.grad!)).toEqual([1])
    })
  })

  test('graphs of 20,000 ops in a row go forward and back without recursion', () => {
    scope(() => {
      const x = leaf(1)
      let y: Tensor = x
      for (let i = 0; i < 20_000; i++) {
        const next = ops.add(y, x)
        if (y !== x) y.dispose()
        y = next
      }
      backward(y)
      expect([numbers(y), numbers(x.grad!)]).toEqual([[20_001], [20_001]])
    })
  })
})

describe('random graphs of ops', () => {
  const unary: ((x: Tensor) => Tensor)[] = [ops.tanh, ops.sigmoid, ops.gelu, ops.neg, x => ops.softmax(x), x => ops.mul(x, 0.5), x => ops.clone(ops.transpose(x)), x => ops.cumsum(x),
    x => ops.dropout(x, 0.25), x => ops.add(ops.mean(x, 1, { keepDim: true }), x), x => ops.concat([ops.slice(x, 0, 2), ops.slice(x, 0, 0, 2)]), x => ops.add(x, ops.max(x, 0))]
  const binary: ((a: Tensor, b: Tensor) => Tensor)[] = [ops.add, ops.sub, ops.mul, ops.maximum, ops.matmul, (a, b) => ops.where(ops.gt(a, b), a, b), (a, b) => ops.add(ops.transpose(a), b)]
  const step = fc.record({ op: fc.nat(), a: fc.nat(), b: fc.nat(), dispose: fc.option(fc.nat(), { nil: undefined, freq: 2 }) })

  test('give the same bits asynchronous, synchronous and with tensors disposed of as soon as they are used', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async steps => {
      generator.tensor(cpu)   // which a dropout would make, and keep
      const before = memory()
      const bits = (how: 'queued' | 'waiting' | 'disposing'): Promise<number[][]> => scope(async () => {
        manualSeed(3)
        const leaves = [0, 1, 2].map(i => ops.detach(ops.mul(wave([5, 5], false), 1 / (i + 1))))
        for (const x of leaves) x.requiresGrad = true
        const all: Tensor[] = [...leaves], used = new Set<Tensor>()
        for (const { op, a, b, dispose } of steps) {
          const alive = all.filter(t => !used.has(t)), x = alive[a % alive.length]!, y = alive[b % alive.length]!, which = op % (unary.length + binary.length)
          all.push(which < unary.length ? unary[which]!(x) : binary[which - unary.length]!(x, y))
          if (how === 'waiting') cpu.synchronizeSync()
          if (dispose !== undefined && alive.length > leaves.length) {
            const gone = alive[leaves.length + dispose % (alive.length - leaves.length)]!
            used.add(gone)   // nobody reads it from here on; only one of the ways frees it
            if (how === 'disposing') gone.dispose()
          }
        }
        const last = all.at(-1)!
        const values = [await ops.detach(last).data()]
        if (last.requiresGrad) backward(ops.sum(ops.mul(last, wave([5, 5], false))))
        for (const x of leaves) if (x.grad) values.push(await x.grad.data())
        return values.map(v => Array.from(v as Float32Array))
      })
      const expected = await bits('waiting')
      expect(await bits('queued')).toEqual(expected)
      expect(await bits('disposing')).toEqual(expected)
      const after = memory()
      // Fewer, where the garbage collector has taken what another test left.
      expect(after.tensors).toBeLessThanOrEqual(before.tensors)
      expect(after.bytes).toBeLessThanOrEqual(before.bytes)
    }), { numRuns: 150, seed: 17 })
  }, 20_000)
})
