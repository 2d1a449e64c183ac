import { cp, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError, ConfigError } from '../errors.js'
import { atomicDirectory } from '../io/atomicDirectory.js'
import { openSafetensors, saveSafetensors } from '../io/safetensorsShards.js'
import type { TensorReader } from '../io/safetensors.js'
import { sameShape } from '../hub/weights.js'

/** Values by name, as `Module.loadStateDict` takes them. */
export type AveragedWeights = Map<string, { shape: readonly number[], data: Float32Array }>

/**
 * The mean of the weights of several checkpoints of one training, as in the paper (Vaswani et al. 2017, section 6.1: the last 5, or 20, checkpoints).
 * @param paths checkpoints or model directories, such as the last ones of `listCheckpoints(outputDir)`
 * @param options output: a model directory to write, with the configuration and tokenizer of the last of the paths
 * @returns values for `model.loadStateDict`
 * @throws CheckpointError if they are not of one model; all that differs is listed   @throws ConfigError without paths
 */
export async function averageCheckpoints(paths: readonly string[], { output }: { output?: string } = {}): Promise<AveragedWeights> {
  if (paths.length === 0) throw new ConfigError('averageCheckpoints: there are no checkpoints to average. Give their paths.')
  const readers: TensorReader[] = []
  try {
    for (const path of paths) readers.push(await openSafetensors(path))
    requireSameTensors(readers)
    const averaged: AveragedWeights = new Map()
    for (const [name, { shape }] of readers[0]!.tensors) averaged.set(name, { shape, data: await mean(readers, name) })
    if (output !== undefined) await writeAveraged(output, paths.at(-1)!, averaged)
    return averaged
  } finally {
    for (const reader of readers) await reader.close()
  }
}

/** In double precision: the mean of equal values is that value. */
async function mean(readers: readonly TensorReader[], name: string): Promise<Float32Array> {
  let sums: Float64Array | undefined
  for (const reader of readers) {
    const values = await reader.float32(name)
    if (!sums) sums = Float64Array.from(values)
    else for (let i = 0; i < sums.length; i++) sums[i]! += values[i]!
  }
  return Float32Array.from(sums!, sum => sum / readers.length)
}

function requireSameTensors([first, ...others]: readonly TensorReader[]): void {
  const problems: string[] = []
  for (const other of others) {
    for (const [name, { shape }] of first!.tensors) {
      const found = other.tensors.get(name)
      if (!found) problems.push(`${other.path} has no ${name}`)
      else if (!sameShape(found.shape, shape))
        problems.push(`${name} is [${shape.join(', ')}] in ${first!.path}, [${found.shape.join(', ')}] in ${other.path}`)
    }
    for (const name of other.tensors.keys()) if (!first!.tensors.has(name)) problems.push(`${first!.path} has no ${name}`)
  }
  if (problems.length > 0) throw new CheckpointError(`the checkpoints are of different models: ${problems.join('; ')}.`)
}

async function writeAveraged(output: string, like: string, averaged: AveragedWeights): Promise<void> {
  await atomicDirectory(output, async folder => {
    for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      const from = join(like, file)
      if (await stat(from).then(() => true, () => false)) await cp(from, join(folder, file))
    }
    await saveSafetensors(folder, [...averaged].map(([name, { shape, data }]) => ({ name, dtype: 'F32' as const, shape, data })))
  })
}
