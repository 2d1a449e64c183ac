import { Embedding } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { AdapterDict } from './adapterLayer.js'
import { delegating } from './delegating.js'

/** A module that is trained whole beside an adapter: the original stays, each adapter has a copy of it. */
export class ModulesToSaveWrapper extends Module {
  active: string | undefined
  disabled = false
  readonly modules_to_save = new AdapterDict<Module>()

  /** Use `around`. */
  constructor(readonly original_module: Module) { super() }

  /** Stands in the place of the module: everything it is asked for, the copy in use answers. */
  static around(module: Module): ModulesToSaveWrapper {
    return delegating(new ModulesToSaveWrapper(module), (wrapper: ModulesToSaveWrapper) => wrapper.current)
  }

  get current(): Module { return (!this.disabled && this.active !== undefined && this.modules_to_save.get(this.active)) || this.original_module }

  addAdapter(adapter: string): void { this.modules_to_save.set(adapter, copyOf(this.original_module)) }
  deleteAdapter(adapter: string): void { this.modules_to_save.delete(adapter) }

  /** The weight of an embedding that an output layer uses too is the original's: only what is looked up is trained, as in peft. */
  get weight(): Parameter | undefined {
    return ((this.original_module instanceof Embedding ? this.original_module : this.current) as { weight?: Parameter }).weight
  }

  partsOf(adapter: string): [string, Parameter][] { return [...this.modules_to_save.get(adapter)?.namedParameters() ?? []] }
}

/** A module with parameters of its own that have the same values. */
function copyOf<M extends Module>(module: M): M {
  const copied = (value: unknown): unknown => {
    if (value instanceof Parameter) return new Parameter(value.shape, value.dataSync() as Float32Array)
    if (value instanceof Module) return copyOf(value)
    return Array.isArray(value) ? value.map(copied) : value
  }
  const copy = Object.create(Object.getPrototypeOf(module) as object) as M
  return Object.assign(copy, Object.fromEntries(Object.entries(module).map(([name, value]) => [name, copied(value)])))
}
