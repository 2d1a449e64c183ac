// Measures what it is sent: a JSON line { spec, seconds } on standard input gives a JSON line { times, peakMiB } on standard output. Times are milliseconds of a run: of as many
// runs, queued one behind the other, as take 20 ms or more until the device has done them.
import { createInterface } from 'node:readline'
import { device, setDefaultDevice } from '#lib/tensor/device.js'
import type { Spec } from './specs.js'
import { gpuWork } from './works.js'

const gpu = device('cuda')
setDefaultDevice(gpu)

async function timed(run: () => void, runs: number): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < runs; i++) run()
  await gpu.synchronize()
  return performance.now() - start
}

async function measured({ spec, seconds }: { spec: Spec, seconds: number }): Promise<object> {
  const work = gpuWork(spec)
  try {
    gpu.resetPeakMemory()
    for (let i = 0; i < 2; i++) await timed(work.run, 1)
    const once = await timed(work.run, 1), runs = Math.max(1, Math.min(200, Math.ceil(20 / once))), times: number[] = [], end = performance.now() + 1000 * seconds
    while (times.length < 3 || (performance.now() < end && times.length < 50)) times.push(await timed(work.run, runs) / runs)
    return { times, peakMiB: gpu.memory().peakBytes / 2 ** 20 }
  } finally {
    work.dispose()
    await gpu.synchronize()
    gpu.trim()
  }
}

console.log(JSON.stringify({ ready: gpu.describe() }))
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await measured(JSON.parse(line) as { spec: Spec, seconds: number })))
  } catch (error) {
    console.log(JSON.stringify({ error: (error as Error).message }))
  }
}
