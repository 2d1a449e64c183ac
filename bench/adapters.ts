// node scripts/run.mjs bench/adapters.ts: memory and time of a training step of a small LLaMA with each kind of adapter.
import { backward } from '#lib/autograd/backward.js'
import { Llama } from '#lib/models/llama.js'
import type { Module } from '#lib/nn/module.js'
import { AdamW } from '#lib/optim/adamW.js'
import { getPeftModel, type PeftOptions, quantizeWeights } from '#lib/peft/index.js'
import { tensor } from '#lib/tensor/create.js'
import { cpu, memory, threads } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'

const B = 4, T = 128, V = 2000, steps = 2
const create = (): Llama => {
  manualSeed(1)
  return new Llama({ vocab_size: V, hidden_size: 512, intermediate_size: 1408, num_hidden_layers: 6, num_attention_heads: 8, num_key_value_heads: 8 })
}
const lora = { peft_type: 'LORA', r: 8, target_modules: 'all-linear' } as const satisfies PeftOptions
const kinds: Readonly<Record<string, () => Module & Pick<Llama, 'loss'>>> = {
  'all weights': create,
  'LoRA': () => getPeftModel(create(), lora),
  'DoRA': () => getPeftModel(create(), { ...lora, use_dora: true }),
  'LoRA on int8': () => getPeftModel(quantizeWeights(create(), { to: 'int8' }), lora),
  'LoRA on 4 bits (QLoRA)': () => getPeftModel(quantizeWeights(create(), { to: 'nf4' }), lora),
  'IA3': () => getPeftModel(create(), { peft_type: 'IA3' }),
  'bottlenecks of 64': () => getPeftModel(create(), { peft_type: 'BOTTLENECK', target_modules: ['o_proj', 'down_proj'] }),
  'prompt of 20': () => getPeftModel(create(), { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 20 }),
  'prefix of 20': () => getPeftModel(create(), { peft_type: 'PREFIX_TUNING', num_virtual_tokens: 20 }),
}

const ids = Int32Array.from({ length: B * T }, (_, i) => (i * 7919) % V), megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1).padStart(8)
console.log(`LLaMA of 6 layers, 512 wide, ${B} x ${T} tokens, AdamW; ${threads()} threads (${cpu.describe()})`)
console.log('                          trained    model MB  step peak MB    file MB   ms a step')
for (const [name, make] of Object.entries(kinds)) {
  cpu.trim()
  const before = memory().bytes, model = make(), held = memory().bytes - before
  const trained = model.parameters().reduce((n, p) => n + (p.requiresGrad ? p.size : 0), 0), optimizer = new AdamW(model.parameters().some(p => !p.requiresGrad)
    ? [{ parameters: [...model.namedParameters()].filter(([, p]) => p.requiresGrad), options: {} }] : model)
  const step = async (): Promise<void> => {
    scope(() => {
      backward(model.loss({ ids: tensor(ids, [B, T]), labels: tensor(ids, [B, T]) }))
      optimizer.step()
      optimizer.zeroGrad()
    })
    await cpu.synchronize()
  }
  await step()
  cpu.resetPeakMemory()
  const began = performance.now()
  for (let i = 0; i < steps; i++) await step()
  const seconds = (performance.now() - began) / steps
  console.log(`${name.padEnd(24)} ${trained.toLocaleString('en').padStart(11)} ${megabytes(held)}     ${megabytes(memory().peakBytes - before)}   ${megabytes(4 * trained)}    ${seconds.toFixed(0).padStart(6)}`)
  optimizer.dispose()
  model.dispose()
}
