import { join } from 'node:path'
import { ConfigError } from '../errors.js'
import type { SavedTokenizer, SaveOptions } from '../hub/modelDirectory.js'
import { Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { AdapterDict, AdapterLayer, checkAdapterName } from './adapterLayer.js'
import { readAdapterConfig, readAdapterTensors, saveAdapter } from './adapterFiles.js'
import { isEmbedding, isLinear, type LinearLayer, matrixOf, overwrite } from './baseLayer.js'
import { BottleneckLinear } from './bottleneck.js'
import { completedConfig, isPromptLearning, type PeftConfig, type PeftOptions, type PromptConfig, type TargetingConfig } from './config.js'
import { delegating } from './delegating.js'
import { IA3Linear } from './ia3.js'
import { LoraEmbedding, LoraLinear } from './lora.js'
import { ModulesToSaveWrapper } from './modulesToSave.js'
import { installOutput, sayUntied, untieOutput } from './ownOutput.js'
import { PromptEncoder, type TextEncoder, withSizes } from './promptEncoder.js'
import { moduleAt, placesWithin, replaceAt } from './places.js'
import { installPrompt, promptSizes } from './softPrompt.js'
import { targetsIn, withTargets } from './targets.js'

/** Heads that are trained whole with any adapter of their task. */
const heads: Readonly<Partial<Record<string, readonly string[]>>> = { SEQ_CLS: ['classifier', 'score'], TOKEN_CLS: ['classifier', 'score'], QUESTION_ANS: ['qa_outputs'] }

/** The base with adapters in it, under the name that peft's files have. */
class Tuner extends Module {
  constructor(readonly model: Module) { super() }
}

/** What more `savePretrained` takes. */
export interface AdapterSaveOptions extends SaveOptions {
  /** Default: all. */
  selectedAdapters?: readonly string[]
  /** Is written beside the adapter. */
  tokenizer?: SavedTokenizer
}

/** What more `getPeftModel` takes. */
export interface PeftModelOptions {
  /** Default 'default'. */
  adapterName?: string
  /** For prompt_tuning_init 'TEXT'. */
  tokenizer?: TextEncoder
}

/**
 * A model whose weights are frozen, with small adapters that are trained: LoRA, DoRA, IA3, bottlenecks, learned prompts and prefixes. It answers everything that the model
 * within does (`forward`, `loss`, `generate(…)` and `Trainer` take it), and its files are those of the Python library peft.
 *
 * ```ts
 * const { model } = await loadModel('gpt2')
 * const tuned = getPeftModel(model, { peft_type: 'LORA', r: 8, lora_alpha: 16, task_type: 'CAUSAL_LM' })
 * await new Trainer(tuned, data, { learningRate: 1e-3 }).train()
 * await tuned.savePretrained('adapter')
 * ```
 */
export class PeftModel extends Module {
  /** Configurations by the adapters' names. */
  readonly peftConfig = new Map<string, PeftConfig>()
  readonly base_model: Module
  readonly prompt_encoder = new AdapterDict<PromptEncoder>()
  #active: readonly string[] = []
  #disabled = false
  #removePrompt: (() => void) | undefined
  /** Of a tied model whose output an adapter trains. */
  #removeOutput: (() => void) | undefined

  /** @internal Use `getPeftModel`. */
  constructor(base: Module, promptLearning: boolean) {
    super()
    this.base_model = promptLearning ? base : new Tuner(base)
    for (const p of base.parameters()) p.requiresGrad = false
  }

  /**
   * Puts an adapter that was saved, here or by peft, on a model.
   * @param options isTrainable: to train it on; default: to use it
   * @throws CheckpointError if files are missing or damaged, or weights and model do not fit; all that does not fit is listed   @throws ConfigError for what is not supported
   */
  static async fromPretrained<M extends Module>(model: M, directory: string, { adapterName = 'default', isTrainable = false }: { adapterName?: string, isTrainable?: boolean } = {}):
  Promise<PeftModel & M> {
    const config = await readAdapterConfig(directory, isTrainable), tuned = wrapped(model, config)
    try {
      await tuned.readAdapter(directory, config, adapterName)
    } catch (error) {
      tuned.unload()
      throw error
    }
    tuned.setAdapter(adapterName)
    return tuned
  }

  get activeAdapters(): readonly string[] { return this.#active }
  getBaseModel(): Module { return this.#base }
  get #base(): Module { return this.base_model instanceof Tuner ? this.base_model.model : this.base_model }
  get #isPromptLearning(): boolean { return !(this.base_model instanceof Tuner) }

  /** Adds a further adapter, of the same kind as the others, which is not in use until `setAdapter`. @throws ConfigError if it does not fit */
  addAdapter(adapterName: string, options: PeftOptions, { tokenizer }: Pick<PeftModelOptions, 'tokenizer'> = {}): void {
    this.installAdapter(adapterName, completedConfig(options), tokenizer)
    this.#mark()
  }

  /** Adds a further adapter from its files. @throws as `fromPretrained` */
  async loadAdapter(directory: string, adapterName: string, { isTrainable = false } = {}): Promise<void> {
    await this.readAdapter(directory, await readAdapterConfig(directory, isTrainable), adapterName)
    this.#mark()
  }

  /** Uses one adapter, or several at once, whose changes add up; these are trained, unless they were loaded to be used. @throws ConfigError for unknown names */
  setAdapter(adapters: string | readonly string[]): void {
    const names = [adapters].flat()
    for (const name of names) this.#config(name)
    if (names.length > 1 && (this.#isPromptLearning || this.#wrappers().length > 0))
      throw new ConfigError('setAdapter: prompts, and modules that are trained whole, can be of one adapter at a time')
    if (this.#layers().some(layer => layer.merged.length > 0)) throw new ConfigError('setAdapter: adapters are merged. Call unmergeAdapter() first.')
    this.#active = names
    this.#mark()
  }

  /** Removes an adapter. @throws ConfigError if it is not there, or merged */
  deleteAdapter(adapterName: string): void {
    this.#config(adapterName)
    if (this.#layers().some(layer => layer.merged.includes(adapterName))) throw new ConfigError(`deleteAdapter: ${adapterName} is merged. Call unmergeAdapter() first.`)
    for (const part of [...this.#layers(), ...this.#wrappers()]) part.deleteAdapter(adapterName)
    this.prompt_encoder.delete(adapterName)
    this.peftConfig.delete(adapterName)
    this.#active = this.#active.filter(name => name !== adapterName)
    this.#mark()
  }

  /** Runs `fn` (sync or async) with the base as it was without adapters. */
  disableAdapter<T>(fn: () => T): T {
    const merged = this.#layers().map(layer => [layer, layer.merged] as const).filter(([, names]) => names.length > 0)
    const before = this.#disabled
    const on = (): void => {
      this.#disable(before)
      for (const [layer, names] of merged) layer.merge(names)
    }
    for (const [layer] of merged) layer.unmerge()
    this.#disable(true)
    let result: T
    try {
      result = fn()
    } catch (error) {
      on()
      throw error
    }
    if (result instanceof Promise) return (result as Promise<unknown>).finally(on) as T
    on()
    return result
  }

  /** Puts the changes of the adapters in use, or of the named ones, into the weights of the base: it computes the same, as fast as without. @throws ConfigError if it cannot be */
  mergeAdapter(adapters: readonly string[] = this.#active): void {
    this.#requireMergeable()
    for (const name of adapters) this.#config(name)
    const done: AdapterLayer[] = []
    try {
      for (const layer of this.#layers()) {
        layer.merge(adapters)
        done.push(layer)
      }
    } catch (error) {
      for (const layer of done) layer.unmerge()
      throw error
    }
  }

  /** Takes merged changes out again, to within rounding. */
  unmergeAdapter(): void { for (const layer of this.#layers()) layer.unmerge() }

  /** The model with the changes of the adapters in use in its own weights, and without adapters. This one is used up. Quantised weights become float32. */
  mergeAndUnload(): Module {
    this.#requireMergeable()
    for (const layer of this.#layers()) {
      const { base_layer: base } = layer
      if (isLinear(base) && base.dequantized) (layer as { base_layer: Module }).base_layer = inFloat32(base)
    }
    if (this.#layers().every(layer => layer.merged.length === 0)) this.mergeAdapter()
    this.#requireOwnOutput()
    const plain = this.unload({ keepCopies: true })
    for (const [path, layer] of placesWithin(plain)) if (isLinear(layer) && layer.dequantized) replaceAt(plain, path, inFloat32(layer))
    return plain
  }

  /** The base as it was, without adapters. This model is used up. */
  unload({ keepCopies = false } = {}): Module {
    this.#removePrompt?.()
    this.#removePrompt = undefined
    for (const [path, layer] of this.#named(AdapterLayer)) {
      if (!keepCopies) layer.unmerge()
      replaceAt(this.#base, path, layer.base_layer)
      for (const name of this.peftConfig.keys()) layer.deleteAdapter(name)
    }
    for (const [path, wrapper] of this.#named(ModulesToSaveWrapper)) {
      const kept = keepCopies && wrapper.active !== undefined ? wrapper.modules_to_save.get(wrapper.active) : undefined
      replaceAt(this.#base, path, kept ?? wrapper.original_module)
      for (const name of this.peftConfig.keys()) if (wrapper.modules_to_save.get(name) !== kept) wrapper.deleteAdapter(name)
      if (path === 'lm_head' && this.#removeOutput) {
        if (kept) sayUntied(this.#base)
        else this.#removeOutput()
      } else if (kept) wrapper.original_module.dispose()
    }
    this.#removeOutput = undefined
    for (const name of this.peftConfig.keys()) this.prompt_encoder.delete(name)
    this.peftConfig.clear()
    this.#active = []
    return this.#base
  }

  /**
   * Writes adapter_config.json and adapter_model.safetensors, which peft loads: the adapter 'default' into the folder, others into folders of their names.
   * @throws CheckpointError if the system refuses
   */
  override async savePretrained(directory: string, { selectedAdapters = [...this.peftConfig.keys()], tokenizer, dtype = 'float32', maxShardBytes }: AdapterSaveOptions = {}): Promise<void> {
    if (maxShardBytes !== undefined) throw new ConfigError('savePretrained: an adapter is one file; leave maxShardBytes out')
    for (const name of selectedAdapters) await saveAdapter(this.#folderOf(directory, name), this.#config(name), this.tensorsOf(name), dtype)
    await tokenizer?.save(directory)
  }

  /** @internal A checkpoint of a training holds the adapters. */
  writeFiles(directory: string): Promise<void> { return this.savePretrained(directory) }

  /** @internal @throws CheckpointError as `fromPretrained` */
  async readFiles(directory: string): Promise<void> {
    for (const [name, config] of this.peftConfig) {
      if (config.peft_type === 'PREFIX_TUNING' && config.prefix_projection) throw new ConfigError('adapter: a prefix with prefix_projection is saved as what the projection made, and its training cannot be resumed')
      await readAdapterTensors(this.#folderOf(directory, name), this.tensorsOf(name), new Map())
    }
  }

  #folderOf(directory: string, adapterName: string): string { return adapterName === 'default' ? directory : join(directory, adapterName) }

  /** Numbers of values that are trained, and of all. */
  get parameterCounts(): { trainable: number, all: number } {
    const parameters = this.parameters(), sum = (list: readonly Parameter[]): number => list.reduce((n, p) => n + p.size, 0)
    return { trainable: sum(parameters.filter(p => p.requiresGrad)), all: sum(parameters) }
  }

  printTrainableParameters(): void {
    const { trainable, all } = this.parameterCounts, shown = (n: number): string => n.toLocaleString('en')
    console.log(`trainable params: ${shown(trainable)} || all params: ${shown(all)} || trainable%: ${(100 * trainable / all).toFixed(4)}`)
  }

  /** Parameters of an adapter, and what else is saved with it, under the names of the file. */
  tensorsOf(adapterName: string): Map<string, Tensor> {
    const config = this.#config(adapterName), tensors = new Map<string, Tensor>()
    // Of a projection its result is saved.
    if (isPromptLearning(config)) tensors.set('prompt_embeddings', noGrad(() => this.prompt_encoder.get(adapterName)!.forward()))
    for (const [path, module] of this.namedModules()) {
      if (module instanceof AdapterLayer || module instanceof ModulesToSaveWrapper) for (const [name, p] of module.partsOf(adapterName)) tensors.set(`${path}.${name}`, p)
      // Embeddings are saved whole where they are adapted, as peft does.
      if (module instanceof AdapterLayer && module.partsOf(adapterName).length > 0 && this.#savesBase(config, path)) {
        for (const [name, p] of module.base_layer.namedParameters()) tensors.set(`${path}.base_layer.${name}`, p)
      }
    }
    for (const [name, p] of this.#biases(config)) tensors.set(name, p)
    return tensors
  }

  /** @internal */
  installAdapter(adapterName: string, given: PeftConfig, tokenizer?: TextEncoder): void {
    checkAdapterName(adapterName)
    if (this.peftConfig.has(adapterName)) throw new ConfigError(`adapter ${adapterName} is there already`)
    const [first] = this.peftConfig.values()
    if (first && first.peft_type !== given.peft_type) throw new ConfigError(`adapter ${adapterName} is ${given.peft_type}, the model has adapters of ${first.peft_type}. Use a second model for it.`)
    const config = { ...given, modules_to_save: this.#modulesToSave(given) }
    if (isPromptLearning(config)) this.#addPrompt(adapterName, config, tokenizer)
    else this.#addLayers(adapterName, config)
  }

  #addPrompt(adapterName: string, given: PromptConfig, tokenizer: TextEncoder | undefined): void {
    const sizes = promptSizes(this.#base, given), config = withSizes(given, sizes)
    this.#addWrappers(adapterName, config)
    this.prompt_encoder.set(adapterName, new PromptEncoder(config, sizes, tokenizer))
    this.peftConfig.set(adapterName, config)
    this.#removePrompt ??= installPrompt(this.#base, () => this.#disabled || this.#active.length === 0 ? undefined : this.prompt_encoder.get(this.#active[0]!))
  }

  #addLayers(adapterName: string, given: TargetingConfig): void {
    const config = withTargets(this.#base, given)
    if (config.peft_type === 'LORA' && config.bias !== 'none' && [...this.peftConfig.values()].some(other => other.peft_type === 'LORA' && other.bias !== 'none'))
      throw new ConfigError(`adapter ${adapterName}: bias '${config.bias}' changes the base, which can be done for one adapter of a model alone`)
    const targets = targetsIn(this.#base, config), layers = targets.map(([path, module]) => {
      const there = moduleAt(this.#base, path)
      return there instanceof AdapterLayer ? there : adapterLayerFor(config, module, path)
    })
    targets.forEach(([path], i) => {
      layers[i]!.addAdapter(adapterName, config, path)
      replaceAt(this.#base, path, layers[i]!)
    })
    this.#addWrappers(adapterName, config)
    const transposed = targets.some(([, module]) => (module as { fanInFanOut?: boolean }).fanInFanOut === true)
    this.peftConfig.set(adapterName, 'fan_in_fan_out' in config ? { ...config, fan_in_fan_out: transposed } : config)
  }

  #addWrappers(adapterName: string, { modules_to_save: names }: PeftConfig): void {
    if (!names) return
    if (names.some(name => 'lm_head'.endsWith(name))) this.#removeOutput ??= installOutput(this.#base)
    const expected = new Set(names), found = [...placesWithin(this.#base)].map(([path]) => path).filter(path => names.some(name => path.endsWith(name)))
    for (const path of found) for (const name of names) if (path.endsWith(name)) expected.delete(name)
    const missing = [...expected].filter(name => !Object.values(heads).some(usual => usual!.includes(name)))
    if (missing.length > 0) throw new ConfigError(`adapter: modules_to_save has ${missing.join(', ')}, which this model has not.`)
    for (const path of found.filter(path => !found.some(outer => path.startsWith(`${outer}.`)))) {
      const module = moduleAt(this.#base, path), wrapper = module instanceof ModulesToSaveWrapper ? module : ModulesToSaveWrapper.around(module)
      if (wrapper !== module) replaceAt(this.#base, path, wrapper)
      wrapper.addAdapter(adapterName)
    }
  }

  /** @internal Adds an adapter with the weights of its files. */
  async readAdapter(directory: string, config: PeftConfig, adapterName: string): Promise<void> {
    if (config.peft_type === 'PREFIX_TUNING' && config.prefix_projection && !config.inference_mode)
      throw new ConfigError('adapter: the file of a prefix with prefix_projection holds what the projection made, which cannot be trained on. Load it without isTrainable.')
    this.installAdapter(adapterName, config)
    try {
      const embeddings = new Map([...this.namedParameters({ once: false })].filter(([name]) => /(^|\.)base_layer\.weight$/.test(name)))
      await readAdapterTensors(directory, this.tensorsOf(adapterName), embeddings)
    } catch (error) {
      this.deleteAdapter(adapterName)
      throw error
    }
  }

  /** Sets in every layer which adapters are used, and in every parameter whether it is trained. */
  #mark(): void {
    const trained = this.#active.filter(name => !this.#config(name).inference_mode), mine = (name: string): boolean => trained.includes(name)
    for (const layer of this.#layers()) {
      layer.active = this.#active
      for (const name of this.peftConfig.keys()) for (const [, p] of layer.partsOf(name)) p.requiresGrad = mine(name)
    }
    for (const wrapper of this.#wrappers()) {
      wrapper.active = this.#active[0]
      for (const name of this.peftConfig.keys()) for (const [, p] of wrapper.partsOf(name)) p.requiresGrad = mine(name)
    }
    for (const name of this.peftConfig.keys()) for (const p of this.prompt_encoder.get(name)?.parameters() ?? []) p.requiresGrad = mine(name)
    for (const [name, config] of this.peftConfig) for (const [, p] of this.#biases(config)) p.requiresGrad = mine(name)
  }

  /** Biases of the base that are trained along, under their names within this model. */
  *#biases(config: PeftConfig): Generator<[string, Parameter]> {
    if (config.peft_type !== 'LORA' || config.bias === 'none') return
    const names = new Set(this.#named(AdapterLayer).map(([path]) => `base_model.model.${path}.base_layer.bias`))
    for (const [name, p] of this.namedParameters({ once: false })) {
      const parts = name.split('.'), ofAdapter = parts.some(part => /^(lora_|modules_to_save|original_module)/.test(part))
      if (parts.at(-1) === 'bias' && !ofAdapter && (config.bias === 'all' || names.has(name))) yield [name, p]
    }
  }

  #savesBase({ target_modules: targets }: PeftConfig & { target_modules?: unknown }, path: string): boolean {
    return Array.isArray(targets) && ['embed_tokens', 'lm_head'].some(name => targets.includes(name)) && /(^|\.)(embed_tokens|lm_head)$/.test(path)
  }

  #modulesToSave({ modules_to_save: given, task_type: task }: PeftConfig): readonly string[] | null {
    const usual = (task !== null ? heads[task] : undefined) ?? [], all = [...new Set([...given ?? [], ...usual])]
    return all.length > 0 ? all : null
  }

  #requireMergeable(): void {
    if (this.#isPromptLearning) throw new ConfigError('mergeAdapter: virtual tokens are no change of the weights and cannot be merged into them')
    if ([...this.peftConfig.values()].some(({ peft_type }) => peft_type === 'BOTTLENECK')) throw new ConfigError('mergeAdapter: a bottleneck is no linear change of the weights and cannot be merged into them')
  }

  /** A copy of an embedding cannot take its place where the output layer goes on using the original: that gets its own weights then. */
  #requireOwnOutput(): void {
    if (this.#removeOutput) return
    const { model_type: type, tie_word_embeddings: tied } = (this.#base as { config?: { model_type?: string, tie_word_embeddings?: boolean } }).config ?? {}
    if (tied && !['t5', 'mt5'].includes(type!) && this.#named(ModulesToSaveWrapper).some(([path]) => path === 'lm_head'))
      throw new ConfigError(`mergeAndUnload: lm_head was trained as a copy, and files of ${type} have one weight for output and embeddings. Keep the adapter, or train without lm_head in modules_to_save.`)
    const shared = this.#named(ModulesToSaveWrapper).find(([, { original_module: original }]) => isEmbedding(original) && original.count === (this.#base as { vocabSize?: number }).vocabSize)
    if (shared && (this.#base as { config?: { tie_word_embeddings?: boolean } }).config?.tie_word_embeddings !== false && !untieOutput(this.#base)) {
      throw new ConfigError(`mergeAndUnload: ${shared[0]} was trained as a copy, and the output layer uses the weights of the original: the model has one weight for both. `
        + 'Keep the adapter, or train without the embedding in modules_to_save.')
    }
  }

  #config(adapterName: string): PeftConfig {
    const config = this.peftConfig.get(adapterName)
    if (!config) throw new ConfigError(`there is no adapter ${adapterName}; there are ${[...this.peftConfig.keys()].join(', ') || 'none'}`)
    return config
  }

  #disable(disabled: boolean): void {
    this.#disabled = disabled
    for (const part of [...this.#layers(), ...this.#wrappers()]) part.disabled = disabled
  }

  #layers(): AdapterLayer[] { return this.#named(AdapterLayer).map(([, layer]) => layer) }
  #wrappers(): ModulesToSaveWrapper[] { return this.#named(ModulesToSaveWrapper).map(([, wrapper]) => wrapper) }

  /** Modules of a kind within the base, by their places in it. */
  #named<T extends Module>(kind: abstract new (...given: never[]) => T): [string, T][] {
    return [...this.#base.namedModules()].filter((entry): entry is [string, T] => entry[1] instanceof kind)
  }
}

/** A layer with room for adapters around a layer of the base. @throws ConfigError if there are none of that kind for it */
function adapterLayerFor({ peft_type }: TargetingConfig, module: Module, path: string): AdapterLayer {
  const wrapped = isLinear(module) ? new { LORA: LoraLinear, IA3: IA3Linear, BOTTLENECK: BottleneckLinear }[peft_type](module)
    : isEmbedding(module) && peft_type === 'LORA' ? new LoraEmbedding(module) : undefined
  if (!wrapped) throw new ConfigError(`adapter (${peft_type}): ${path} is a ${module.constructor.name}, expected a linear layer${peft_type === 'LORA' ? ' or an embedding' : ''}. Name other target_modules.`)
  return delegating<AdapterLayer>(wrapped, layer => layer.base_layer)
}

/** A layer with the values that a quantised one stands for. */
function inFloat32(layer: LinearLayer): Linear {
  return noGrad(() => scope(() => {
    const W = matrixOf(layer), [outFeatures, inFeatures] = W.shape as [number, number]
    const plain = new Linear(inFeatures, outFeatures, { bias: layer.bias !== undefined, resultDtype: layer.resultDtype })
    overwrite(plain.weight, W)
    if (layer.bias) overwrite(plain.bias!, layer.bias)
    layer.dispose()
    return plain
  }))
}

function wrapped<M extends Module>(model: M, config: PeftConfig): PeftModel & M {
  if ((model as Module) instanceof PeftModel) throw new ConfigError('adapter: the model has adapters already; add further ones with addAdapter or loadAdapter')
  return delegating(new PeftModel(model, isPromptLearning(config)), tuned => tuned.getBaseModel()) as PeftModel & M
}

/**
 * A model with an adapter to train. The model is changed: its weights are frozen, and layers with adapters stand in the place of their targets until `unload()`.
 * @param options as adapter_config.json has them; what is not said is as in peft
 * @throws ConfigError for what is not known, not supported, or does not fit the model
 */
export function getPeftModel<M extends Module>(model: M, options: PeftOptions, { adapterName = 'default', tokenizer }: PeftModelOptions = {}): PeftModel & M {
  const config = completedConfig(options), tuned = wrapped(model, config)
  tuned.installAdapter(adapterName, config, tokenizer)
  tuned.setAdapter(adapterName)
  return tuned
}
