import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import * as ops from '#lib/ops/index.js'
import { full, ones } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { empty, type Tensor } from '#lib/tensor/tensor.js'
import { moduleOf, runScript } from './inProcess.js'

const library = JSON.stringify(moduleOf())
const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('memory', () => {
  test('counts tensors, live bytes and their peak, views among the tensors but not among the bytes', () => {
    const before = memory()
    cpu.resetPeakMemory()
    const x = empty([1000, 25]), y = ops.transpose(x)
    expect(memory()).toMatchObject({ tensors: before.tensors + 2, bytes: before.bytes + 100_000, peakBytes: before.bytes + 100_000 })
    const z = empty([500], 'bfloat16')
    x.dispose()
    expect(memory()).toMatchObject({ tensors: before.tensors + 2, bytes: before.bytes + 101_000 })
    y.dispose()
    z.dispose()
    const after = memory()
    expect(after).toMatchObject({ tensors: before.tensors, bytes: before.bytes, peakBytes: before.bytes + 101_000 })
    expect(after.reservedBytes).toBeGreaterThanOrEqual(after.allocatedBytes)
    expect(after.limitBytes).toBeGreaterThan(after.reservedBytes)
    cpu.resetPeakMemory()
    expect(memory().peakBytes).toBe(before.bytes)
  })

  test('released memory is used again, by other shapes as well, and trim gives it back', async () => {
    cpu.trim()
    const before = memory().reservedBytes
    for (let i = 0; i < 50; i++) scope(() => { ops.add(full([512 + i, 1024], 1), 1) })
    await cpu.synchronize()
    expect(memory().reservedBytes - before).toBeLessThan(40e6)   // not fifty times 4 MB
    cpu.trim()
    expect(memory().reservedBytes).toBeLessThanOrEqual(before)
  })

  test('running out of it throws where the tensor is made, says what was asked and what is in use, and smaller work goes on', async () => {
    const { output, code } = await runScript(`
      const { full, memory, ops, OutOfMemoryError, scope } = await import(${library})
      const held = full([1 << 20, 16], 1)
      try {
        full([1 << 20, 64], 2)
        console.log('nothing was thrown')
      } catch (error) {
        console.log(error instanceof OutOfMemoryError, error.message)
      }
      console.log(scope(() => ops.sum(ops.add(held, 1)).itemSync()) / held.size, memory().tensors)
      held.dispose()
      for (let i = 0; i < 5; i++) scope(() => { ops.add(full([1 << 20, 30], i), 1) })   // what was released makes room, for other sizes too
      console.log(scope(() => ops.max(full([1 << 20, 30], 3)).itemSync()))`, { env: { WARPWEFT_MEMORY_LIMIT: '300000000', WARPWEFT_POISON: '' } })
    expect({ code, output }).toMatchObject({ code: 0 })
    const [refusal, sum, rest] = output.split('\n')
    expect(refusal).toMatch(/^true a tensor float32 \[1048576, 64\] asked for 268\.4 MB on cpu, where \d+\.\d MB are in use in \d+ tensors and 300\.0 MB may be used\. Use smaller batches/)
    expect(sum).toBe('2 1')
    expect(rest).toBe('3')
  }, 30_000)
})

describe('scope', () => {
  test('frees what was made inside but its result, wherever in it that is; nested scopes hand theirs up', () => {
    const before = memory().tensors
    const { kept, list } = scope(() => {
      const a = ones([2])
      const inner = scope(() => [ops.add(a, 1), ops.add(a, 2)] as const)
      ops.add(inner[0], 5)
      return { kept: inner[0], list: new Map([['x', [inner[1]]]]) }
    })
    expect(memory().tensors).toBe(before + 2)
    expect([numbers(kept), numbers(list.get('x')![0]!)]).toEqual([[2, 2], [3, 3]])
    for (const t of [kept, list.get('x')![0]!]) t.dispose()
    expect(memory().tensors).toBe(before)
  })

  test('frees everything if it throws or rejects, and nothing that is kept', async () => {
    const before = memory().tensors
    let kept: Tensor | undefined
    expect(() => scope(() => { ones([3]); kept = ones([4]).keep(); throw new Error('on the way') })).toThrow('on the way')
    await expect(scope(async () => { ones([3]); await cpu.synchronize(); ones([3]); throw new Error('later') })).rejects.toThrow('later')
    expect(memory().tensors).toBe(before + 1)
    expect(numbers(kept!)).toEqual([1, 1, 1, 1])
    kept!.dispose()
  })

  test('gradients and what the tape saved are not freed with it', () => {
    const x = full([2], 3)
    x.requiresGrad = true
    const y = scope(() => ops.mul(ops.mul(x, x), x))
    scope(() => { backward(y, ones([2])) })
    expect(numbers(x.grad!)).toEqual([27, 27])
    for (const t of [x, y]) t.dispose()
  })

  test('using disposes of a tensor at the end of its block, also where that throws', () => {
    const before = memory().tensors, seen: Tensor[] = []
    const block = (fails: boolean): number => {
      using x = ones([3])
      using y = noGrad(() => ops.add(x, 1))
      seen.push(x, y)
      if (fails) throw new Error('in the block')
      return numbers(y)[0]!
    }
    expect(block(false)).toBe(2)
    expect(() => block(true)).toThrow('in the block')
    expect(seen.every(t => t.isDisposed)).toBe(true)
    expect(memory().tensors).toBe(before)
  })

  test('tensors that the program forgot are freed once they are collected', async () => {
    const { output } = await runScript(`
      const { full, memory, ops } = await import(${library})
      const before = memory().tensors
      for (let i = 0; i < 50; i++) ops.add(full([100, 100], i), 1)
      const forgotten = memory().tensors - before
      for (let i = 0; i < 100 && memory().tensors > before; i++) {
        gc()
        await new Promise(resolve => setImmediate(resolve))
      }
      console.log(forgotten >= 50, memory().tensors - before)`, { flags: ['--expose-gc'] })
    expect(output).toBe('true 0\n')
  }, 30_000)
})

describe('a failure of queued work itself', () => {
  test('rejects every wait with DeviceError until the device is reset, and then work goes on', async () => {
    // A softmax over rows of 2^25 bfloat16 values takes 128 MB of scratch when it runs, in an address space that has 64 MB left.
    const { output } = await runScript(`
      import { execFileSync } from 'node:child_process'
      import { readFileSync } from 'node:fs'
      const { cpu, DeviceError, ones, ops } = await import(${library})
      const { empty } = await import(${JSON.stringify(moduleOf('tensor/tensor.js'))})
      const aside = ones([2]), x = empty([1, 2 ** 25], 'bfloat16')
      empty([1, 2 ** 25], 'bfloat16').dispose()   // the result takes its place
      await cpu.synchronize()
      const used = 1024 * Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
      execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (used + 64e6) + ':'])
      const y = ops.softmax(x)
      const told = async wait => { try { await wait(); return 'nothing' } catch (error) { return (error instanceof DeviceError) + ' ' + error.message } }
      console.log(await told(() => ops.clone(ops.slice(y, 1, 0, 4)).data()))
      console.log(await told(() => aside.data()))
      console.log(await told(() => cpu.synchronize()))
      console.log(await told(() => aside.dataSync()))
      cpu.reset()
      console.log(await ops.sum(aside).item())
      console.log(await told(() => cpu.synchronize()))`)
    const lines = output.trim().split('\n')
    expect(lines.slice(0, 4).map(line => /^true softmax failed on cpu: /.test(line))).toEqual([true, true, true, true])
    expect(lines.slice(4)).toEqual(['2', 'nothing'])
  }, 30_000)
})
