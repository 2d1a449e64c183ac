import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { CheckpointError, ConfigError } from '#lib/errors.js'
import { followsMetric, schedule, scheduleFrom, scheduleNames } from '#lib/optim/schedules/schedule.js'
import { shared } from '../shared.js'

interface Fixture {
  name: string, lr?: number, warmup?: number, total?: number, cycles?: number, min_rate?: number, lr_end?: number, power?: number
  stable?: number, decay?: number, step?: number, gamma?: number, d_model?: number, factor?: number, values: number[]
}

/** Our name for each name of the reference file, and how its arguments are called here. */
const named: Record<string, [string, (f: Fixture) => Record<string, unknown>]> = {
  constant: ['constant', () => ({})],
  constant_with_warmup: ['constant_with_warmup', () => ({})],
  linear: ['linear', () => ({})],
  cosine: ['cosine', () => ({})],
  cosine_cycles: ['cosine_with_restarts', f => ({ numCycles: f.cycles })],
  cosine_min: ['cosine_with_min_lr', f => ({ minLearningRateRatio: f.min_rate })],
  polynomial: ['polynomial', f => ({ learningRateEnd: f.lr_end, power: f.power })],
  inverse_sqrt: ['inverse_sqrt', () => ({})],
  wsd: ['warmup_stable_decay', f => ({ stableSteps: f.stable, decaySteps: f.decay, minLearningRateRatio: f.min_rate })],
  one_cycle: ['one_cycle', () => ({})],
  step: ['step', f => ({ stepSize: f.step, gamma: f.gamma })],
  noam: ['noam', f => ({ dModel: f.d_model, learningRate: f.factor })],
}

const path = shared('fixtures', 'schedules.json')
const fixtures = path === undefined ? [] : (JSON.parse(readFileSync(path, 'utf8')) as { schedules: Fixture[] }).schedules

/** Within 1e-9 of the expected value, relative, at every step. */
function expectRates(rates: number[], expected: number[]) {
  expect(rates).toHaveLength(expected.length)
  rates.forEach((rate, step) => {
    if (!(Math.abs(rate - expected[step]!) <= 1e-9 * Math.abs(expected[step]!))) {
      throw new Error(`step ${step}: ${rate}, expected ${expected[step]}`)
    }
  })
}
const rates = (of: (step: number) => number, steps: number) => Array.from({ length: steps }, (_, step) => of(step))

const withReference = path === undefined ? describe.skip : describe
withReference('every schedule of the reference file is met at every step', () => {
  test('the reference file holds the schedules that this test knows', () => {
    expect(fixtures.map(f => f.name).sort()).toEqual(Object.keys(named).sort())
  })
  for (const [name, [ours, options]] of Object.entries(named)) {
    test(name, () => {
      const fixture = fixtures.find(f => f.name === name)!
      const given = { learningRate: fixture.lr, warmupSteps: fixture.warmup, totalSteps: fixture.total, ...options(fixture) }
      expectRates(rates(scheduleFrom(ours, given), fixture.values.length), fixture.values)
    })
  }
})

describe('schedules that the reference file lacks equal transformers 5.23 and PyTorch 2', () => {
  test('multi_step decays at each milestone, twice at one that is listed twice', () => {
    expectRates(rates(schedule('multi_step', { learningRate: 2, milestones: [2, 5, 5], gamma: 0.5 }), 7), [2, 2, 1, 1, 1, 0.25, 0.25])
  })
  test('exponential', () => {
    expectRates(rates(schedule('exponential', { learningRate: 2, gamma: 0.9 }), 4), [2, 1.8, 1.62, 1.458])
  })
  test('warmup_stable_decay with the other shapes, and the stable stage from the total', () => {
    const stages = { learningRate: 2, warmupSteps: 3, decaySteps: 4, totalSteps: 9 }
    expectRates(rates(schedule('warmup_stable_decay', { ...stages, warmupType: 'cosine', decayType: '1-sqrt', minLearningRateRatio: 0.1 }), 11),
      [0.2, 0.65, 1.55, 2, 2, 2, 1.1, 0.7272077938642143, 0.44115427318801054, 0.2, 0.2])
    expectRates(rates(schedule('warmup_stable_decay', { ...stages, warmupType: '1-sqrt', decayType: 'linear' }), 11),
      [0, 0.36700683814454793, 0.8452994616207483, 2, 2, 2, 1.5, 1, 0.5, 0, 0])
  })
  test('cosine_warmup_with_min_lr, with and without a start of the warm-up', () => {
    const tail = [1.8794228634059948, 1.55, 1.1, 0.65, 0.32057713659400516, 0.2, 0.3205771365940053]
    const steps = { learningRate: 2, warmupSteps: 3, totalSteps: 9 }
    expectRates(rates(schedule('cosine_warmup_with_min_lr', { ...steps, minLearningRate: 0.2 }), 10), [2 / 3, 4 / 3, 2, ...tail])
    expectRates(rates(schedule('cosine_warmup_with_min_lr', { ...steps, minLearningRateRatio: 0.1, warmupLearningRateRatio: 0.25 }), 10),
      [0.5, 1.25, 2, ...tail])
  })
  test('one_cycle in three phases, linear', () => {
    const rate = schedule('one_cycle', { learningRate: 2, totalSteps: 10, threePhase: true, annealStrategy: 'linear' })
    expectRates(rates(rate, 9), [0.08, 1.04, 2, 1.04, 0.08, 0.0640016, 0.0480032, 0.0320048, 0.0160064])
    expect(rate(9)).toBeCloseTo(8e-6, 12)
  })
  test('inverse_sqrt with a time scale, and without a warm-up', () => {
    expectRates(rates(schedule('inverse_sqrt', { learningRate: 2, warmupSteps: 2, timescale: 5 }), 6),
      [0, 1, 2, 1.8257418583505538, 1.6903085094570331, 1.5811388300841895])
    expectRates(rates(schedule('inverse_sqrt', { learningRate: 2 }), 3), [2, 1.9999000074993754, 1.9998000299950012])
  })
})

describe('schedules that follow a metric equal those of PyTorch and transformers', () => {
  const falling = [1, 0.9, 0.95, 0.93, 0.94, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.7]
  const wandering = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, ...Array<number>(11).fill(0.6), 0.3, 0.2, 0.1, 0.05, 0.01]
  const greedy = { learningRate: 1, factor: 0.5, patience: 1, minLearningRate: 0.2, maxLearningRate: 3 }
  test('reduce_lr_on_plateau, with cool-down and a floor', () => {
    const rate = schedule('reduce_lr_on_plateau', { learningRate: 1, factor: 0.5, patience: 2, cooldown: 2, minLearningRate: 0.3 })
    expectRates(falling.map(rate.observe), [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3])
  })
  test('reduce_lr_on_plateau of a metric that should grow, absolute threshold', () => {
    const rate = schedule('reduce_lr_on_plateau',
      { learningRate: 1, mode: 'max', factor: 0.5, patience: 1, threshold: 0.05, thresholdMode: 'abs' })
    expectRates(falling.map(rate.observe), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6].map(halvings => 0.5 ** halvings))
  })
  test('greedy, with pauses', () => {
    const rate = schedule('greedy', { ...greedy, cooldown: 1, warmup: 1, resetStart: 3 })
    expectRates(wandering.map(rate.observe),
      [1, 2, 2, 2, 3, 3, 3, 3, 1.5, 1.5, 1.5, 0.75, 0.75, 0.75, 0.375, 0.375, 0.375, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4])
  })
  test('greedy over a window of metrics', () => {
    expectRates(wandering.map(schedule('greedy', { ...greedy, smooth: true, windowSize: 3 }).observe),
      [1, 2, 2, 3, 3, 3, 3, 3, 1.5, 1.5, 0.75, 0.75, 0.375, 0.375, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.8])
  })
  test('greedy starts afresh after long at the floor', () => {
    const rate = schedule('greedy', { ...greedy, patience: 0, resetStart: 2 })
    expectRates([0.5, ...Array<number>(12).fill(0.6)].map(rate.observe), [2, 1, 0.5, 0.25, 0.2, 1, 2, 1, 0.5, 0.25, 0.2, 1, 2])
  })
  test('NaN is no improvement and does not poison what follows', () => {
    const rate = schedule('greedy', { ...greedy, patience: 0, smooth: true })
    expect([0.5, NaN, 0.4].map(rate.observe)).toEqual([2, 1, 2])
  })
  test.each(['reduce_lr_on_plateau', 'greedy'] as const)('%s goes on from a state that went through JSON', name => {
    const options = { learningRate: 1, factor: 0.5, patience: 1, minLearningRate: 0.1, ...(name === 'greedy' ? { smooth: true, windowSize: 2 } : {}) }
    for (let stop = 0; stop < wandering.length; stop++) {
      const whole = schedule(name, options), before = schedule(name, options), after = schedule(name, options)
      const expected = wandering.map(whole.observe)
      const first = wandering.slice(0, stop).map(before.observe)
      after.restore(JSON.parse(JSON.stringify(before.state())) as ReturnType<typeof before.state>)
      expect(after(0)).toBe(before(0))
      expect([...first, ...wandering.slice(stop).map(after.observe)]).toEqual(expected)
    }
  })
  test('a state of another schedule is refused and changes nothing', () => {
    const rate = schedule('greedy', greedy)
    rate.observe(1)
    const before = rate.state()
    expect(() => rate.restore(schedule('reduce_lr_on_plateau', { learningRate: 9 }).state())).toThrow(CheckpointError)
    expect(rate.state()).toEqual(before)
  })
  test('followsMetric tells them apart', () => {
    expect(followsMetric(schedule('constant', { learningRate: 1 }))).toBe(false)
    expect(followsMetric(schedule('greedy', greedy))).toBe(true)
  })
})

describe('options are checked', () => {
  const linear = { learningRate: 1, totalSteps: 10 }
  test('an unknown name lists the known ones', () => {
    expect(() => scheduleFrom('cosin', linear)).toThrow(ConfigError)
    for (const name of scheduleNames) expect(() => scheduleFrom('cosin', linear)).toThrow(name)
    expect(() => scheduleFrom('toString', linear)).toThrow(ConfigError)
  })
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['linear', { ...linear, warmup: 3 }, /unknown option warmup\. Known are learningRate, warmupSteps, totalSteps/],
    ['linear', { learningRate: 1 }, /needs totalSteps/],
    ['linear', { ...linear, learningRate: NaN }, /learningRate must be a finite number > 0, not NaN/],
    ['linear', { ...linear, learningRate: '1e-3' }, /learningRate must be .* not '1e-3'/],
    ['linear', { ...linear, warmupSteps: 1.5 }, /warmupSteps must be a whole number/],
    ['constant', { learningRate: 1, warmupSteps: 100 }, /has no warm-up.*constant_with_warmup/],
    ['cosine_with_min_lr', linear, /either minLearningRate or minLearningRateRatio/],
    ['cosine_with_min_lr', { ...linear, minLearningRate: 0.1, minLearningRateRatio: 0.1 }, /either/],
    ['polynomial', { ...linear, learningRateEnd: 1 }, /must be below learningRate/],
    ['warmup_stable_decay', { learningRate: 1, decaySteps: 3 }, /stableSteps or totalSteps/],
    ['warmup_stable_decay', { learningRate: 1, warmupSteps: 8, decaySteps: 3, totalSteps: 10 }, /do not fit into totalSteps \(10\)/],
    ['warmup_stable_decay', { learningRate: 1, decaySteps: 3, stableSteps: 1, decayType: 'sqrt' }, /one of linear, cosine, 1-sqrt/],
    ['one_cycle', { ...linear, threePhase: true, pctStart: 0.6 }, /at most 0\.5/],
    ['multi_step', { learningRate: 1, milestones: [3, -1] }, /milestones must be a list of whole numbers >= 0, not \[3, -1\]/],
    ['reduce_lr_on_plateau', { learningRate: 1, factor: 1 }, /factor must be a number > 0 and < 1/],
    ['greedy', { learningRate: 1, minLearningRate: 2 }, /above maxLearningRate/],
  ])('%s %j', (name, options, message) => {
    expect(() => scheduleFrom(name, options)).toThrow(ConfigError)
    expect(() => scheduleFrom(name, options)).toThrow(message)
  })
  test('a trainer may give totalSteps and no warm-up to every schedule', () => {
    const rest = {
      cosine_with_min_lr: { minLearningRate: 0 }, cosine_warmup_with_min_lr: { minLearningRate: 0 }, warmup_stable_decay: { decaySteps: 2 },
      noam: { dModel: 8, warmupSteps: 1 }, step: { stepSize: 1 }, multi_step: { milestones: [] }, exponential: { gamma: 1 },
    } as Record<string, object>
    for (const name of scheduleNames) expect(scheduleFrom(name, { ...linear, warmupSteps: 0, ...rest[name] })(0)).toBeGreaterThan(0)
  })
  test('a warm-up longer than the run, and runs of one step, stay finite', () => {
    for (const name of ['linear', 'cosine', 'cosine_with_restarts', 'polynomial'] as const) {
      expect(rates(schedule(name, { learningRate: 1, warmupSteps: 20, totalSteps: 10 }), 25).every(Number.isFinite)).toBe(true)
    }
    for (const totalSteps of [1, 2, 10]) {
      for (const pctStart of [0, 0.1, 0.5, 1]) {
        expect(rates(schedule('one_cycle', { learningRate: 1, totalSteps, pctStart }), 12).every(rate => rate > 0 && rate <= 1)).toBe(true)
      }
    }
  })
  test('there is no rate before step 0', () => {
    expect(() => schedule('linear', linear)(-1)).toThrow(ConfigError)
    expect(() => schedule('linear', linear)(NaN)).toThrow(ConfigError)
  })
})
