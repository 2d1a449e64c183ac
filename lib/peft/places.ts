import { ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { AdapterLayer } from './adapterLayer.js'
import { ModulesToSaveWrapper } from './modulesToSave.js'

/** A module under the path of properties that leads to it. */
export type Place = readonly [path: string, module: Module]

/** The modules of a model as they were before there were adapters: names of targets are theirs, also where other adapters are in their place. */
export function* placesWithin(module: Module, path = ''): Generator<Place> {
  const own = module instanceof AdapterLayer ? module.base_layer : module instanceof ModulesToSaveWrapper ? module.original_module : module
  if (path !== '') yield [path, own]
  for (const [name, child] of own.namedChildren()) yield* placesWithin(child, path === '' ? name : `${path}.${name}`)
}

/** What stands at a place now. */
export function moduleAt(model: Module, path: string): Module {
  return path.split('.').reduce((at: unknown, name) => (at as Record<string, unknown>)[name], model) as Module
}

/** Puts another module at a place. */
export function replaceAt(model: Module, path: string, module: Module): void {
  const names = path.split('.'), last = names.pop()!
  const parent = names.length === 0 ? model : moduleAt(model, names.join('.'))
  if (!Reflect.set(parent, last, module)) throw new ConfigError(`adapter: ${path} cannot be replaced`)
}
