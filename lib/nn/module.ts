import { CheckpointError, ConfigError } from '../errors.js'
import { type Device, device as deviceOf } from '../tensor/device.js'
import { dtypeId } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { Tensor } from '../tensor/tensor.js'
import { Parameter } from './parameter.js'
import { type SavedTokenizer, type SaveOptions, writeDirectory } from './saving.js'

/**
 * Base class of layers and models. Parameters and submodules are properties: `this.norm = new LayerNorm(…)`, or arrays of modules. Their names are the paths of
 * properties joined by dots, as in PyTorch, so that checkpoints of the same architecture fit.
 */
export abstract class Module {
  /** Whether dropout is active. Set it with `train()` and `eval()`. */
  training = true

  parameters(): Parameter[] { return [...this.namedParameters()].map(([, p]) => p) }

  /** Submodules by property name; elements of an array are `name.0`, `name.1`, … */
  *namedChildren(): Generator<[string, Module]> {
    for (const [name, value] of Object.entries(this) as [string, unknown][]) {
      if (value instanceof Module) yield [name, value]
      else if (Array.isArray(value)) for (const [i, item] of value.entries()) if (item instanceof Module) yield [`${name}.${i}`, item]
    }
  }

  *namedModules(prefix = ''): Generator<[string, Module]> {
    yield [prefix, this]
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(prefix ? `${prefix}.${name}` : name)
  }

  /** Every parameter under its name; one that is used in several places (tied) comes once for each unless `once`. */
  *namedParameters({ once = true } = {}): Generator<[string, Parameter]> {
    const seen = new Set<Parameter>()
    for (const [path, module] of this.namedModules()) {
      for (const [name, value] of Object.entries(module) as [string, unknown][]) {
        if (!(value instanceof Parameter) || (once && seen.has(value))) continue
        seen.add(value)
        yield [path ? `${path}.${name}` : name, value]
      }
    }
  }

  /** Number of trainable and frozen values. */
  get parameterCount(): number { return this.parameters().reduce((n, p) => n + p.size, 0) }

  /** Dropout on. Returns the module. */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode
    return this
  }

  /** Dropout off. Returns the module. */
  eval(): this { return this.train(false) }

  /**
   * Moves the parameters, their gradients, and everything else that the module holds to a device. They stay the same objects, so that an optimizer keeps its hold on
   * them; its states stay where they are, so move a model before the first step. Returns the module. @throws DeviceError, AutogradError while a backward pass is due
   */
  to(where: string | Device): this {
    const device = deviceOf(where)
    const move = (t: Tensor): void => {
      if (t.device === device) return
      const handle = native.alloc(dtypeId(t.dtype), device.index, t.rank, ...t.shape)
      native.transfer(t.handle, handle)
      t.moveTo(handle, device)
      if (t.grad) move(t.grad)
    }
    for (const [, module] of this.namedModules())
      for (const value of Object.values(module) as unknown[]) if (value instanceof Tensor && !value.isDisposed) move(value)
    return this
  }

  zeroGrad(): void {
    for (const p of this.parameters()) {
      p.grad?.dispose()
      p.grad = undefined
    }
  }

  /** Freezes or unfreezes the parameters whose names match. @throws ConfigError if none does */
  requireGradients(wanted: boolean, names: RegExp = /(?:)/): this {
    let found = false
    for (const [name, p] of this.namedParameters()) {
      if (!names.test(name)) continue
      found = true
      p.requiresGrad = wanted
    }
    if (!found) throw new ConfigError(`requireGradients: no parameter matches ${String(names)}`)
    return this
  }

  /** Parameters by name, tied ones once. They are the parameters themselves, not copies. */
  stateDict(): Map<string, Parameter> { return new Map(this.namedParameters()) }

  /**
   * Copies values into the parameters. All that does not fit is listed in one error, and nothing is changed then. Layers that share a parameter get one each
   * where the values have several that differ, as in transformers.
   * @param values float32 values by name
   * @throws CheckpointError if names are missing or unexpected (unless `strict` is false), or shapes differ
   */
  loadStateDict(values: ReadonlyMap<string, { shape: readonly number[], data: Float32Array }>, { strict = true } = {}): void {
    const problems: string[] = []
    const every = new Map(this.namedParameters({ once: false }))
    const given = new Set<Parameter>()
    for (const [name, { shape }] of values) {
      const p = every.get(name)
      if (!p) {
        if (strict) problems.push(`unexpected: ${name} [${shape.join(', ')}]`)
      } else {
        given.add(p)
        if (p.shape.length !== shape.length || p.shape.some((n, d) => n !== shape[d])) problems.push(`${name} is [${shape.join(', ')}], the model has [${p.shape.join(', ')}]`)
      }
    }
    if (strict) for (const [name, p] of this.namedParameters()) if (!given.has(p) && !p.optional) problems.push(`missing: ${name} [${p.shape.join(', ')}]`)
    if (problems.length) throw new CheckpointError(`the weights do not fit the model. ${problems.join('; ')}. Was it saved from another configuration?`)
    const first = new Map<Parameter, Float32Array>()
    for (const [name, p] of every) {   // in the model's order: the first name is that of the embedding, which stays
      const data = values.get(name)?.data, other = first.get(p)
      if (!data) continue
      if (!other) first.set(p, data)
      else if (data.some((value, i) => value !== other[i])) every.set(name, this.untie(name))
    }
    for (const [name, { data }] of values) every.get(name)?.assign(data)
  }

  /** Gives the layer that has the parameter `name` one of its own, where it shares it with others. @throws ConfigError if there is none of that name */
  untie(name: string): Parameter {
    const at = name.lastIndexOf('.'), module = new Map(this.namedModules()).get(name.slice(0, Math.max(at, 0))), key = name.slice(at + 1)
    const shared = (module as unknown as Record<string, unknown> | undefined)?.[key]
    if (!(shared instanceof Parameter)) throw new ConfigError(`untie: there is no parameter ${name}`)
    const own = new Parameter(shared.shape, { kind: 'zeros' })
    own.requiresGrad = shared.requiresGrad
    Object.assign(module!, { [key]: own })
    return own
  }

  /**
   * Writes config.json and model.safetensors, and with `tokenizer` its files, as transformers reads them.
   * @throws CheckpointError if the system refuses
   */
  savePretrained(directory: string, { tokenizer, ...options }: SaveOptions & { tokenizer?: SavedTokenizer } = {}): Promise<void> {
    return writeDirectory(directory, this, tokenizer, options)
  }

  /** As `savePretrained`. */
  save_pretrained(directory: string, options: SaveOptions & { tokenizer?: SavedTokenizer } = {}): Promise<void> { return this.savePretrained(directory, options) }

  /** Frees the parameters and everything else that the module owns. */
  dispose(): void {
    for (const [, module] of this.namedModules())
      for (const value of Object.values(module) as unknown[]) if (value instanceof Tensor) value.dispose()
  }

  [Symbol.dispose](): void { this.dispose() }
}
