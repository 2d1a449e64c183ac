import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline, type PipelineTask } from '#lib/pipelines/index.js'
import type { Comparison } from './compare.js'

/** Pipelines of a directory with what transformers' own made of the same texts (make_pipelines.py). */
interface PipelineCase { task: PipelineTask, calls: { inputs: unknown[], options: Record<string, unknown>, expected: unknown }[] }

/** Scores and vectors; texts, labels and places have to be equal. */
const bound = 1e-4

/** Every call, compared with what is expected of it: keys that are not expected do not count, such as the texts of entities. */
export async function comparePipeline(directory: string): Promise<Comparison[]> {
  const { task, calls } = JSON.parse(await readFile(join(directory, 'case.json'), 'utf8')) as PipelineCase
  const call = await pipeline(task, directory) as unknown as ((...args: unknown[]) => Promise<unknown>) & { dispose(): void }
  try {
    const comparisons: Comparison[] = []
    for (const [i, { inputs, options, expected }] of calls.entries()) {
      const name = `call ${i + 1}, ${JSON.stringify(inputs).slice(0, 80)} ${JSON.stringify(options).slice(0, 100)}`
      const { error, note } = difference(await call(...inputs, options), expected, 'result')
      comparisons.push({ name, error, bound, passed: error <= bound, ...(note === undefined ? {} : { note }) })
    }
    return comparisons
  } finally {
    call.dispose()
  }
}

interface Difference { error: number, note?: string }

/** The largest error of the numbers that are no whole ones; infinite, with its place, where something else differs. */
function difference(got: unknown, expected: unknown, place: string): Difference {
  const differs = (): Difference => ({ error: Infinity, note: `${place} is ${JSON.stringify(got)?.slice(0, 200) ?? 'missing'}, expected ${JSON.stringify(expected).slice(0, 200)}` })
  if (typeof expected === 'number') {
    if (typeof got !== 'number' || (!Number.isFinite(got))) return differs()
    const error = Math.abs(got - expected)
    return error <= bound ? { error } : { error, note: `${place} is ${got}, expected ${expected}` }
  }
  if (typeof expected !== 'object' || expected === null) return got === expected ? { error: 0 } : differs()
  const parts = Array.isArray(expected) ? [...expected.keys()].map(i => [i, (expected as unknown[])[i]] as const) : Object.entries(expected)
  if (Array.isArray(expected) && (got as ArrayLike<unknown> | undefined)?.length !== expected.length) return differs()
  let worst: Difference = { error: 0 }
  for (const [key, value] of parts) {
    const found = difference((got as Record<string | number, unknown> | undefined)?.[key], value, Array.isArray(expected) ? `${place}[${key}]` : `${place}.${key}`)
    if (found.error > worst.error) worst = found
  }
  return worst
}
