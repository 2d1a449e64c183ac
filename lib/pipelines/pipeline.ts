import { CheckpointError, ConfigError } from '../errors.js'
import { type ChatMessage, ChatTemplate } from '../generate/chatTemplate.js'
import { loadModel } from '../hub/modelDirectory.js'
import { type ResolveOptions, resolveModel } from '../hub/resolveModel.js'
import type { Task } from '../models/pretrained.js'
import { tasksOf } from '../models/registry.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Module } from '../nn/module.js'
import { closest } from '../spelling.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { checkedTexts, type TextModel } from './encoderInputs.js'
import { type ExtractiveSummary, type ExtractiveSummaryOptions, summarizeBySentences } from './extractiveSummary.js'
import { extractFeatures, type FeatureExtractionOptions } from './featureExtraction.js'
import { type Filling, type FillMaskOptions, fillMasks } from './fillMask.js'
import { type Answer, answerQuestion, type QuestionAnsweringOptions } from './questionAnswering.js'
import { classifyTexts, classifyZeroShot, type Label, type TextClassificationOptions, type ZeroShotOptions, type ZeroShotResult } from './textClassification.js'
import { answerChat, type GeneratedText, generateTexts, type Text2TextOptions, type TextGenerationOptions, transformTexts } from './textGeneration.js'
import { classifyTokens, type Entity, type TokenClassificationOptions } from './tokenClassification.js'

/** A call on one text gives one result, a call on a list a list of results. */
export interface OnTexts<Result, Options> {
  (text: string, options?: Options): Promise<Result>
  (texts: readonly string[], options?: Options): Promise<Result[]>
}

/** What `pipeline` returns for each task. */
export interface Pipelines {
  'text-classification': OnTexts<Label[], TextClassificationOptions>
  'token-classification': OnTexts<Entity[], TokenClassificationOptions>
  'question-answering': (question: string, context: string, options?: QuestionAnsweringOptions) => Promise<Answer[]>
  /** For each mask of a text its fillings. */
  'fill-mask': OnTexts<Filling[][], FillMaskOptions>
  'summarization': OnTexts<{ summaryText: string }, Text2TextOptions>
  'extractive-summarization': OnTexts<ExtractiveSummary, ExtractiveSummaryOptions>
  'translation': OnTexts<{ translationText: string }, Text2TextOptions>
  'text2text-generation': OnTexts<GeneratedText, Text2TextOptions>
  /** A conversation gives answers without it. */
  'text-generation': OnTexts<GeneratedText[], TextGenerationOptions> & ((messages: readonly ChatMessage[], options?: TextGenerationOptions) => Promise<GeneratedText[]>)
  'feature-extraction': OnTexts<Float32Array[], FeatureExtractionOptions>
  'zero-shot-classification': (text: string, candidateLabels: readonly string[], options?: ZeroShotOptions) => Promise<ZeroShotResult>
}

export type PipelineTask = keyof Pipelines
const aliases = { 'sentiment-analysis': 'text-classification', 'ner': 'token-classification' } as const
type Named = PipelineTask | keyof typeof aliases
type TaskOf<N extends Named> = N extends keyof typeof aliases ? (typeof aliases)[N] : N

/** A pipeline: call it, and dispose of it when it is no longer needed. */
export type Pipeline<N extends Named = Named> = Pipelines[TaskOf<N>] & { readonly task: PipelineTask, readonly model: Module, readonly tokenizer: Tokenizer, dispose(): void }

/** A model that is already there. */
export interface LoadedParts { model: Module, tokenizer: Tokenizer, /** for 'text-generation' with messages */ chatTemplate?: ChatTemplate | undefined }

const modelTasks: Readonly<Record<PipelineTask, Task>> = {
  'text-classification': 'sequence-classification', 'token-classification': 'token-classification', 'question-answering': 'question-answering', 'fill-mask': 'masked-lm',
  'summarization': 'seq2seq-lm', 'extractive-summarization': 'base', 'translation': 'seq2seq-lm', 'text2text-generation': 'seq2seq-lm', 'text-generation': 'causal-lm',
  'feature-extraction': 'base', 'zero-shot-classification': 'sequence-classification',
}

/**
 * A model with its tokenizer, ready for a task.
 * @param task a task, 'sentiment-analysis' or 'ner'
 * @param from a directory, the id of a model on the Hub, or a model that is loaded already
 * @throws ConfigError for an unknown task; CheckpointError if the model cannot be loaded for it, its head is not among the weights, or it has no tokenizer
 */
export async function pipeline<N extends Named>(task: N, from: string | LoadedParts, options: ResolveOptions = {}): Promise<Pipeline<N>> {
  const known = [...Object.keys(modelTasks), ...Object.keys(aliases)]
  if (!known.includes(task)) {
    const meant = closest(task, known)
    throw new ConfigError(`pipeline: there is no task ${JSON.stringify(task)}${meant === undefined ? '' : `; do you mean '${meant}'?`} Known are ${known.join(', ')}`)
  }
  const name = (Object.hasOwn(aliases, task) ? aliases[task as keyof typeof aliases] : task) as PipelineTask
  const { model, tokenizer, chatTemplate } = typeof from === 'string' ? await loaded(from, name, options) : from
  const call = callOf(name, model, tokenizer, chatTemplate) as Pipelines[TaskOf<N>]
  return Object.assign(call, { task: name, model, tokenizer, dispose() { model.dispose() } })
}

async function loaded(nameOrDirectory: string, task: PipelineTask, options: ResolveOptions): Promise<LoadedParts> {
  const directory = await resolveModel(nameOrDirectory, options), { model, tokenizer, config, drawn } = await loadModel(directory, { task: modelTasks[task] })
  // Layers alone are used for their hidden states: what would pool them may be missing, as it is in models of words behind masks.
  const missing = modelTasks[task] === 'base' ? drawn.filter(parameter => !parameter.startsWith('pooler.')) : drawn
  try {
    if (missing.length > 0) {
      throw new CheckpointError(`${nameOrDirectory} was not trained for '${task}': ${missing.slice(0, 4).join(', ')} ${missing.length > 1 ? 'are' : 'is'} not among its weights. `
        + `Fine-tune it first, or use a model that was. This type has: ${tasksOf(String(config['model_type'])).join(', ')}.`)
    }
    if (!tokenizer) throw new CheckpointError(`${nameOrDirectory} has no tokenizer. Put its tokenizer.json beside config.json.`)
    return { model, tokenizer, chatTemplate: task === 'text-generation' ? await ChatTemplate.read(directory) : undefined }
  } catch (error) {
    model.dispose()
    throw error
  }
}

function callOf(task: PipelineTask, model: Module, tokenizer: Tokenizer, template: ChatTemplate | undefined): Pipelines[PipelineTask] {
  const text = model as TextModel, generative = model as Module & GenerativeModel
  switch (task) {
    case 'text-classification': return onTexts<Label[], TextClassificationOptions>((texts, options) => classifyTexts(text, tokenizer, texts, options))
    case 'token-classification': return onTexts<Entity[], TokenClassificationOptions>((texts, options) => classifyTokens(text, tokenizer, texts, options))
    case 'question-answering': return (question: string, context: string, options?: QuestionAnsweringOptions) => answerQuestion(model as Parameters<typeof answerQuestion>[0], tokenizer, question, context, options)
    case 'fill-mask': return onTexts<Filling[][], FillMaskOptions>((texts, options) => fillMasks(text, tokenizer, texts, options))
    case 'summarization': return onTexts<{ summaryText: string }, Text2TextOptions>(async (texts, options) => (await transformTexts(generative, tokenizer, texts, options)).map(summaryText => ({ summaryText })))
    case 'extractive-summarization': return onTexts<ExtractiveSummary, ExtractiveSummaryOptions>(async (texts, options) => {
      const all: ExtractiveSummary[] = []
      for (const one of texts) all.push(await summarizeBySentences(text, tokenizer, one, options))
      return all
    })
    case 'translation': return onTexts<{ translationText: string }, Text2TextOptions>(async (texts, options) => (await transformTexts(generative, tokenizer, texts, options)).map(translationText => ({ translationText })))
    case 'text2text-generation': return onTexts<GeneratedText, Text2TextOptions>(async (texts, options) => (await transformTexts(generative, tokenizer, texts, options)).map(generatedText => ({ generatedText })))
    case 'text-generation': {
      const onText = onTexts<GeneratedText[], TextGenerationOptions>((texts, options) => generateTexts(generative, tokenizer, texts, options))
      return ((input: string | readonly string[] | readonly ChatMessage[], options?: TextGenerationOptions) =>
        isConversation(input) ? answerChat(generative, tokenizer, template, input, options) : onText(input as string, options)) as Pipelines['text-generation']
    }
    case 'feature-extraction': return onTexts<Float32Array[], FeatureExtractionOptions>((texts, options) => extractFeatures(text, tokenizer, texts, options))
    case 'zero-shot-classification': return async (one: string, labels: readonly string[], options?: ZeroShotOptions) => (await classifyZeroShot(text, tokenizer, checkedTexts(one), labels, options))[0]!
  }
}

const isConversation = (input: unknown): input is readonly ChatMessage[] => Array.isArray(input) && input.length > 0 && typeof (input[0] as ChatMessage | null)?.role === 'string'

function onTexts<Result, Options>(work: (texts: string[], options: Options | undefined) => Promise<Result[]>): OnTexts<Result, Options> {
  const call = async (input: string | readonly string[], options?: Options): Promise<Result | Result[]> => {
    const results = await work(checkedTexts(input), options)
    return typeof input === 'string' ? results[0]! : results
  }
  return call as OnTexts<Result, Options>
}
