import { ConfigError } from '../errors.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import type { TargetingConfig } from './config.js'

/** Parts of an adapter by the adapter's name: `lora_A.default`. */
export class AdapterDict<T extends Module | Parameter> extends Module {
  get(name: string): T | undefined { return Object.hasOwn(this, name) ? (this as unknown as Record<string, T>)[name] : undefined }
  set(name: string, part: T): void { (this as unknown as Record<string, T>)[name] = part }

  delete(name: string): void {
    this.get(name)?.dispose()
    Reflect.deleteProperty(this, name)
  }
}

/** @throws ConfigError for a name that would not do as the name of a property in a path */
export function checkAdapterName(name: string): void {
  if (!/^[^.\s]+$/.test(name) || name in new AdapterDict()) throw new ConfigError(`adapter name '${name}': expected a word without dots that is not the name of a module's own property`)
}

/** A parameter of an adapter under its name in the file, behind that of the layer. */
export type NamedPart = readonly [name: string, parameter: Parameter]

/** A layer of the base together with its adapters, in the place of the layer. */
export abstract class AdapterLayer extends Module {
  /** Adapters whose changes are applied, in this order. */
  active: readonly string[] = []
  disabled = false
  /** Adapters whose changes the weight of the base contains. */
  merged: readonly string[] = []

  abstract readonly base_layer: Module
  /** Adds an adapter. @param name of the layer, for patterns */
  abstract addAdapter(adapter: string, config: TargetingConfig, name: string): void
  abstract deleteAdapter(adapter: string): void
  /** What is saved of an adapter; empty if this layer has no such adapter. */
  abstract partsOf(adapter: string): readonly NamedPart[]
  /** Puts the changes of one adapter into the weights of the base. */
  protected abstract mergeOne(adapter: string): void
  protected abstract unmergeOne(adapter: string): void
  /** Called before several adapters are merged. */
  protected prepareMerge?(adapters: readonly string[]): void

  /** Adapters of this layer that its output depends on. */
  protected get applied(): readonly string[] { return this.disabled || this.merged.length > 0 ? [] : this.active.filter(name => this.partsOf(name).length > 0) }

  /** @throws ConfigError if adapters are merged already */
  merge(adapters: readonly string[] = this.active): void {
    if (this.merged.length > 0) throw new ConfigError(`mergeAdapter: ${this.merged.join(', ')} is merged already. Call unmergeAdapter() first.`)
    const ours = adapters.filter(name => this.partsOf(name).length > 0)
    this.prepareMerge?.(ours)
    for (const name of ours) this.mergeOne(name)
    this.merged = ours
  }

  unmerge(): void {
    for (const name of [...this.merged].reverse()) this.unmergeOne(name)
    this.merged = []
  }
}
