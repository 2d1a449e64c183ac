import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { backward } from '#lib/autograd/backward.js'
import { autocast, scope } from '#lib/tensor/scope.js'
import { readCase, type Case } from './case.js'
import { compare, largest, type Comparison } from './compare.js'
import { compareGeneration } from './generation.js'
import { subjectOf } from './models.js'
import { adaptedSubject } from './peft.js'
import { comparePipeline } from './pipelines.js'
import { compareTrajectory } from './trajectory.js'

export type Precision = 'float32' | 'bfloat16' | 'float16'
export interface Outcome { name: string, architecture: string, comparisons: Comparison[] }

/** Parts of the largest value of an output or gradient; and of the largest gradient of the case, for gradients that are zero but for rounding. */
const bounds: Record<Precision, { output: number, gradient: number, ofAll: number }> = {
  float32: { output: 2e-5, gradient: 1e-4, ofAll: 1e-6 }, bfloat16: { output: 3e-2, gradient: 3e-2, ofAll: 5e-3 }, float16: { output: 5e-3, gradient: 5e-3, ofAll: 8e-4 },
}

async function compareOutputs(c: Case, precision: Precision): Promise<Comparison[]> {
  const { model, run, nameOf, merged } = existsSync(join(c.directory, 'adapter')) ? await adaptedSubject(c) : subjectOf(c)
  model.eval()
  const results: Comparison[] = []
  const { output: outputBound, gradient: gradientBound, ofAll } = bounds[precision]
  const gradients = [...c.expected.keys()].filter(name => name.startsWith('grad.'))
  const largestGradient = Math.max(0, ...gradients.map(name => largest(c.expected.get(name)!.data)))
  await scope(() => autocast(precision, async () => {
    const outputs = run()
    if (outputs['loss']?.requiresGrad) backward(outputs['loss'])   // no weight of an adapter may be trainable
    for (const [name, expected] of c.expected) {
      if (name.startsWith('generate.') || name.startsWith('merged')) continue
      if (name.startsWith('grad.')) {
        const p = new Map(model.namedParameters({ once: false })).get(nameOf(name.slice('grad.'.length)))
        const bound = Math.max(gradientBound * largest(expected.data), ofAll * largestGradient)
        results.push(compare(name, p?.grad && { shape: p.shape, data: await p.grad.data() as Float32Array }, expected, bound))
      } else {
        const y = outputs[name]
        results.push(compare(name, y && { shape: y.shape, data: await y.data() as Float32Array }, expected, outputBound * largest(expected.data)))
      }
    }
  }))
  if (precision === 'float32') results.push(...await compareGeneration(c, model))
  if (merged && [...c.expected.keys()].some(name => name.startsWith('merged'))) {
    await scope(() => autocast(precision, async () => {
      const outputs = merged()
      for (const [name, expected] of c.expected) {
        const y = outputs[name]
        if (name.startsWith('merged')) results.push(compare(name, y && { shape: y.shape, data: await y.data() as Float32Array }, expected, outputBound * largest(expected.data)))
      }
    }))
  }
  if (precision === 'float32') {
    const compared = new Set(results.map(r => r.name))
    for (const name of c.expected.keys()) if (!compared.has(name)) results.push({ name, error: Infinity, bound: 0, passed: false, note: 'nothing produced it' })
  }
  model.dispose()
  return results
}

/** Everything that the case expects, compared. A case that cannot be loaded or run throws. */
export async function runCase(directory: string, precision: Precision): Promise<Outcome> {
  const { kind, name, task } = JSON.parse(await readFile(join(directory, 'case.json'), 'utf8')) as { kind?: string, name: string, task?: string }
  if (kind === 'pipeline') return { name, architecture: `pipeline ${String(task)}`, comparisons: await comparePipeline(directory) }
  const c = await readCase(directory)
  if (c.kind !== undefined && c.kind !== 'trajectory') throw new Error(`kind '${c.kind}' is not known`)
  return { name: c.name, architecture: c.class, comparisons: c.kind === 'trajectory' ? await compareTrajectory(c) : await compareOutputs(c, precision) }
}
