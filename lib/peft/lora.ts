import { ConfigError } from '../errors.js'
import type { Embedding } from '../nn/layers.js'
import { Dropout, Linear } from '../nn/layers.js'
import { Parameter } from '../nn/parameter.js'
import { add, sub } from '../ops/add.js'
import { activated } from '../ops/activated.js'
import type { Activation } from '../ops/codes.js'
import { cast } from '../ops/copy.js'
import { embedding } from '../ops/embedding.js'
import { linear } from '../ops/linear.js'
import { matmul } from '../ops/matmul.js'
import { div, mul } from '../ops/mul.js'
import { reshape, transpose } from '../ops/view.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { DType } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'
import { AdapterDict, AdapterLayer, type NamedPart } from './adapterLayer.js'
import { featuresOf, type LinearLayer, matrixOf, overwrite } from './baseLayer.js'
import type { LoraConfig, TargetingConfig } from './config.js'
import { Magnitude, rowNorms } from './dora.js'
import { initializeLora } from './loraInit.js'
import { byPattern } from './targets.js'

interface Settings { rank: number, scaling: number, dropout: number, dora: boolean }

/** Rank and scaling of a layer. */
function settingsOf({ r, lora_alpha, rank_pattern, alpha_pattern, use_rslora, lora_dropout, use_dora }: LoraConfig, name: string): Settings {
  const rank = byPattern('rank_pattern', rank_pattern, name, r), alpha = byPattern('alpha_pattern', alpha_pattern, name, lora_alpha)
  return { rank, scaling: alpha / (use_rslora ? Math.sqrt(rank) : rank), dropout: lora_dropout, dora: use_dora }
}

abstract class LoraLayer extends AdapterLayer {
  protected readonly settings = new Map<string, Settings>()
  readonly lora_magnitude_vector = new AdapterDict<Magnitude>()
  /** Lengths of the rows of the weight before it was merged into, which unmerging divides by. */
  private readonly norms = new Map<string, Tensor>()

  /** W of the base, `[out, in]`. */
  protected abstract matrix(): Tensor
  /** The change of W, `[out, in]`. */
  protected abstract delta(adapter: string): Tensor
  /** Puts another W, `[out, in]`, in the place of the base's. */
  protected abstract replace(matrix: Tensor): void

  deleteAdapter(adapter: string): void {
    this.settings.delete(adapter)
    this.lora_magnitude_vector.delete(adapter)
    this.norms.get(adapter)?.dispose()
    this.norms.delete(adapter)
  }

  /** magnitude / |row of W + ΔW|, `[out]`. */
  protected factor(adapter: string): Tensor {
    const norms = rowNorms(this.matrix(), noGrad(() => this.delta(adapter)))
    return div(this.lora_magnitude_vector.get(adapter)!.weight, norms)
  }

  protected override prepareMerge(adapters: readonly string[]): void {
    for (const adapter of adapters) {
      if (this.settings.get(adapter)!.dora) this.norms.set(adapter, rowNorms(this.matrix(), noGrad(() => scope(() => this.delta(adapter)))).keep())
    }
  }

  protected mergeOne(adapter: string): void {
    noGrad(() => { scope(() => {
      const sum = add(this.matrix(), this.delta(adapter))
      this.replace(this.settings.get(adapter)!.dora ? mul(sum, this.mergedFactor(adapter)) : sum)
    }) })
  }

  protected unmergeOne(adapter: string): void {
    noGrad(() => { scope(() => {
      const W = this.matrix()
      this.replace(sub(this.settings.get(adapter)!.dora ? div(W, this.mergedFactor(adapter)) : W, this.delta(adapter)))
      this.norms.get(adapter)?.dispose()
      this.norms.delete(adapter)
    }) })
  }

  private mergedFactor(adapter: string): Tensor {
    return reshape(div(this.lora_magnitude_vector.get(adapter)!.weight, this.norms.get(adapter)!), [-1, 1])
  }

  override dispose(): void {
    for (const t of this.norms.values()) t.dispose()
    super.dispose()
  }
}

/** y = x Wᵀ + b + scaling · x Aᵀ Bᵀ, where W and b may be frozen and A, B are small. With DoRA the rows of W + scaling · B A are scaled to learned lengths. */
export class LoraLinear extends LoraLayer {
  readonly lora_A = new AdapterDict<Linear>()
  readonly lora_B = new AdapterDict<Linear>()

  constructor(readonly base_layer: LinearLayer) { super() }

  addAdapter(adapter: string, config: TargetingConfig, name: string): void {
    const settings = settingsOf(config as LoraConfig, name), { rank } = settings, { lora_bias, init_lora_weights } = config as LoraConfig
    const { inFeatures, outFeatures } = featuresOf(this.base_layer)
    const A = new Linear(inFeatures, rank, { bias: false }), B = new Linear(rank, outFeatures, { bias: lora_bias })
    this.settings.set(adapter, settings)
    this.lora_A.set(adapter, A)
    this.lora_B.set(adapter, B)
    initializeLora(init_lora_weights, { A, B, scaling: settings.scaling, layer: this.base_layer, name })
    if (settings.dora) this.lora_magnitude_vector.set(adapter, new Magnitude(scope(() => rowNorms(this.matrix(), noGrad(() => this.delta(adapter))))))
  }

  override deleteAdapter(adapter: string): void {
    super.deleteAdapter(adapter)
    this.lora_A.delete(adapter)
    this.lora_B.delete(adapter)
  }

  partsOf(adapter: string): NamedPart[] {
    const A = this.lora_A.get(adapter), B = this.lora_B.get(adapter), magnitude = this.lora_magnitude_vector.get(adapter)
    if (!A || !B) return []
    return [['lora_A.weight', A.weight], ['lora_B.weight', B.weight], ...B.bias ? [['lora_B.bias', B.bias] as const] : [],
      ...magnitude ? [['lora_magnitude_vector', magnitude.weight] as const] : []]
  }

  /** @param x `[…, in]` @returns `[…, out]` */
  forward(x: Tensor, activation: Activation = 'none'): Tensor {
    const { applied } = this
    if (applied.length === 0) return this.base_layer.forward(x, activation)
    return scope(() => {
      let y = this.base_layer.forward(x)
      for (const adapter of applied) y = this.settings.get(adapter)!.dora ? this.directed(adapter, x, y) : add(y, this.update(adapter, this.dropped(adapter, x), y.dtype))
      return activated(y, activation)
    })
  }

  /** scaling · (x Aᵀ Bᵀ + bias), in the dtype of what it is added to; the factor goes where the numbers are few. */
  private update(adapter: string, x: Tensor, dtype: DType): Tensor {
    const { scaling } = this.settings.get(adapter)!, { weight, bias } = this.lora_B.get(adapter)!
    const inner = this.lora_A.get(adapter)!.forward(x)
    return linear(scaling === 1 ? inner : mul(inner, scaling), weight, bias && mul(bias, scaling), { dtype })
  }

  /** DoRA of y = x Wᵀ + b: f · (x Wᵀ + update) + b, with f the factor of each row. Where there is dropout, it is on all that is added to y. */
  private directed(adapter: string, x: Tensor, y: Tensor): Tensor {
    const f = cast(this.factor(adapter), y.dtype), input = this.dropped(adapter, x), bias = this.base_layer.bias && cast(this.base_layer.bias, y.dtype)
    if (input !== x) return add(y, add(mul(linear(input, matrixOf(this.base_layer), undefined, { dtype: y.dtype }), add(f, -1)), mul(this.update(adapter, input, y.dtype), f)))
    const scaled = mul(add(bias ? sub(y, bias) : y, this.update(adapter, x, y.dtype)), f)
    return bias ? add(scaled, bias) : scaled
  }

  private dropped(adapter: string, x: Tensor): Tensor {
    const { dropout } = this.settings.get(adapter)!
    return this.training && dropout > 0 ? new Dropout(dropout).forward(x) : x
  }

  protected matrix(): Tensor { return matrixOf(this.base_layer) }

  protected delta(adapter: string): Tensor {
    return matmul(this.lora_B.get(adapter)!.weight, this.lora_A.get(adapter)!.weight, { alpha: this.settings.get(adapter)!.scaling })
  }

  protected replace(matrix: Tensor): void {
    const { weight, fanInFanOut } = this.base_layer
    if (!weight) throw new ConfigError('mergeAdapter: the weights of the base are quantised and cannot be merged into. mergeAndUnload() gives a model in float32.')
    overwrite(weight, fanInFanOut ? transpose(matrix) : matrix)
  }

  protected override mergeOne(adapter: string): void {
    super.mergeOne(adapter)
    this.addBias(adapter, 1)
  }

  protected override unmergeOne(adapter: string): void {
    super.unmergeOne(adapter)
    this.addBias(adapter, -1)
  }

  private addBias(adapter: string, sign: 1 | -1): void {
    const own = this.lora_B.get(adapter)!.bias, { bias } = this.base_layer
    if (!own) return
    if (!bias) throw new ConfigError('mergeAdapter: lora_bias cannot be merged into a layer without bias')
    noGrad(() => { scope(() => { overwrite(bias, add(bias, mul(own, sign * this.settings.get(adapter)!.scaling))) }) })
  }
}

/** Rows of W + scaling · (B A)ᵀ by id, where W is `[V, C]`. */
export class LoraEmbedding extends LoraLayer {
  readonly lora_embedding_A = new AdapterDict<Parameter>()
  readonly lora_embedding_B = new AdapterDict<Parameter>()

  constructor(readonly base_layer: Embedding) { super() }

  addAdapter(adapter: string, config: TargetingConfig, name: string): void {
    const settings = settingsOf(config as LoraConfig, name), { rank } = settings, { lora_bias, init_lora_weights: how } = config as LoraConfig
    if (lora_bias) throw new ConfigError(`adapter: ${name} is an embedding, which has no place for lora_bias`)
    if (typeof how === 'string' && how !== 'gaussian') throw new ConfigError(`adapter: ${name} is an embedding, for which init_lora_weights '${how}' is not defined`)
    this.settings.set(adapter, settings)
    this.lora_embedding_A.set(adapter, new Parameter([rank, this.base_layer.count], how === false ? { kind: 'normal', std: 1 } : { kind: 'zeros' }))
    this.lora_embedding_B.set(adapter, new Parameter([this.base_layer.width, rank], { kind: 'normal', std: 1 }))
    if (settings.dora) this.lora_magnitude_vector.set(adapter, new Magnitude(scope(() => rowNorms(this.matrix(), noGrad(() => this.delta(adapter))))))
  }

  override deleteAdapter(adapter: string): void {
    super.deleteAdapter(adapter)
    this.lora_embedding_A.delete(adapter)
    this.lora_embedding_B.delete(adapter)
  }

  partsOf(adapter: string): NamedPart[] {
    const A = this.lora_embedding_A.get(adapter), B = this.lora_embedding_B.get(adapter), magnitude = this.lora_magnitude_vector.get(adapter)
    return A && B ? [['lora_embedding_A', A], ['lora_embedding_B', B], ...magnitude ? [['lora_magnitude_vector', magnitude.weight] as const] : []] : []
  }

  /** @param ids `[…]` @returns `[…, C]` */
  forward(ids: Tensor): Tensor {
    const { applied } = this
    if (applied.length === 0) return this.base_layer.forward(ids)
    return scope(() => {
      let y = this.base_layer.forward(ids)
      for (const adapter of applied) {
        const { scaling, dora } = this.settings.get(adapter)!
        const { scale, options: { paddingIndex = -1 } } = this.base_layer
        const inner = embedding(ids, transpose(this.lora_embedding_A.get(adapter)!), { scale: scaling * scale, paddingIndex })
        const update = linear(inner, this.lora_embedding_B.get(adapter)!, undefined, { dtype: y.dtype })
        const f = dora ? cast(this.factor(adapter), y.dtype) : undefined
        y = f ? add(mul(y, f), mul(update, f)) : add(y, update)
      }
      return y
    })
  }

  protected matrix(): Tensor { return transpose(this.base_layer.weight) }
  protected delta(adapter: string): Tensor {
    return matmul(this.lora_embedding_B.get(adapter)!, this.lora_embedding_A.get(adapter)!, { alpha: this.settings.get(adapter)!.scaling })
  }
  protected replace(matrix: Tensor): void { overwrite(this.base_layer.weight, transpose(matrix)) }
}
