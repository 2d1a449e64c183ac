import { backward } from '#lib/autograd/backward.js'
import { GPT2, type GPT2Config } from '#lib/models/gpt2.js'
import { Adam, AdamW } from '#lib/optim/adamW.js'
import { decayGroups } from '#lib/optim/groups.js'
import type { Optimizer } from '#lib/optim/optimizer.js'
import { schedule, type Schedule } from '#lib/optim/schedules/schedule.js'
import { SGD } from '#lib/optim/sgd.js'
import { tensor } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Case, Training } from './case.js'
import { compare, largest, type Comparison } from './compare.js'
import { shifted } from './adapter.js'

function optimizerOf(t: Training, model: GPT2): Optimizer<{ learningRate: number }> {
  const decay = Number.parseFloat(t.weight_decay ?? '0')
  const adam = { learningRate: t.lr, betas: t.betas!, eps: t.eps! }
  if (t.optimizer === 'AdamW') return t.weight_decay?.includes('2 or more dimensions') ? new AdamW(decayGroups(model, decay), adam) : new AdamW(model, { ...adam, weightDecay: decay })
  if (t.optimizer === 'Adam') return new Adam(model, { ...adam, weightDecay: decay })
  if (t.optimizer === 'SGD') return new SGD(model, { learningRate: t.lr, momentum: t.momentum ?? 0, nesterov: t.nesterov ?? false, weightDecay: decay })
  throw new Error(`optimizer '${t.optimizer}' is not known`)
}

function scheduleOf(t: Training): Schedule {
  const warmupSteps = Number(/warm-up (\d+)/.exec(t.schedule)?.[1] ?? 0), options = { learningRate: t.lr, warmupSteps, totalSteps: t.steps }
  if (t.schedule.startsWith('constant')) return warmupSteps ? schedule('constant_with_warmup', options) : schedule('constant', { learningRate: t.lr })
  if (t.schedule.startsWith('cosine to 0')) return schedule('cosine', options)
  if (t.schedule.startsWith('linear to 0')) return schedule('linear', options)
  if (t.schedule.startsWith('inverse square root')) return schedule('inverse_sqrt', options)
  throw new Error(`schedule '${t.schedule}' is not known`)
}

/** Trains as the case says and compares losses, norms, rates and final weights. */
export async function compareTrajectory(c: Case): Promise<Comparison[]> {
  const t = c.training!
  const model = new GPT2({ ...c.config as unknown as GPT2Config, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 })
  model.loadStateDict(c.weights)
  const optimizer = optimizerOf(t, model), rate = scheduleOf(t)
  const { shape, data } = c.inputs.get('input_ids')!, T = shape[1]!
  const losses: number[] = [], norms: number[] = [], rates: number[] = []
  for (let step = 0; step < t.steps; step++) {
    await scope(async () => {
      let counted = 0
      const sums = Array.from({ length: t.accumulate }, (_, a) => {
        const first = (step * t.accumulate + a) * t.batch
        const ids = tensor(Int32Array.from({ length: t.batch * T }, (_, i) => data[first * T + i]!), [t.batch, T]), labels = shifted(c, [first, first + t.batch])
        for (const label of labels.dataSync()) if (label !== -100) counted++
        const loss = model.loss({ ids, labels }, { reduction: 'sum' })
        backward(loss)
        return loss
      })
      rates.push(rate(step))
      optimizer.setLearningRate(rate(step))
      norms.push(await optimizer.step({ gradientScale: 1 / counted, maxNorm: t.clip }).item())
      optimizer.zeroGrad()
      let sum = 0
      for (const loss of sums) sum += await loss.item()
      losses.push(sum / counted)
    })
  }
  const relative = (name: string, got: readonly number[], bound: number): Comparison => {
    const expected = c.expected.get(name)!
    const errors = got.map((g, i) => Math.abs(g - expected.data[i]!) / Math.max(Math.abs(expected.data[i]!), 1e-12))
    const error = errors.some(Number.isNaN) ? Infinity : Math.max(...errors)
    return { name, error, bound, passed: got.length === expected.data.length && error <= bound }
  }
  const results = [relative('losses', losses, 1e-5), relative('grad_norms', norms, 2e-3), relative('learning_rates', rates, 1e-6)]
  const parameters = new Map(model.namedParameters())
  for (const [name, expected] of c.expected) {
    if (!name.startsWith('final.')) continue
    const p = parameters.get(name.slice('final.'.length)), width = expected.shape.at(-1)!
    // The gradient of a key's bias is rounding, which Adam turns into steps.
    const counts = name.endsWith('c_attn.bias') ? (i: number) => i < width / 3 || i >= 2 * width / 3 : () => true
    results.push(compare(name, p && { shape: p.shape, data: p.dataSync() as Float32Array }, expected, 1e-4 * largest(expected.data), counts))
  }
  for (const name of c.expected.keys())
    if (!name.startsWith('final.') && !['losses', 'grad_norms', 'learning_rates'].includes(name)) results.push({ name, error: Infinity, bound: 0, passed: false, note: 'nothing produced it' })
  optimizer.dispose()
  model.dispose()
  return results
}
