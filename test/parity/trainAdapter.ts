// node build/js/test/parity/trainAdapter.js FOLDER CASE…: trains the adapters of cases (make_peft.py) a few steps further, and beside each a new LoRA of its own, and saves them under FOLDER
// with what the models compute then, alone and merged, for make_peft.py --load.
import { copyFileSync, mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { backward } from '#lib/autograd/backward.js'
import { loadModel } from '#lib/hub/modelDirectory.js'
import { saveSafetensors } from '#lib/io/safetensorsShards.js'
import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { Module } from '#lib/nn/module.js'
import { AdamW } from '#lib/optim/adamW.js'
import { getPeftModel, PeftModel } from '#lib/peft/index.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { type Case, readCase } from './case.js'
import { ids, shifted } from './adapter.js'

const [folder, ...directories] = process.argv.slice(2)
if (!folder || directories.length === 0) {
  console.error('usage: trainAdapter.js FOLDER CASE…')
  process.exit(2)
}

async function logitsOf(model: CausalLanguageModel, c: Case): Promise<{ data: Float32Array, shape: readonly number[] }> {
  const y = noGrad(() => scope(() => model.forward(ids(c, 'input_ids'))))
  return { data: await y.data() as Float32Array, shape: y.shape }
}

async function trained(c: Case, base: Module, tuned: PeftModel & CausalLanguageModel, out: string): Promise<void> {
  mkdirSync(out, { recursive: true })
  await base.savePretrained(join(out, 'base'))
  const trainable = [...tuned.namedParameters()].filter(([, p]) => p.requiresGrad), optimizer = new AdamW([{ parameters: trainable, options: {} }], { learningRate: 1e-2 })
  tuned.train()
  for (let step = 0; step < 5; step++) {
    scope(() => {
      backward(tuned.loss({ ids: ids(c, 'input_ids'), labels: shifted(c) }))
      optimizer.step()
      optimizer.zeroGrad()
    })
  }
  tuned.eval()
  await tuned.savePretrained(join(out, 'adapter'))
  const alone = await logitsOf(tuned, c), merged = await logitsOf(tuned.mergeAndUnload() as CausalLanguageModel, c)
  await saveSafetensors(out, [{ name: 'logits', dtype: 'F32', ...alone }, { name: 'merged_logits', dtype: 'F32', ...merged }], { name: 'expected' })
  copyFileSync(join(c.directory, 'inputs.safetensors'), join(out, 'inputs.safetensors'))
  optimizer.dispose()
}

for (const directory of directories) {
  const c = await readCase(directory), name = basename(directory), load = async (): Promise<Module> => (await loadModel(join(directory, 'base'))).model
  const base = await load(), further = await PeftModel.fromPretrained(base as CausalLanguageModel, join(directory, 'adapter'), { isTrainable: true })
  await trained(c, await load(), further, join(folder, name))
  const fresh = getPeftModel(await load() as CausalLanguageModel, { peft_type: 'LORA', r: 3, lora_alpha: 5, target_modules: 'all-linear', task_type: 'CAUSAL_LM' })
  await trained(c, await load(), fresh, join(folder, `${name}-new`))
  console.log(name)
}
