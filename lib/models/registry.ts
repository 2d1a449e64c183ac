import { gpt2Classes } from './gpt2.js'
import { llamaClasses } from './llama.js'
import type { PretrainedClass, Task } from './pretrained.js'
import { transformerClasses } from './transformer.js'
import type { Module } from '../nn/module.js'

/** Every class of models that can be loaded and saved. */
export const pretrainedClasses: readonly PretrainedClass[] = [...transformerClasses, ...gpt2Classes, ...llamaClasses]

export const modelTypes: readonly string[] = [...new Set(pretrainedClasses.map(({ modelType }) => modelType))]

/** The class that a module is; undefined for one that is none of these. */
export const classOf = (model: Module): PretrainedClass | undefined => pretrainedClasses.find(known => known.is(model))

/**
 * The class that a config.json asks for: one of its `architectures`, else the first of its `model_type`.
 * @param task asks for a class of that task instead; undefined if the type has none
 */
export function classFor(config: { readonly model_type?: unknown, readonly architectures?: unknown }, task?: Task): PretrainedClass | undefined {
  const ofType = pretrainedClasses.filter(({ modelType }) => modelType === config.model_type)
  if (task) return ofType.find(known => known.task === task)
  const wanted = Array.isArray(config.architectures) ? config.architectures as unknown[] : []
  return ofType.find(({ architecture }) => wanted.includes(architecture)) ?? ofType[0]
}

/** What models of a type can be loaded for. */
export const tasksOf = (modelType: string): readonly Task[] => [...new Set(pretrainedClasses.filter(known => known.modelType === modelType).map(({ task }) => task))]
