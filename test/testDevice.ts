import { test } from '@jest/globals'
import { cuda } from '#lib/tensor/cuda.js'
import { type Device, cpu, device, setDefaultDevice, withDevice } from '#lib/tensor/device.js'
import { native } from '#lib/tensor/native.js'

// The device under test: WARPWEFT_TEST_DEVICE, else the CPU. What its backend has no kernel for is left out by name and counted: a test that needs such an op is skipped, and
// says what is missing.

export const testDevice: Device = device(process.env['WARPWEFT_TEST_DEVICE'] || 'cpu')
setDefaultDevice(testDevice)

/** Ops that the backend of the device under test lacks. */
export const missingOps: readonly string[] = testDevice === cpu ? [] : cuda().missing

/** Whether kernels run on the emulator: a ten-thousandth of a GPU's speed. */
export const isEmulated = testDevice !== cpu && cuda().emulated

/** `test`, or `test.skip` where the device under test lacks one of these ops: for tests that are no op cases. */
export const needing = (...ops: string[]): typeof test.skip => ops.some(op => missingOps.includes(op)) ? test.skip : test

/** Runs `work` on the CPU and returns those of the native ops that it called which the device under test lacks. */
export function missingIn(work: () => void): string[] {
  if (missingOps.length === 0) return []
  const functions = native as unknown as Record<string, (...values: unknown[]) => unknown>, called = new Set<string>()
  const real = Object.fromEntries(missingOps.map(name => [name, functions[name]!]))
  for (const name of missingOps) functions[name] = (...values) => { called.add(name); return real[name]!(...values) }
  try {
    withDevice(cpu, work)
  } finally {
    Object.assign(functions, real)
  }
  return [...called].sort()
}
