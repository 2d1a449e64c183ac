import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { DeviceError, IndexError } from '#lib/errors.js'
import { Linear } from '#lib/nn/layers.js'
import * as ops from '#lib/ops/index.js'
import '#lib/ops/methods.js'
import { full, ones, tensor } from '#lib/tensor/create.js'
import { cuda } from '#lib/tensor/cuda.js'
import { automaticDevice, cpu, defaultDevice, device, memory, setDefaultDevice, withDevice } from '#lib/tensor/device.js'
import type { DType } from '#lib/tensor/dtype.js'
import { native } from '#lib/tensor/native.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import { empty, type Tensor } from '#lib/tensor/tensor.js'
import { moduleOf, runScript } from './inProcess.js'

// The second device: a GPU where there is one (WARPWEFT_TEST_DEVICE=cuda), else the emulator (npm run build:simt). Skipped where there is neither.

if (!process.env['WARPWEFT_TEST_DEVICE']) process.env['WARPWEFT_CUDA'] ??= 'simt'
const { devices, missing, emulated } = cuda(), here = devices.length > 0
const onGpu = here ? describe : describe.skip
/** A test that needs these ops is skipped, and says so, where the backend has no kernel for them yet. */
const needs = (...names: string[]) => (name: string, body: () => void | Promise<void>, timeout?: number): void => {
  const lacking = names.filter(n => missing.includes(n))
  if (lacking.length) test.skip(`${name} (no ${lacking.join(', ')})`, body)
  else test(name, body, timeout)
}
const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array, Number)
const library = JSON.stringify(moduleOf())
const env = { WARPWEFT_CUDA: process.env['WARPWEFT_CUDA'] ?? '', WARPWEFT_POISON: '' }

describe('a device by its name', () => {
  test('that is unknown, or that there is none of, is refused in one line; auto never is', () => {
    for (const name of ['gpu', 'cuda:', 'cuda:x', 'cuda:-1', 'cuda:01', 'CUDA', '']) expect(() => device(name)).toThrow(new DeviceError(`device '${name}' is unknown, expected 'cpu', 'cuda', 'cuda:1' or 'auto'`))
    expect(() => device('cuda:99')).toThrow(here ? /^device 'cuda:99' does not exist; this machine has 'cuda:0'/ : /^device 'cuda:99': .*\. Use 'cpu' or 'auto'$/)
    expect(device('auto')).toBe(automaticDevice().device)
    expect(automaticDevice().reason).toMatch(/^(cpu|cuda:0): .+$/)
    expect(device('cpu')).toBe(cpu)
  })

  test.each([
    ['off', /GPUs are switched off by WARPWEFT_CUDA=off/],
    ['/nowhere/lib.so', /WARPWEFT_CUDA=\/nowhere\/lib\.so is not a file|linux-x64 with glibc/],
  ])('WARPWEFT_CUDA=%s: cuda is refused in one line that says why, auto is the CPU', async (setting, why) => {
    const { code, output } = await runScript(`
      const { device, ones } = await import(${library})
      try { device('cuda') } catch (error) { console.log(error.code, error.message) }
      console.log(device('auto').name, await ones([2]).item().catch(e => e.code))`, { env: { WARPWEFT_CUDA: setting, WARPWEFT_DEVICE: '' } })
    const [refusal, rest] = output.split('\n')
    expect(code).toBe(0)
    expect(refusal).toMatch(/^ERR_DEVICE device 'cuda': .* Use 'cpu' or 'auto'$/)
    expect(refusal).toMatch(why)
    expect(rest).toBe('cpu ERR_SHAPE')
  })

  test('WARPWEFT_DEVICE that is not there: the first tensor says so', async () => {
    const { output } = await runScript(`const { ones } = await import(${library}); try { ones([1]) } catch (e) { console.log(e.code, e.message) }`, { env: { WARPWEFT_CUDA: 'off', WARPWEFT_DEVICE: 'cuda' } })
    expect(output).toMatch(/^ERR_DEVICE device 'cuda': GPUs are switched off/)
  })
})

describe('the child that asks the driver', () => {
  const node = (script: string, patience = 20_000) => native.runChild(patience, process.execPath, '-e', script)

  test('hands on what it writes, and has no NODE_OPTIONS', () => {
    expect(node('process.stdout.write("x".repeat(100000) + (process.env.NODE_OPTIONS ?? "none"))')).toBe('x'.repeat(100000) + 'none')
  })
  test('that crashes, fails or hangs answers null, and this process goes on', () => {
    expect(node('process.stdout.write("half"); process.abort()')).toBeNull()
    expect(node('process.exit(3)')).toBeNull()
    const begin = Date.now()
    expect(node('process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)', 500)).toBeNull()
    expect(Date.now() - begin).toBeLessThan(10_000)
  })
  test('that cannot be started is an error of one line', () => {
    expect(() => native.runChild(1000, '/nowhere/node')).toThrow(/\/nowhere\/node could not be started: No such file/)
  })
})

describe('a file that is no device library', () => {
  test.each([['the addon itself', 'addonFile()', /is not a device library of warpweft \d/], ['a text', "'/etc/hostname'", /the device library could not be loaded: .*invalid ELF header|file too short/]])('%s is refused in one line', async (_, file, why) => {
    const { output } = await runScript(`
      const { addonFile } = await import(${JSON.stringify(moduleOf('tensor/addon.js'))}), { native } = await import(${JSON.stringify(moduleOf('tensor/native.js'))})
      try { native.openLibrary(${file}) } catch (e) { console.log(e.code, e.message) }`)
    expect(output).toMatch(why)
    expect(output.trim().split('\n')).toHaveLength(1)
  })
})

onGpu('tensors on the second device', () => {
  test('values of every dtype come back as they went, from JavaScript, from the CPU and from one GPU to another', async () => {
    const values: [DType, number[]][] = [
      ['float32', [1.5, -2, 3e38]], ['int32', [1, -2, 2 ** 31 - 1]], ['int64', [1, -2, 2 ** 40]], ['uint8', [1, 2, 255]], ['int8', [1, -2, 127]], ['bool', [1, 0, 1]],
    ]
    await scope(async () => {
      for (const [dtype, list] of values) {
        const there = tensor(list, null, { dtype, device: 'cuda' })
        expect(there.device.name).toBe('cuda:0')
        expect(Array.from(await there.data() as Float32Array, Number)).toEqual(list.map(v => dtype === 'float32' ? Math.fround(v) : v))
        const first = tensor(list, null, { dtype, device: cpu }).to('cuda').to(devices.length > 1 ? 'cuda:1' : 'cuda'), back = first.to('cpu')
        expect([first.device.name, back.device]).toEqual([devices.length > 1 ? 'cuda:1' : 'cuda:0', cpu])
        expect(Array.from(back.dataSync() as Float32Array, Number)).toEqual(Array.from(there.dataSync() as Float32Array, Number))
      }
      expect(tensor([], [0, 3], { device: cpu }).to('cuda').to('cpu').dataSync()).toHaveLength(0)
    })
  })

  test('copies are made in the order of both queues: later writes on either side change nothing', () => {
    scope(() => {
      const a = tensor(new Float32Array(100_000).fill(1), null, { device: cpu }), b = ops.add(a, 1), there = b.to('cuda')
      native.write(b.handle, new Float32Array(100_000).fill(9))
      const back = there.to('cpu')
      native.write(there.handle, new Float32Array(100_000).fill(8))
      expect(new Set(numbers(back))).toEqual(new Set([2]))
      expect(new Set(numbers(there))).toEqual(new Set([8]))
    })
  })

  test('a tensor goes nowhere if it is there, and takes a dtype along', () => {
    scope(() => {
      const x = ones([2], { device: cpu })
      expect(x.to('cpu')).toBe(x)
      expect(x.to(cpu, 'float32')).toBe(x)
      const y = x.to('cuda', 'int32')
      expect([y.dtype, y.device.name, ...numbers(y)]).toEqual(['int32', 'cuda:0', 1, 1])
    })
  })

  needs('fill', 'copy')('the gradient of to() goes back to where the tensor came from, through views and sums of several uses', () => {
    scope(() => {
      const x = tensor([[1, 2, 3], [4, 5, 6]], null, { device: cpu, requiresGrad: true })
      const there = ops.transpose(x).to('cuda'), again = x.to('cuda')
      backward(there.to('cpu').mul(tensor([[1, 2], [3, 4], [5, 6]], null, { device: cpu })).sum().add(again.to('cpu').sum()))
      expect(x.grad!.device).toBe(cpu)
      expect(numbers(x.grad!)).toEqual([2, 4, 6, 3, 5, 7])
    })
  })

  needs('fill', 'binary')('an op whose tensors are on different devices is refused, and names both', () => {
    scope(() => {
      const a = ones([2], { device: 'cuda' }), b = ones([2], { device: cpu })
      expect(() => ops.add(a, b)).toThrow(new DeviceError('binary: b is on cpu, the arguments before it on cuda:0. Move it with .to(device)'))
      expect(() => ops.add(b, a)).toThrow(/b is on cuda:0, the arguments before it on cpu/)
    })
  })

  if (missing.length) {
    test('an op that the backend has no kernel for is refused, and names op and backend', () => {
      scope(() => {
        const x = empty([2, 2], 'float32', 'cuda')
        const calls: Record<string, () => unknown> = { topK: () => ops.topK(x, 1), matmul: () => ops.matmul(x, x), softmax: () => ops.softmax(x), cumsum: () => ops.cumsum(x), sgd: () => undefined }
        const [name, call] = Object.entries(calls).find(([n]) => missing.includes(n)) ?? []
        if (call) expect(call).toThrow(new RegExp(`^${name}: the (simt|cuda) backend of cuda:0 has no kernel for it yet\\. Move the tensors with \\.to\\('cpu'\\)$`))
      })
    })
  }

  needs('fill', 'binary', 'scalarBinary')('reads come back in order, see the values of their moment, and leave the event loop free', async () => {
    await scope(async () => {
      const order: number[] = [], x = full([64], 1, { device: 'cuda' })
      const reads = Array.from({ length: 6 }, (_, i) => {
        const y = ops.add(x, i)
        const read = y.data().then(values => { order.push(i); return values[0] })
        y.dispose()
        return read
      })
      const timer = new Promise<void>(resolve => { setImmediate(() => { resolve() }) })
      await timer
      expect(await Promise.all(reads)).toEqual([1, 2, 3, 4, 5, 6])
      expect(order).toEqual([0, 1, 2, 3, 4, 5])
    })
  })

  needs('fill', 'indexSelect')('an id out of range rejects what was computed from it and nothing else', async () => {
    await scope(async () => {
      const on = { device: 'cuda' }, x = tensor([[1, 2], [3, 4]], null, on), bad = tensor([0, 7], null, { ...on, dtype: 'int32' })
      const wrong = ops.indexSelect(x, bad), aside = ops.indexSelect(x, tensor([1], null, { ...on, dtype: 'int32' })), after = wrong.to('cpu')
      await expect(wrong.data()).rejects.toThrow(new IndexError('indexSelect: index 7 at position 1 is outside of [0, 2)'))
      await expect(after.data()).rejects.toThrow(IndexError)
      expect(() => wrong.dataSync()).toThrow(IndexError)
      expect(numbers(aside)).toEqual([3, 4])
      await device('cuda').synchronize()   // it was reported
      ops.indexSelect(x, bad)
      await expect(device('cuda').synchronize()).rejects.toThrow(IndexError)
      await device('cuda').synchronize()
    })
  })

  needs('dropout', 'fill')('dropout draws the same mask on every device', () => {
    scope(() => {
      const masks = ['cpu', 'cuda', devices.length > 1 ? 'cuda:1' : 'cuda'].map(name => {
        manualSeed(5)
        return [1, 2].map(() => numbers(ops.dropout(ones([3, 40], { device: name }), 0.4)))
      })
      expect(masks[1]).toEqual(masks[0])
      expect(masks[2]).toEqual(masks[0])
      expect(masks[0]![0]).not.toEqual(masks[0]![1])
    })
  })
})

onGpu('the default device', () => {
  test('is that of withDevice, sync and async, then that of setDefaultDevice; parameters follow it', async () => {
    const before = defaultDevice()
    try {
      setDefaultDevice('cuda')
      expect([empty([1]).device.name, memory()]).toEqual(['cuda:0', memory('cuda')])
      const [inner, outer] = await Promise.all([
        withDevice('cpu', async () => { await Promise.resolve(); return empty([1]).device }),
        (async () => { await Promise.resolve(); return empty([1]).device.name })(),
      ])
      expect([inner, outer]).toEqual([cpu, 'cuda:0'])
      using layer = new Linear(2, 3)
      expect(layer.weight.device.name).toBe('cuda:0')
      expect(() => { setDefaultDevice('tpu') }).toThrow(DeviceError)
      expect(defaultDevice().name).toBe('cuda:0')
    } finally {
      setDefaultDevice(before)
    }
  })
})

onGpu('a module', () => {
  test('moves with its gradients and stays the same objects, so that whoever holds its parameters keeps them', () => {
    scope(() => {
      using layer = withDevice('cpu', () => new Linear(3, 2))
      const { weight } = layer, values = numbers(weight)
      withDevice('cpu', () => { backward(layer.forward(ones([1, 3])).sum()) })
      const gradient = numbers(weight.grad!), before = memory('cpu').tensors
      expect(layer.to('cuda')).toBe(layer)
      expect([layer.weight, weight.device.name, weight.grad!.device.name]).toEqual([weight, 'cuda:0', 'cuda:0'])
      expect([numbers(weight), numbers(weight.grad!)]).toEqual([values, gradient])
      expect(memory('cpu').tensors).toBeLessThan(before)
      layer.to('cpu')
      expect([numbers(weight), weight.device]).toEqual([values, cpu])
      const x = ones([1, 3], { device: 'cpu' })
      x.requiresGrad = true   // whose gradient needs the weight
      const y = withDevice('cpu', () => layer.forward(x))
      expect(() => layer.to('cuda')).toThrow(/saved for a backward pass that has not run/)
      y.dispose()
    })
  })
})

onGpu('memory of the second device', () => {
  test('is counted by itself, given back, and flat over many steps', async () => {
    const gpu = device('cuda'), before = gpu.memory(), host = cpu.memory()
    const x = empty([1000, 25], 'float32', gpu), y = ops.transpose(x)
    expect(gpu.memory()).toMatchObject({ tensors: before.tensors + 2, bytes: before.bytes + 100_000 })
    expect(cpu.memory()).toEqual(host)
    x.dispose()
    y.dispose()
    expect(gpu.memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
    for (let i = 0; i < 300; i++) scope(() => { tensor(new Float32Array(5000), null, { device: 'cpu' }).to(gpu).to('cpu') })
    await gpu.synchronize()
    expect(gpu.memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
    expect(gpu.memory().reservedBytes).toBeLessThan(before.reservedBytes + 64e6)
    gpu.trim()
    expect(gpu.memory().reservedBytes).toBeLessThanOrEqual(before.reservedBytes + 1)
  })

  test('running out of it throws where the tensor is made, says what was asked and what is in use, and other sizes still fit', async () => {
    const { output, code } = await runScript(`
      const { device, empty, OutOfMemoryError, scope } = await import(${library})
      const held = empty([1 << 20, 16], 'float32', 'cuda')
      try { empty([1 << 20, 64], 'float32', 'cuda'); console.log('nothing was thrown') } catch (error) { console.log(error instanceof OutOfMemoryError, error.message) }
      held.dispose()
      for (let i = 1; i < 5; i++) scope(() => { empty([1 << 20, 60 + i], 'float32', 'cuda') })
      console.log(device('cuda').memory().tensors)`, { env: { ...env, WARPWEFT_MEMORY_LIMIT: '300000000' } })
    expect({ code, output }).toMatchObject({ code: 0 })
    const [refusal, rest] = output.split('\n')
    expect(refusal).toMatch(/^true a tensor float32 \[1048576, 64\] asked for 268\.4 MB on cuda:0, where \d+\.\d MB are in use in \d+ tensors and 300\.0 MB may be used\. Use smaller batches/)
    expect(rest).toBe('0')
  }, 60_000)

  test('is filled with NaN under WARPWEFT_POISON, fresh or used before', async () => {
    const { output } = await runScript(`
      const { empty, tensor } = await import(${library})
      const x = empty([4], 'float32', 'cuda')
      console.log((await x.data()).every(Number.isNaN))
      const y = tensor([1, 2, 3, 4], null, { device: 'cuda' })
      y.dispose()
      console.log((await empty([4], 'float32', 'cuda').data()).every(Number.isNaN))`, { env: { ...env, WARPWEFT_POISON: '1' } })
    expect(output).toBe('true\ntrue\n')
  })
})

onGpu('the end of those who use it', () => {
  // Copies of some megabytes keep both queues busy, whatever kernels there are.
  const busy = `
    const { empty } = await import(${library})
    const x = empty([1 << 20], 'float32', 'cpu')
    let y = x
    for (let i = 0; i < 40; i++) y = y.to('cuda').to('cpu')`

  test.each([
    ['by process.exit while copies run', 'process.exit(0)', ''],
    ['by process.exit with a read under way', 'y.data(); process.exit(0)', ''],
    ['by itself, though nobody waits for what is queued', '', ''],
    ['after the last read has come back', 'console.log((await y.data()).length)', '1048576\n'],
  ])('%s: exit code 0 and no signal', async (_, end, output) => {
    expect(await runScript(`${busy}\n${end}`, { env })).toEqual({ code: 0, signal: null, output })
  }, 60_000)

  test('workers that are terminated while their copies run and their reads are awaited take nothing with them', async () => {
    const gpu = device('cuda'), before = gpu.memory()
    for (let i = 0; i < 4; i++) {
      const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(`import { parentPort } from 'node:worker_threads'
        ${busy}
        const z = x.to('cuda')
        z.data()
        y.data()
        parentPort.postMessage('busy')
        z.dataSync()`)}`), { env: { ...process.env, ...env } })
      await once(thread, 'message')
      await thread.terminate()
      scope(() => { expect(numbers(tensor([1, i], null, { device: 'cuda' }))).toEqual([1, i]) })
    }
    expect(gpu.memory().allocatedBytes).toBeLessThan(before.allocatedBytes + (1 << 22))
  }, 60_000)

  test('a worker computes on it with tensors of its own', async () => {
    const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(`import { parentPort } from 'node:worker_threads'
      const { tensor, memory } = await import(${library})
      const x = tensor([1, 2], null, { device: 'cuda' })
      parentPort.postMessage([...await x.data(), memory('cuda').tensors])`)}`), { env: { ...process.env, ...env } })
    expect(await once(thread, 'message')).toEqual([[1, 2, 1]])
    await thread.terminate()
  })
})

if (emulated) {
  onGpu('the emulator', () => {
    test.each([['80', 80], ['90', 90], ['120', 120]])('plays the GPU of WARPWEFT_SIMT_ARCH=%s', async (arch, number) => {
      const { output } = await runScript(`const { device } = await import(${library}); console.log(device('cuda').describe())`, { env: { ...env, WARPWEFT_SIMT_ARCH: arch } })
      expect(output).toBe(`emulated GPU, sm_${number}, 4 multiprocessors\n`)
    })
    test('says in one line which GPUs it can play', async () => {
      const { output } = await runScript(`const { device } = await import(${library}); try { device('cuda') } catch (e) { console.log(e.message) }`, { env: { ...env, WARPWEFT_SIMT_ARCH: '75' } })
      expect(output).toMatch(/^device 'cuda': WARPWEFT_SIMT_ARCH is 75, expected 80, .*\n$/)
    })
  })
}
