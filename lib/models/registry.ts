import { albertClasses } from './albert.js'
import { bartClasses } from './bart.js'
import { bertClasses } from './bert.js'
import { bloomClasses } from './bloom.js'
import { distilbertClasses } from './distilbert.js'
import { electraClasses } from './electra.js'
import { falconClasses } from './falcon.js'
import { gemmaClasses } from './gemma.js'
import { gpt2Classes } from './gpt2Classes.js'
import { gptjClasses } from './gptj.js'
import { gptNeoxClasses } from './gptNeox.js'
import { llamaClasses } from './llama.js'
import { marianClasses } from './marian.js'
import { mbartClasses } from './mbart.js'
import { mixtralClasses } from './mixtral.js'
import { optClasses } from './opt.js'
import { pegasusClasses } from './pegasus.js'
import { phi3Classes } from './phi3.js'
import type { PretrainedClass, Task } from './pretrained.js'
import { qwenMixtureClasses } from './qwenMixture.js'
import { robertaClasses } from './roberta.js'
import { t5Classes } from './t5.js'
import { transformerClasses } from './transformer.js'
import type { Module } from '../nn/module.js'

/** Every class of models that can be loaded and saved. */
export const pretrainedClasses: readonly PretrainedClass[] = [
  ...transformerClasses, ...gpt2Classes, ...llamaClasses, ...gemmaClasses, ...phi3Classes, ...mixtralClasses, ...qwenMixtureClasses,
  ...optClasses, ...gptNeoxClasses, ...gptjClasses, ...bloomClasses, ...falconClasses,
  ...bertClasses, ...robertaClasses, ...distilbertClasses, ...albertClasses, ...electraClasses,
  ...bartClasses, ...mbartClasses, ...marianClasses, ...pegasusClasses, ...t5Classes,
]

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
