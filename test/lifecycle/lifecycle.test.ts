import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, jest, test } from '@jest/globals'
import { DisposedError, IndexError } from '#lib/errors.js'
import * as ops from '#lib/ops/index.js'
import { full, ones, tensor } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { moduleOf, runScript } from './inProcess.js'

const library = moduleOf()
const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

/** Square products that keep the device busy for about a second, most of them queued behind the first. */
const busyWork = `
  const { full, ops } = await import(${JSON.stringify(library)})
  const a = full([768, 768], 1e-3)
  let b = a
  for (let i = 0; i < 60; i++) b = ops.matmul(a, b)`

const worker = (script: string): Worker =>
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(`import { parentPort } from 'node:worker_threads'\n${script}`)}`))

describe('worker threads', () => {
  test('a worker computes with tensors of its own', async () => {
    const thread = worker(`
      const { ops, tensor, memory } = await import(${JSON.stringify(library)})
      const y = ops.matmul(tensor([[1, 2]]), tensor([[3], [4]]))
      parentPort.postMessage([await y.item(), memory().tensors])`)
    const [message] = await once(thread, 'message') as [number[]]
    expect(message).toEqual([11, 3])
    await thread.terminate()
  })

  test('workers that are terminated while their products run and their reads are awaited take nothing with them', async () => {
    const x = ones([3]), before = memory()
    for (let i = 0; i < 3; i++) {
      const thread = worker(`${busyWork}
        b.data()
        parentPort.postMessage('busy')
        b.dataSync()`)
      await once(thread, 'message')
      await thread.terminate()
      expect(numbers(ops.add(x, i)).map(v => v - i)).toEqual([1, 1, 1])
    }
    // What was queued is gone, and so is its memory.
    expect(memory().allocatedBytes).toBeLessThan(before.allocatedBytes + 768 * 768 * 4)
  }, 30_000)

  test('a worker and this thread compute at the same time and each gets its own values', async () => {
    const thread = worker(`
      const { full, ops, scope } = await import(${JSON.stringify(library)})
      const a = full([64, 64], 2)
      let wrong = 0
      for (let i = 0; i < 100; i++) await scope(async () => { if ((await ops.sum(ops.matmul(a, ops.add(a, i))).item()) !== 64 * 64 * 64 * 2 * (2 + i)) wrong++ })
      parentPort.postMessage(wrong)`)
    const answer = once(thread, 'message')
    const a = full([64, 64], 3)
    let wrong = 0
    for (let i = 0; i < 100; i++) await scope(async () => { if (await ops.sum(ops.matmul(a, ops.add(a, i))).item() !== 64 * 64 * 64 * 3 * (3 + i)) wrong++ })
    expect([wrong, ...await answer as number[]]).toEqual([0, 0])
    await thread.terminate()
  })
})

describe('the end of the process', () => {
  test.each([
    ['by process.exit while products run', 'process.exit(0)'],
    ['by process.exit with a read under way', 'b.data(); process.exit(0)'],
    ['by itself, though nobody waits for what is queued', ''],
    ['after the last read has come back', 'console.log((await b.data()).length)'],
  ])('%s: exit code 0 and no signal', async (_, end) => {
    expect(await runScript(`${busyWork}\n${end}`)).toEqual({ code: 0, signal: null, output: end.startsWith('console') ? '589824\n' : '' })
  }, 60_000)

  test('a read that is awaited keeps the process alive until it has come back', async () => {
    expect(await runScript(`${busyWork}\nb.item().catch(e => console.log(e.code))\nb.data().then(d => console.log(d.length))`)).toMatchObject({ code: 0, output: 'ERR_SHAPE\n589824\n' })
  }, 60_000)

  test('an error that nobody catches ends the process by its message, not by a crash', async () => {
    const { code, signal, output } = await runScript(`${busyWork}\nb.dispose()\nops.add(b, 1)`)
    expect({ code, signal }).toEqual({ code: 1, signal: null })
    expect(output).toMatch(/DisposedError: scalarBinary: a was disposed of before/)
  }, 60_000)
})

describe('queued work', () => {
  test('leaves the event loop free: timers fire and promises resolve before a product of a second is done', async () => {
    await scope(async () => {
      const a = full([1024, 1024], 1e-3), order: string[] = []
      let b = a
      for (let i = 0; i < 40; i++) b = ops.matmul(a, b)
      const timer = new Promise<void>(resolve => { setTimeout(() => { order.push('timer'); resolve() }, 5) })
      const product = b.data().then(() => { order.push('product') })
      await Promise.all([timer, product])
      expect(order).toEqual(['timer', 'product'])
    })
  }, 30_000)

  test('reads come back in the order in which they were asked for', async () => {
    await scope(async () => {
      const order: number[] = [], a = full([256, 256], 1e-3)
      await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? a : ops.matmul(a, a)).data().then(() => { order.push(i) })))
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    })
  })

  test('a read sees the values of its moment, whatever is written later', async () => {
    await scope(async () => {
      const x = ones([1000]), read = ops.add(x, 1), early = read.data()
      read.dispose()
      const others = Array.from({ length: 20 }, (_, i) => full([1000], -i))
      expect(new Set(await early as Float32Array)).toEqual(new Set([2]))
      expect(numbers(others[3]!)[0]).toBe(-3)
    })
  })

  test('an id out of range rejects what was computed from it and nothing else', async () => {
    await scope(async () => {
      const x = tensor([[1, 2], [3, 4]]), bad = tensor([0, 7], null, { dtype: 'int32' })
      const wrong = ops.indexSelect(x, bad), after = ops.add(wrong, 1), aside = ops.add(x, 1)
      await expect(after.data()).rejects.toThrow(IndexError)
      await expect(wrong.data()).rejects.toThrow(/indexSelect/)
      expect(numbers(aside)).toEqual([2, 3, 4, 5])
      await cpu.synchronize()   // it was reported
      expect(numbers(ops.indexSelect(x, tensor([1], null, { dtype: 'int32' })))).toEqual([3, 4])
    })
  })

  test('an id out of range that nobody reads is told by the next synchronize, once', async () => {
    await scope(async () => {
      const x = tensor([[1, 2], [3, 4]])
      ops.indexSelect(x, tensor([-1], null, { dtype: 'int32' }))
      await expect(cpu.synchronize()).rejects.toThrow(IndexError)
      await cpu.synchronize()
    })
  })
})

describe('dispose', () => {
  test('what was disposed of throws DisposedError at any use, and a second dispose is nothing', async () => {
    const x = ones([2, 2]), y = ones([2, 2])
    x.dispose()
    x.dispose()
    expect(() => ops.add(x, y)).toThrow(DisposedError)
    expect(() => ops.transpose(x)).toThrow(DisposedError)
    expect(() => x.dataSync()).toThrow(DisposedError)
    await expect(x.data()).rejects.toThrow(DisposedError)
    // The slot has a new owner: the old handle is not its name.
    const z = ones([2, 2])
    expect(() => ops.add(y, x)).toThrow(DisposedError)
    expect(numbers(z)).toEqual([1, 1, 1, 1])
    y.dispose()
    z.dispose()
  })

  test('a view outlives its root', () => {
    const x = tensor([[1, 2], [3, 4]]), t = ops.transpose(x)
    x.dispose()
    const others = Array.from({ length: 8 }, () => full([2, 2], 9))
    expect(numbers(ops.clone(t))).toEqual([1, 3, 2, 4])
    for (const o of [...others, t]) o.dispose()
  })
})

describe('two evaluations of the library in one process', () => {
  test('each has tensors and errors of its own, and one goes on after the other', async () => {
    const load = async () => {
      jest.resetModules()
      return await import(library) as typeof import('#lib/index.js')
    }
    const first = await load(), second = await load()
    expect(first.Tensor).not.toBe(second.Tensor)
    const a = first.tensor([1, 2]), b = second.tensor([3, 4]), before = second.memory().tensors
    expect(Array.from(await first.ops.add(a, 1).data() as Float32Array)).toEqual([2, 3])
    expect(second.memory().tensors).toBe(before)
    b.dispose()
    expect(() => second.ops.add(b, 1)).toThrow(second.DisposedError)
    expect(() => second.ops.add(b, 1)).not.toThrow(first.DisposedError)
    expect(Array.from(await first.ops.add(a, a).data() as Float32Array)).toEqual([2, 4])
  })
})
