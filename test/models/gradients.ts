import { expect } from '@jest/globals'
import type { Module } from '#lib/nn/module.js'

/** Which parameters have a gradient, by name, each expected to be finite; afterwards none has one. */
export function takenGradients(model: Module): [name: string, present: boolean][] {
  return [...model.namedParameters()].map(([name, p]) => {
    expect(p.grad === undefined || Array.from(p.grad.dataSync() as Float32Array).every(Number.isFinite)).toBe(true)
    const present = p.grad !== undefined
    p.grad?.dispose()
    p.grad = undefined
    return [name, present]
  })
}
