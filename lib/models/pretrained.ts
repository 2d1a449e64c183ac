import type { PartsOf } from '../io/safetensorsParts.js'
import type { Module } from '../nn/module.js'
import type { PretrainedConfig } from './configuration.js'

/** What a model of transformers is for; `'base'` are the layers alone. */
export type Task = 'base' | 'pretraining' | 'causal-lm' | 'masked-lm' | 'seq2seq-lm' | 'sequence-classification' | 'token-classification' | 'question-answering'
  | 'multiple-choice' | 'next-sentence-prediction'

/** One class of transformers, and the module that is it here. */
export interface PretrainedClass {
  /** Its name in transformers, as `architectures` of config.json has it: 'GPT2LMHeadModel'. */
  readonly architecture: string
  /** `model_type` of config.json: 'gpt2'. */
  readonly modelType: string
  readonly task: Task
  /** Under which the layers lie in a model with a head, and which files of the layers alone lack: 'transformer'. */
  readonly prefix: string
  /** Whether a module is such a model. */
  is(model: Module): boolean
  /** @throws ConfigError for a configuration that cannot be built */
  create(config: PretrainedConfig): Module
  /** What config.json says of the model besides `architectures` and `model_type`. */
  config(model: Module): PretrainedConfig
  /** The model's name of a file's tensor; undefined for what files hold besides weights. */
  nameOf(name: string, model: Module): string | undefined
  /** Where files may hold several of the model's weights as one. */
  readonly partsOf?: PartsOf | undefined
}

interface Description<M extends Module> extends Pick<PretrainedClass, 'architecture' | 'modelType' | 'task' | 'prefix' | 'partsOf'> {
  Model: new (config: PretrainedConfig) => M
  config: (model: M) => PretrainedConfig
  /** Tensors of files that are no weights, such as masks. */
  ignored?: RegExp
  /** Names of what the family's other classes have, ignored where the model has no such weight. */
  others?: RegExp
  /** Today's name for one of older files. */
  renamed?: (name: string) => string
  /** Other names that files have for a weight which the model has once. */
  tied?: (model: M) => Readonly<Record<string, string>>
}

/** A class whose modules carry the names that its files have; files of the layers alone lack the prefix, files with a head have more than the layers. */
export function pretrainedClass<M extends Module & { readonly config: PretrainedConfig }>(
  { architecture, modelType, task, prefix, partsOf, Model, config, ignored, others, renamed = name => name, tied }: Description<M>): PretrainedClass {
  return {
    architecture, modelType, task, prefix, partsOf,
    is: model => model instanceof Model && (model.config['model_type'] ?? modelType) === modelType,
    // The constructor of a family of several types goes by the type.
    create: given => new Model({ ...given, model_type: modelType }),
    config: model => config(model as M),
    nameOf(inFile, model) {
      if (ignored?.test(inFile)) return undefined
      const name = renamed(inFile)
      const parameters = parametersOf(model), other = tied?.(model as M)
      for (const candidate of [name, `${prefix}.${name}`, name.startsWith(`${prefix}.`) ? name.slice(prefix.length + 1) : name]) {
        if (parameters.has(candidate)) return candidate
        if (other && Object.hasOwn(other, candidate)) return other[candidate]
      }
      return others?.test(name) ? undefined : inFile
    },
  }
}

const names = new WeakMap<Module, ReadonlySet<string>>()

function parametersOf(model: Module): ReadonlySet<string> {
  let known = names.get(model)
  if (!known) names.set(model, known = new Set([...model.namedParameters({ once: false })].map(([name]) => name)))
  return known
}
