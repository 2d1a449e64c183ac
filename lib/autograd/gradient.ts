import { dtypeId } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { sizeOf, Tensor, type Geometry } from '../tensor/tensor.js'

type Part = NonNullable<Geometry['parts']>[number]

function viewOf(buffer: number, { offset, shape, strides }: Part): number {
  return native.view(buffer, offset, shape.length, ...shape, ...strides)
}

/**
 * @internal The gradient of one tensor while it is gathered: a buffer laid out like the tensor, into which the ops behind it write. The first writer overwrites, so
 * that nothing is zeroed first; later ones accumulate. A view's gradient is the same view of the buffer. Parts made by `split` are overwritten one by one, and
 * those that nobody wrote are zeroed in the end.
 */
export class Gradient {
  private readonly views: number[] = []
  private full = false
  private parts: readonly Part[] | undefined
  private readonly written = new Set<number>()

  private constructor(readonly buffer: number, private readonly size: number) {}

  static of(t: Pick<Tensor, 'shape' | 'dtype' | 'device'>): Gradient {
    return new Gradient(native.alloc(dtypeId(t.dtype), t.device.index, t.shape.length, ...t.shape), sizeOf(t.shape))
  }

  /**
   * Gathered in memory that has an owner: `.grad` of a leaf.
   * @param full whether it holds a gradient already (that of an earlier backward pass), to which everything adds
   */
  static into(t: Tensor, full = false): Gradient {
    const g = new Gradient(t.raw, t.size)
    g.full = full
    return g
  }

  /** In memory that is given up for it: `view`, which becomes the gradient's, is laid out like the tensor and overwritten. */
  static within(view: number, size: number): Gradient { return new Gradient(view, size) }

  /** The native gradient argument for `x`, which is the gradient's tensor or a view of it. */
  into(x: Tensor): number {
    const { geometry } = x
    if (!geometry) return this.whole()
    const view = viewOf(this.buffer, { offset: geometry.offset, shape: x.shape, strides: geometry.strides })
    this.views.push(view)
    return this.claim(geometry, x) ? view : -view
  }

  /** The native gradient argument for all of the buffer. */
  whole(): number {
    if (this.parts) this.fillParts()
    const target = this.full ? -this.buffer : this.buffer
    this.full = true
    return target
  }

  /** Whether a writer of this view is the first there. */
  private claim(geometry: Geometry, x: Tensor): boolean {
    if (this.full) return false
    const { parts, part } = geometry
    if (parts && (!this.parts || this.parts === parts)) {
      this.parts = parts
      if (this.written.has(part!)) return false
      this.written.add(part!)
      if (this.written.size === parts.length) this.full = true
      return true
    }
    if (!this.parts && x.size === this.size) {
      this.full = true
      return true
    }
    if (this.parts) this.fillParts()
    else native.fill(this.buffer, 0)
    this.full = true
    return false
  }

  private fillParts(): void {
    if (this.full) return
    this.parts!.forEach((part, i) => {
      if (this.written.has(i)) return
      const view = viewOf(this.buffer, part)
      native.fill(view, 0)
      native.destroy(view)
    })
    this.full = true
  }

  /** The finished gradient's handle: what nobody wrote is zero. */
  complete(): number {
    if (this.parts) this.fillParts()
    else if (!this.full) native.fill(this.buffer, 0)
    this.full = true
    this.releaseViews()
    return this.buffer
  }

  releaseViews(): void {
    for (const view of this.views) native.destroy(view)
    this.views.length = 0
  }

  dispose(): void {
    this.releaseViews()
    native.destroy(this.buffer)
  }
}
