import { ConfigError } from '../../errors.js'

/**
 * Learning rates that are a function of the step alone. Each equals the schedule of the same name in transformers 5.23 or PyTorch 2.x;
 * the steps are optimizer steps counted from 0. Options are checked before they come here (`schedule.ts`).
 */
type Curve = (step: number) => number

interface Warmup { learningRate: number, warmupSteps: number }
interface Decay extends Warmup { totalSteps: number }

export const constant = ({ learningRate }: { learningRate: number }): Curve => () => learningRate

export const constantWithWarmup = ({ learningRate, warmupSteps }: Warmup): Curve =>
  warmed(warmupSteps, learningRate, () => learningRate)

export const linear = ({ learningRate, warmupSteps, totalSteps }: Decay): Curve =>
  warmed(warmupSteps, learningRate, step => learningRate * Math.max(0, (totalSteps - step) / atLeastOne(totalSteps - warmupSteps)))

/** Half a cosine by default; past `totalSteps` the wave goes on, as in transformers. */
export const cosine = ({ learningRate, warmupSteps, totalSteps, numCycles }: Decay & { numCycles: number }): Curve =>
  warmed(warmupSteps, learningRate, step =>
    learningRate * Math.max(0, wave(numCycles, (step - warmupSteps) / atLeastOne(totalSteps - warmupSteps))))

/** `numCycles` half cosines, each of which starts at the full rate (Loshchilov, Hutter 2017, without growing periods). */
export const cosineWithRestarts = ({ learningRate, warmupSteps, totalSteps, numCycles }: Decay & { numCycles: number }): Curve =>
  warmed(warmupSteps, learningRate, step => {
    const progress = (step - warmupSteps) / atLeastOne(totalSteps - warmupSteps)
    return progress >= 1 ? 0 : learningRate * wave(0.5, (numCycles * progress) % 1)
  })

interface Floor { minLearningRate: number | undefined, minLearningRateRatio: number | undefined }

export const cosineWithMinimum = (options: Decay & Floor & { numCycles: number }): Curve => {
  const { learningRate, warmupSteps, totalSteps, numCycles } = options
  const floor = floorOf('cosine_with_min_lr', options)
  return warmed(warmupSteps, learningRate, step =>
    learningRate * Math.max(0, above(floor, wave(numCycles, (step - warmupSteps) / atLeastOne(totalSteps - warmupSteps)))))
}

/** As `cosineWithMinimum`, but one step ahead, so that the first step already learns; `warmupLearningRateRatio` sets where it starts. */
export const cosineWarmupWithMinimum = (
  options: Decay & Floor & { numCycles: number, warmupLearningRateRatio: number | undefined },
): Curve => {
  const { learningRate, warmupSteps, totalSteps, numCycles, warmupLearningRateRatio: start } = options
  const floor = floorOf('cosine_warmup_with_min_lr', options)
  return step => {
    if (step < warmupSteps) {
      return learningRate * (start === undefined ? (step + 1) / warmupSteps : start + (1 - start) * step / atLeastOne(warmupSteps - 1))
    }
    return learningRate * Math.max(0, above(floor, wave(numCycles, (step - warmupSteps + 1) / atLeastOne(totalSteps - warmupSteps))))
  }
}

export const polynomial = (
  { learningRate, warmupSteps, totalSteps, learningRateEnd, power }: Decay & { learningRateEnd: number, power: number },
): Curve => {
  if (learningRateEnd >= learningRate) {
    throw new ConfigError(`schedule polynomial: learningRateEnd (${learningRateEnd}) must be below learningRate (${learningRate}).`)
  }
  return warmed(warmupSteps, learningRate, step => {
    if (step > totalSteps) return learningRateEnd
    const left = 1 - (step - warmupSteps) / atLeastOne(totalSteps - warmupSteps)
    return (learningRate - learningRateEnd) * left ** power + learningRateEnd
  })
}

/** Zhai et al. 2022, "Scaling Vision Transformers"; without `timescale` it is that of the warm-up, or 10,000 steps. */
export const inverseSqrt = ({ learningRate, warmupSteps, timescale = warmupSteps || 10_000 }: Warmup & { timescale: number | undefined }): Curve =>
  warmed(warmupSteps, learningRate, step => learningRate / Math.sqrt((step + timescale - warmupSteps) / timescale))

export type Shape = 'linear' | 'cosine' | '1-sqrt'
interface Stages extends Warmup {
  stableSteps: number | undefined, decaySteps: number, totalSteps: number | undefined
  warmupType: Shape, decayType: Shape, minLearningRateRatio: number, numCycles: number
}

/** Warm-up, plateau, decay (Hu et al. 2024, MiniCPM); the warm-up starts and the decay ends at `minLearningRateRatio`. */
export const warmupStableDecay = (options: Stages): Curve => {
  const { learningRate, warmupSteps, decaySteps, totalSteps, warmupType, decayType, minLearningRateRatio: floor, numCycles } = options
  const stableSteps = options.stableSteps ?? (totalSteps ?? NaN) - warmupSteps - decaySteps
  if (Number.isNaN(stableSteps)) throw new ConfigError('schedule warmup_stable_decay: needs stableSteps or totalSteps.')
  if (stableSteps < 0) {
    throw new ConfigError(`schedule warmup_stable_decay: warmupSteps (${warmupSteps}) and decaySteps (${decaySteps}) do not fit into `
      + `totalSteps (${totalSteps}). Shorten them or train longer.`)
  }
  const decayFrom = warmupSteps + stableSteps
  return step => {
    if (step < warmupSteps) return learningRate * above(floor, rise(warmupType, step / warmupSteps))
    if (step < decayFrom) return learningRate
    if (step >= decayFrom + decaySteps) return learningRate * floor
    return learningRate * Math.max(0, above(floor, fall(decayType, numCycles, (step - decayFrom) / decaySteps)))
  }
}

/** Vaswani et al. 2017, section 5.3, times `learningRate`; the paper counts steps from 1. */
export const noam = ({ learningRate, dModel, warmupSteps }: Warmup & { dModel: number }): Curve => step =>
  learningRate * dModel ** -0.5 * Math.min((step + 1) ** -0.5, (step + 1) * warmupSteps ** -1.5)

interface OneCycle {
  learningRate: number, totalSteps: number, pctStart: number, annealStrategy: 'cos' | 'linear'
  divFactor: number, finalDivFactor: number, threePhase: boolean
}

/** Smith, Topin 2018 as in PyTorch's OneCycleLR: `learningRate` is the peak. Past the end the last rate stays. */
export const oneCycle = (options: OneCycle): Curve => {
  const { learningRate: peak, totalSteps, pctStart, annealStrategy, divFactor, finalDivFactor, threePhase } = options
  if (threePhase && pctStart > 0.5) {
    throw new ConfigError('schedule one_cycle: with threePhase, pctStart is the share of the rise and again of the fall: '
      + `at most 0.5, not ${pctStart}.`)
  }
  const start = peak / divFactor, last = start / finalDivFactor
  const phases = [{ end: pctStart * totalSteps - 1, from: start, to: peak }]
  if (threePhase) phases.push({ end: 2 * pctStart * totalSteps - 2, from: peak, to: start }, { end: totalSteps - 1, from: start, to: last })
  else phases.push({ end: totalSteps - 1, from: peak, to: last })
  return step => {
    let begin = 0
    for (const { end, from, to } of phases) {
      if (step <= end) {
        const done = end > begin ? (step - begin) / (end - begin) : 1
        return annealStrategy === 'cos' ? to + (from - to) / 2 * (1 + Math.cos(Math.PI * done)) : from + (to - from) * done
      }
      begin = end
    }
    return last
  }
}

export const step = ({ learningRate, stepSize, gamma }: { learningRate: number, stepSize: number, gamma: number }): Curve =>
  at => learningRate * gamma ** Math.floor(at / stepSize)

/** A milestone that is listed twice decays twice, as in PyTorch. */
export const multiStep = ({ learningRate, milestones, gamma }: { learningRate: number, milestones: readonly number[], gamma: number }): Curve =>
  at => learningRate * gamma ** milestones.filter(milestone => milestone <= at).length

export const exponential = ({ learningRate, gamma }: { learningRate: number, gamma: number }): Curve => at => learningRate * gamma ** at

const warmed = (warmupSteps: number, learningRate: number, after: Curve): Curve =>
  at => at < warmupSteps ? learningRate * at / warmupSteps : after(at)

/** 1 at progress 0; `cycles` whole waves until progress 1. */
const wave = (cycles: number, progress: number) => 0.5 * (1 + Math.cos(2 * Math.PI * cycles * progress))
const above = (floor: number, factor: number) => factor * (1 - floor) + floor
const atLeastOne = (steps: number) => Math.max(1, steps)

function rise(shape: Shape, progress: number): number {
  if (shape === 'linear') return progress
  return shape === 'cosine' ? 0.5 * (1 - Math.cos(Math.PI * progress)) : 1 - Math.sqrt(1 - progress)
}

function fall(shape: Shape, cycles: number, progress: number): number {
  if (shape === 'linear') return 1 - progress
  return shape === 'cosine' ? wave(cycles, progress) : 1 - Math.sqrt(progress)
}

function floorOf(schedule: string, { learningRate, minLearningRate, minLearningRateRatio }: Floor & { learningRate: number }): number {
  if ((minLearningRate === undefined) === (minLearningRateRatio === undefined)) {
    throw new ConfigError(`schedule ${schedule}: needs either minLearningRate or minLearningRateRatio.`)
  }
  return minLearningRateRatio ?? (minLearningRate as number) / learningRate
}
