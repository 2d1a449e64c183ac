import { ConfigError } from '../errors.js'
import type { CausalLanguageModel } from '../models/causalLanguageModel.js'
import type { PretrainedConfig } from '../models/configuration.js'
import type { Task } from '../models/pretrained.js'
import { classFor, modelTypes, tasksOf } from '../models/registry.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Module } from '../nn/module.js'
import { type LoadedModel, loadModel, type LoadOptions } from './modelDirectory.js'
import { type ResolveOptions, resolveModel } from './resolveModel.js'

export interface FromPretrainedOptions extends Omit<LoadOptions, 'task'>, ResolveOptions {}

/** Loads models of one task, whatever their family. */
export interface AutoClass<M extends Module> {
  /**
   * @param nameOrDirectory a directory, or the id of a model on the Hub that `warpweft download` has fetched
   * @returns the model in evaluation mode. Parameters that the directory lacks, such as those of a new head, are drawn, and a warning names them.
   * @throws CheckpointError if there is no such model, or its files are damaged or do not fit
   */
  fromPretrained(this: void, nameOrDirectory: string, options?: FromPretrainedOptions): Promise<M>
  from_pretrained(this: void, nameOrDirectory: string, options?: FromPretrainedOptions): Promise<M>
  /** A new model of a configuration. @throws ConfigError */
  fromConfig(this: void, config: PretrainedConfig): M
}

function autoClass<M extends Module = Module>(task: Task): AutoClass<M> {
  const fromPretrained = async (nameOrDirectory: string, options: FromPretrainedOptions = {}): Promise<M> => {
    const directory = await resolveModel(nameOrDirectory, options)
    const loaded = await loadModel(directory, { ...options, task })
    warnOf(nameOrDirectory, loaded)
    return loaded.model as M
  }
  const fromConfig = (config: PretrainedConfig): M => {
    const kind = classFor(config, task), type = config['model_type'] as string
    if (!kind) {
      throw new ConfigError(!modelTypes.includes(type) ? `model_type is ${JSON.stringify(type) ?? 'missing'}; known are ${modelTypes.join(', ')}`
        : `a model of type ${type} has no '${task}'; there are: ${tasksOf(type).join(', ')}`)
    }
    const { model_type, architectures, ...own } = config
    return kind.create(own) as M
  }
  return { fromPretrained, from_pretrained: fromPretrained, fromConfig }
}

/** Says once what was not in the files: forgotten, it would be trained or used as it is. */
function warnOf(name: string, { drawn, unused, model }: LoadedModel): void {
  const listed = (names: string[]): string => names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ')
  if (drawn.length > 0) {
    process.emitWarning(`${name}: ${listed(drawn)} of ${model.constructor.name} ${drawn.length > 1 ? 'were' : 'was'} not among the weights and begin${drawn.length > 1 ? '' : 's'} anew. `
      + 'Train the model before you use it.', { type: 'PretrainedWarning' })
  }
  if (unused.length > 0) process.emitWarning(`${name}: ${listed(unused)} did not fit ${model.constructor.name} and ${unused.length > 1 ? 'were' : 'was'} left out.`, { type: 'PretrainedWarning' })
}

/** The layers alone: hidden states. */
export const AutoModel = autoClass('base')
export const AutoModelForCausalLM = autoClass<CausalLanguageModel>('causal-lm')
export const AutoModelForSeq2SeqLM = autoClass<Module & GenerativeModel>('seq2seq-lm')
export const AutoModelForMaskedLM = autoClass('masked-lm')
export const AutoModelForPreTraining = autoClass('pretraining')
export const AutoModelForSequenceClassification = autoClass('sequence-classification')
export const AutoModelForTokenClassification = autoClass('token-classification')
export const AutoModelForQuestionAnswering = autoClass('question-answering')
export const AutoModelForMultipleChoice = autoClass('multiple-choice')
export const AutoModelForNextSentencePrediction = autoClass('next-sentence-prediction')
