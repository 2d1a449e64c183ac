import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import { PeftModel } from '#lib/peft/peftModel.js'
import { noGrad } from '#lib/tensor/scope.js'
import type { Case } from './case.js'
import { type Subject, subjectOf } from './models.js'

/** The model of `base/` with the adapter of `adapter/`. */
export async function adaptedSubject(c: Case): Promise<Subject> {
  const [architecture] = c.config['architectures'] as string[]
  const adapted: Case = { ...c, class: architecture!, inputs: new Map(c.inputs) }
  const { model, run } = subjectOf(adapted), folder = join(c.directory, 'adapter')
  const isTrainable = [...c.expected.keys()].some(name => name.startsWith('grad.')), tuned = await PeftModel.fromPretrained(model, folder, { isTrainable })
  await requireSameFiles(tuned, folder)
  const config = tuned.peftConfig.get('default')!
  if (config.peft_type === 'PROMPT_TUNING' && config.task_type === 'CAUSAL_LM') adapted.inputs.set('labels', behindVirtual(c.inputs.get('labels')!, config.num_virtual_tokens))
  return {
    model: tuned, run, nameOf: name => name,
    merged() {
      const plain = tuned.mergeAndUnload(), outputs = noGrad(run), { logits } = outputs
      return { merged_logits: (logits ?? outputs['start_logits'])!, ...Object.fromEntries([...plain.namedParameters({ once: false })].map(([name, p]) => [`merged.${name}`, p])) }
    },
  }
}

/** What is saved again is what was loaded: every key of both files. @throws Error that lists what differs */
async function requireSameFiles(tuned: PeftModel, folder: string): Promise<void> {
  const again = await mkdtemp(join(tmpdir(), 'warpweft-adapter-'))
  try {
    await tuned.savePretrained(again)
    const differing: string[] = []
    const json = async (directory: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(join(directory, 'adapter_config.json'), 'utf8')) as Record<string, unknown>
    const [before, after] = [await json(folder), await json(again)]
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) if (JSON.stringify(sorted(before[key])) !== JSON.stringify(sorted(after[key]))) differing.push(key)
    const [old, saved] = [await openSafetensors(folder, 'adapter_model'), await openSafetensors(again, 'adapter_model')]
    for (const name of new Set([...old.tensors.keys(), ...saved.tensors.keys()])) {
      if (!old.tensors.has(name) || !saved.tensors.has(name)) differing.push(name)
      else if (Buffer.compare(Buffer.from((await old.float32(name)).buffer), Buffer.from((await saved.float32(name)).buffer)) !== 0) differing.push(name)
    }
    await Promise.all([old.close(), saved.close()])
    if (differing.length > 0) throw new Error(`saved again, the adapter differs in ${differing.join(', ')}`)
  } finally {
    await rm(again, { recursive: true })
  }
}

/** Lists that peft keeps as sets, in one order. */
const sorted = (value: unknown): unknown => Array.isArray(value) ? [...new Set(value.map(String))].sort((a, b) => a < b ? -1 : 1) : value

/** Labels behind those of virtual tokens, which do not count. */
function behindVirtual<T extends { shape: readonly number[], data: ArrayLike<number> }>(labels: T, count: number): T {
  const [B, T] = labels.shape as [number, number], width = count + T
  return { ...labels, shape: [B, width], data: Float64Array.from({ length: B * width }, (_, i) => i % width < count ? -100 : labels.data[Math.floor(i / width) * T + i % width - count]!) }
}
