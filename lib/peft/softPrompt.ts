import { ConfigError } from '../errors.js'
import type { CausalLanguageModel } from '../models/causalLanguageModel.js'
import type { PretrainedConfig } from '../models/configuration.js'
import { Decoder } from '../models/decoder.js'
import { Encoder, type EncoderStep } from '../models/encoder.js'
import { EncoderDecoder, type SourceEncoder, type TargetDecoder } from '../models/encoderDecoder.js'
import type { DecodingInputs, DecodingState } from '../nn/decoding.js'
import { KeyValueCache } from '../nn/keyValueCache.js'
import { Embedding } from '../nn/layers.js'
import type { Module } from '../nn/module.js'
import { concat } from '../ops/concat.js'
import { cast } from '../ops/copy.js'
import { expand, reshape, select, slice } from '../ops/view.js'
import { full } from '../tensor/create.js'
import { context } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { PromptConfig } from './config.js'
import type { PromptEncoder, PromptSizes } from './promptEncoder.js'
import { modelTypeOf } from './targets.js'

// Virtual tokens in front of the text of a model: embeddings (prompt tuning), or keys and values of every layer (prefix tuning). They enter where every pass through the
// layers goes, so that whatever head stands behind the layers, and generation, see them.

/** Which virtual tokens a pass shall see; undefined: none. */
export type CurrentPrompt = () => PromptEncoder | undefined

interface Hidden { hidden(ids: Tensor, step: EncoderStep): Tensor }

/** @throws ConfigError for a model that has no place for virtual tokens of that kind */
export function promptSizes(model: Module, { peft_type }: Pick<PromptConfig, 'peft_type'>): PromptSizes {
  const c = (model as { config?: Readonly<Record<string, number | undefined>> }).config ?? {}, pair = seq2seqOf(model), layers = decoderOf(model)
  if (!pair && !layers) throw new ConfigError(`adapter (${peft_type}): ${modelTypeOf(model)} has no place for virtual tokens`)
  if (layers instanceof Encoder && peft_type === 'PREFIX_TUNING') throw new ConfigError(`adapter (PREFIX_TUNING): ${modelTypeOf(model)} is an encoder, which keeps no keys and values. Use PROMPT_TUNING or LORA`)
  const width = layers?.width ?? c['d_model']!, heads = (c['num_attention_heads'] ?? c['n_head'] ?? c['num_heads'] ?? c['encoder_attention_heads'])!
  return {
    vocabulary: embeddingOf(pair?.encoder ?? layers!).weight, layers: pair ? (c['num_hidden_layers'] ?? c['encoder_layers'] ?? c['num_layers'])! : layers!.layerCount,
    heads: c['num_key_value_heads'] ?? heads, headDim: c['head_dim'] ?? c['d_kv'] ?? width / heads, submodules: pair ? 2 : 1,
  }
}

/** Puts virtual tokens in front of every text that the model sees. @returns what takes them away again */
export function installPrompt(model: Module, current: CurrentPrompt): () => void {
  const pair = seq2seqOf(model), remove = pair ? inEncoderDecoder(pair, current) : inLayers(model, decoderOf(model)!, current)
  return () => { for (const undo of remove) undo() }
}

/** In front of a text that goes through one stack of layers. */
function inLayers(model: Module, decoder: Decoder, current: CurrentPrompt): (() => void)[] {
  const layers = decoder as unknown as Hidden, words = promptedWords(embeddingOf(decoder), current)
  const remove = [
    words.remove,
    replaced(layers, 'hidden', hidden => (ids, step) => {
      const prompt = current()
      if (!prompt || step.caches) return hidden(ids, step)   // `advance` has seen to it
      const P = prompt.config.num_virtual_tokens, { tokenTypeIds, bias } = step
      if (step.offsets) throw new ConfigError('virtual tokens: several texts lie in one row, which has place for one prompt alone. Give a row for each text')
      if (bias) throw new ConfigError('virtual tokens: the attention mask has four dimensions, expected [B, T]: it says nothing of them')
      const extended = { end: step.end + P, keyPadding: step.keyPadding && withFront(step.keyPadding, P, 1), ...tokenTypeIds ? { tokenTypeIds: withFront(tokenTypeIds, P, 0) } : {} }
      if (prompt.config.peft_type === 'PREFIX_TUNING') return hidden(ids, { ...extended, start: P, caches: prefixOf(prompt).map(prefix => new PrefixedKeyValues(prefix)) })
      return hidden(words.withPlaces(ids, P, decoder.config), { ...extended, start: 0 })
    }),
    replaced(decoder, 'advance', advance => (ids, state) => {
      const prompt = current()
      if (!prompt || state.length > 0) return advance(ids, state)
      const P = prompt.config.num_virtual_tokens
      if (prompt.config.peft_type === 'PROMPT_TUNING') return advance(words.withPlaces(ids, P, decoder.config), state)
      state.next(P)
      fill(state.caches, prompt, ids.shape[0]!)
      return advance(ids, state)
    }),
  ]
  const lm = model as Partial<CausalLanguageModel>
  if (lm.prepare) {
    remove.push(replaced(model as CausalLanguageModel, 'prepare', prepare => (inputs: DecodingInputs = {}): DecodingState => {
      const prompt = current(), { attentionMask } = inputs
      return prepare(prompt && attentionMask ? { ...inputs, attentionMask: withFront(attentionMask, prompt.config.num_virtual_tokens, 1) } : inputs)
    }))
  }
  if (lm.loss) {
    // Virtual tokens predict nothing that counts.
    remove.push(replaced(model as CausalLanguageModel, 'loss', loss => (batch, options) => {
      const prompt = current(), { ids, labels } = batch
      const ofTokens = labels.rank === 2 && labels.shape[1] === ids.shape[1] && labels.dtype !== 'float32'
      return loss(prompt?.config.peft_type === 'PROMPT_TUNING' && ofTokens ? { ...batch, labels: withFront(labels, prompt.config.num_virtual_tokens, -100) } : batch, options)
    }))
  }
  return remove
}

interface Pair { encoder: SourceEncoder, decoder: TargetDecoder, config: PretrainedConfig }

/** Prompts stand before the source, prefixes before the target, as in peft. */
function inEncoderDecoder({ encoder, decoder, config }: Pair, current: CurrentPrompt): (() => void)[] {
  const words = promptedWords(embeddingOf(encoder), current)
  return [
    words.remove,
    replaced(encoder, 'forward', forward => (ids, keyPadding) => {
      const prompt = current()
      if (prompt?.config.peft_type !== 'PROMPT_TUNING') return forward(ids, keyPadding)
      const P = prompt.config.num_virtual_tokens
      return forward(words.withPlaces(ids, P, config), keyPadding && withFront(keyPadding, P, 1))
    }),
    replaced(decoder, 'states', states => (ids, context) => {
      const prompt = current()
      if (!prompt) return states(ids, context)
      const P = prompt.config.num_virtual_tokens, { start = 0, keyPadding, memoryKeyPadding, layers } = context
      if (prompt.config.peft_type === 'PROMPT_TUNING') return states(ids, { ...context, memoryKeyPadding: memoryKeyPadding && withFront(memoryKeyPadding, P, 1) })
      const moved = { ...context, start: start + P, keyPadding: keyPadding && withFront(keyPadding, P, 1) }
      if (!layers) return states(ids, { ...moved, layers: prefixOf(prompt).map(prefix => ({ self: new PrefixedKeyValues(prefix) })) })
      if (start === 0) fill(layers.map(({ self }) => self!), prompt, ids.shape[0]!)
      return states(ids, moved)
    }),
  ]
}

/** A look-up that has places for virtual tokens when it was told so: ids for them mean nothing. */
function promptedWords(words: Embedding, current: CurrentPrompt): { remove: () => void, withPlaces: (ids: Tensor, count: number, config: PretrainedConfig) => Tensor } {
  let expected = false
  return {
    // No padding, which some families count positions by.
    withPlaces: (ids, count, { pad_token_id: pad }) => {
      expected = true
      return withFront(ids, count, pad === 0 ? 1 : 0)
    },
    remove: replaced(words, 'forward', forward => ids => {
      const prompt = expected ? current() : undefined
      expected = false
      if (!prompt) return forward(ids)
      const P = prompt.config.num_virtual_tokens, y = forward(slice(ids, 1, P)), [B, , C] = y.shape as [number, number, number]
      return concat([cast(expand(slice(prompt.forward(), 0, 0, P), [B, P, C]), y.dtype), y], 1)
    }),
  }
}

/** Puts the prefix of each layer into its cache, for every row. */
function fill(caches: readonly KeyValueCache[], prompt: PromptEncoder, rows: number): void {
  prefixOf(prompt).forEach(({ keys, values }, i) => {
    const repeated = (t: Tensor): Tensor => cast(expand(t, [rows, ...t.shape]), context().precision)
    caches[i]!.append(repeated(keys), repeated(values))
  })
}

/** Keys and values of a layer, `[B, T, G, D]`, behind those of the prefix. Nothing is kept between passes. */
class PrefixedKeyValues extends KeyValueCache {
  constructor(private readonly prefix: { keys: Tensor, values: Tensor }) { super() }

  override append(k: Tensor, v: Tensor): { keys: Tensor, values: Tensor } {
    const behind = (prefix: Tensor, x: Tensor): Tensor => concat([cast(expand(prefix, [x.shape[0]!, ...prefix.shape]), x.dtype), x], 1)
    return { keys: behind(this.prefix.keys, k), values: behind(this.prefix.values, v) }
  }
}

/**
 * Keys and values `[P, G, D]` of every layer. A row of the table has the keys of layer 0, its values, the keys of layer 1, … For a model with encoder and decoder peft writes
 * the row twice and gives each layer four parts of it, of which the last two are not used.
 */
function prefixOf(prompt: PromptEncoder): { keys: Tensor, values: Tensor }[] {
  const { num_virtual_tokens: P, num_layers: L, num_attention_heads: G, token_dim, num_transformer_submodules: submodules } = prompt.config
  const all = reshape(prompt.forward(), [P, 2 * L!, G!, token_dim! / G!]), part = (i: number): Tensor => select(all, 1, i % (2 * L!))
  return Array.from({ length: L! }, (_, layer) => ({ keys: part(2 * submodules! * layer), values: part(2 * submodules! * layer + 1) }))
}

const withFront = (t: Tensor, count: number, value: number): Tensor => concat([full([t.shape[0]!, count], value, { dtype: t.dtype }), t], 1)

function decoderOf(model: Module): Decoder | undefined {
  const { decoder, encoder } = model as { decoder?: unknown, encoder?: unknown }
  return [model, decoder, encoder].find((candidate): candidate is Decoder => candidate instanceof Decoder)
}

function seq2seqOf(model: Module): Pair | undefined {
  return model instanceof EncoderDecoder ? model : undefined
}

/** The table of the vocabulary: the first one of its size. @throws ConfigError if there is none */
export function embeddingOf(layers: Module): Embedding {
  const { vocabSize } = layers as { vocabSize?: number }
  for (const [name, module] of layers.namedModules()) if (module instanceof Embedding && (vocabSize === undefined ? /(^|\.)embed_tokens$/.test(name) : module.count === vocabSize)) return module
  throw new ConfigError(`adapter: ${layers.constructor.name} has no embedding of its tokens`)
}

/** Puts another function in the place of a method of one object. @returns what takes it away again */
function replaced<T extends object, K extends keyof T>(object: T, name: K, by: (own: T[K]) => T[K]): () => void {
  const own = (object[name] as (...given: unknown[]) => unknown).bind(object) as T[K]
  Object.defineProperty(object, name, { value: by(own), configurable: true, writable: true, enumerable: false })
  return () => { Reflect.deleteProperty(object, name) }
}
