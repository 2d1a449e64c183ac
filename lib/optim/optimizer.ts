import { CheckpointError, ConfigError } from '../errors.js'
import { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import type { LossScale } from './lossScale.js'
import type { Device } from '../tensor/device.js'
import { native } from '../tensor/native.js'
import { full, zeros } from '../tensor/create.js'
import { empty, type Tensor } from '../tensor/tensor.js'

/** Parameters that share options. */
export interface ParameterGroup<Options> { parameters: readonly [name: string, parameter: Parameter][], options: Partial<Options> }

export interface StepOptions {
  /** Every gradient is multiplied by it first: 1 / tokens, where losses were summed over the tokens of a step. Default 1. */
  gradientScale?: number
  /** Gradients are scaled down so that their global norm is at most this. Default: no clipping. */
  maxNorm?: number
  /** Leave everything as it is where the norm is NaN or infinite. Default false. */
  skipNonFinite?: boolean
  /** Whose `gradient` the backward passes of this step began with: gradients are divided by it, a step that is not finite is left out, and it is adapted. */
  lossScale?: LossScale | undefined
}

/** @internal What an update goes by. */
export type CompleteStep = Required<Omit<StepOptions, 'lossScale'>> & { norm: Tensor, lossScale: LossScale | undefined }

/** A state tensor by the name of its parameter: what a checkpoint holds. */
export interface OptimizerState { step: number, tensors: Map<string, Tensor> }

const handles = (tensors: readonly Tensor[]): Float64Array => Float64Array.from(tensors, t => t.handle)

/** @internal Options for a tensor beside `t`. */
export const on = ({ device }: Tensor): { device: Device } => ({ device })

/** Global norm of gradients (float32 [1]), times `scale`; without the loss scale that is in them. */
export function gradientNorm(gradients: readonly Tensor[], scale = 1, lossScale?: LossScale): Tensor {
  const norm = empty([1], 'float32', gradients[0]?.device)
  if (gradients.length === 0) { native.fill(norm.raw, 0); return norm }
  const factor = scale === 1 ? undefined : full([1], scale, on(norm))
  native.gradNorm(handles(gradients), factor?.raw ?? 0, norm.raw, lossScale?.handle ?? 0)
  factor?.dispose()
  return norm
}

/** What all optimizers share: groups, states, clipping. One native call updates all parameters of a group. */
export abstract class Optimizer<Options extends { learningRate: number }> {
  /** Steps taken. */
  stepCount = 0
  protected readonly states = new Map<string, Map<string, Tensor>>()
  private readonly ratios: number[]
  readonly groups: { parameters: readonly [string, Parameter][], options: Options }[]

  /** @param of a module (all of its parameters), or groups with options of their own */
  constructor(of: Module | readonly ParameterGroup<Options>[], defaults: Options) {
    const groups = of instanceof Module ? [{ parameters: [...of.namedParameters()], options: {} }] : of
    this.groups = groups.map(({ parameters, options }) => ({ parameters, options: { ...defaults, ...options } }))
    const first = this.groups[0]?.options.learningRate ?? 1
    this.ratios = this.groups.map(({ options }) => first === 0 ? 1 : options.learningRate / first)
    const seen = new Set<Parameter>()
    for (const { parameters } of this.groups) {
      for (const [name, p] of parameters) {
        if (seen.has(p)) throw new ConfigError(`optimizer: parameter ${name} is in more than one group`)
        seen.add(p)
      }
    }
    if (seen.size === 0) throw new ConfigError('optimizer: there are no parameters to train')
  }

  /** Sets the first group's learning rate; the others keep the ratio to it that they were made with. */
  setLearningRate(rate: number): void {
    this.groups.forEach(({ options }, i) => { options.learningRate = rate * this.ratios[i]! })
  }

  get learningRate(): number { return this.groups[0]!.options.learningRate }

  zeroGrad(): void {
    for (const { parameters } of this.groups) {
      for (const [, p] of parameters) {
        p.grad?.dispose()
        p.grad = undefined
      }
    }
  }

  /**
   * Updates every parameter that has a gradient.
   * @returns the global norm of the (scaled) gradients before clipping, float32 [1]; NaN or infinite where they are
   */
  step({ gradientScale = 1, maxNorm = Infinity, lossScale, skipNonFinite = lossScale !== undefined }: StepOptions = {}): Tensor {
    if (lossScale && !skipNonFinite) throw new ConfigError('optimizer: skipNonFinite is false, and a loss scale leaves out what is not finite; leave one of them out')
    if (!(maxNorm > 0)) throw new ConfigError(`optimizer: maxNorm is ${maxNorm}, expected a positive number`)
    this.stepCount++
    const active = this.groups.map(({ parameters, options }) => ({ options, parameters: parameters.filter(([, p]) => p.grad) })).filter(g => g.parameters.length)
    const norm = gradientNorm(active.flatMap(g => g.parameters.map(([, p]) => p.grad!)), gradientScale, lossScale)
    for (const { parameters, options } of active) this.update(parameters, options, { norm, gradientScale, maxNorm, skipNonFinite, lossScale })
    if (active.length) lossScale?.update(norm)
    return norm
  }

  protected abstract update(parameters: readonly [string, Parameter][], options: Options, step: CompleteStep): void

  /** The named state of each parameter, zeros at first. */
  protected state(kind: string, parameters: readonly [string, Parameter][]): Float64Array {
    const states = this.states.get(kind) ?? new Map<string, Tensor>()
    this.states.set(kind, states)
    return handles(parameters.map(([name, p]) => {
      let t = states.get(name)
      if (!t) states.set(name, t = zeros(p.shape, on(p)).keep())
      return t
    }))
  }

  protected handlesOf(parameters: readonly [string, Parameter][]): { params: Float64Array, grads: Float64Array } {
    return { params: handles(parameters.map(([, p]) => p)), grads: handles(parameters.map(([, p]) => p.grad!)) }
  }

  /** Steps taken and every state under `kind.parameter`. The tensors are the optimizer's own. */
  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>()
    for (const [kind, states] of this.states) for (const [name, t] of states) tensors.set(`${kind}.${name}`, t)
    return { step: this.stepCount, tensors }
  }

  /** @throws CheckpointError if a state belongs to no parameter or has another shape */
  loadStateDict({ step, tensors }: { step: number, tensors: ReadonlyMap<string, { shape: readonly number[], data: Float32Array }> }): void {
    const parameters = new Map(this.groups.flatMap(g => g.parameters))
    for (const [key, { shape, data }] of tensors) {
      const dot = key.indexOf('.'), kind = key.slice(0, dot), name = key.slice(dot + 1), p = parameters.get(name)
      if (dot < 0 || !p) throw new CheckpointError(`optimizer state '${key}' belongs to no parameter of the model`)
      if (p.shape.length !== shape.length || p.shape.some((n, d) => n !== shape[d]))
        throw new CheckpointError(`optimizer state '${key}' is [${shape.join(', ')}], the parameter [${p.shape.join(', ')}]`)
      this.state(kind, [[name, p]])
      native.write(this.states.get(kind)!.get(name)!.raw, data)
    }
    this.stepCount = step
  }

  dispose(): void {
    for (const states of this.states.values()) for (const t of states.values()) t.dispose()
    this.states.clear()
  }

  [Symbol.dispose](): void { this.dispose() }
}
