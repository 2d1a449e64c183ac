import { generator } from '../tensor/random.js'
import { native } from '../tensor/native.js'
import { defaultDevice } from '../tensor/device.js'
import { dtypeId } from '../tensor/dtype.js'
import { sizeOf, Tensor } from '../tensor/tensor.js'
import { Random } from '../data/random.js'

/** How the first values of a parameter are drawn. `fan` sizes are those of a weight `[out, in]`. */
export type Initialization =
  | { kind: 'zeros' | 'ones' }
  | { kind: 'constant', value: number }
  | { kind: 'normal', mean?: number, std: number }
  | { kind: 'truncatedNormal', mean?: number, std: number }
  | { kind: 'uniform', low: number, high: number }
  | { kind: 'xavierUniform' | 'xavierNormal', gain?: number, fanIn?: number, fanOut?: number }
  | { kind: 'kaimingUniform' | 'kaimingNormal', slope?: number, fanIn?: number }

function fans(shape: readonly number[]): [number, number] {
  const receptive = sizeOf(shape.slice(2))
  return [(shape[1] ?? shape[0] ?? 1) * receptive, (shape[0] ?? 1) * receptive]
}

/**
 * First values of a parameter.
 * @see Glorot, Bengio 2010 (xavier); He et al. 2015 (kaiming: fan in, gain of a leaky ReLU of the given slope)
 */
export function initialValues(shape: readonly number[], how: Initialization, random: Random): Float32Array<ArrayBuffer> {
  const out = new Float32Array(sizeOf(shape))
  const [fanIn, fanOut] = fans(shape)
  const normal = (std: number, mean = 0) => random.fillNormal(out, mean, std), uniform = (bound: number) => random.fillUniform(out, -bound, bound)
  switch (how.kind) {
    case 'zeros': return out
    case 'ones': return out.fill(1)
    case 'constant': return out.fill(how.value)
    case 'normal': return normal(how.std, how.mean)
    case 'truncatedNormal':
      for (let i = 0; i < out.length; i++) {
        let z: number
        do z = random.normal(); while (Math.abs(z) > 2)
        out[i] = (how.mean ?? 0) + how.std * z
      }
      return out
    case 'uniform': return random.fillUniform(out, how.low, how.high)
    case 'xavierUniform': return uniform((how.gain ?? 1) * Math.sqrt(6 / ((how.fanIn ?? fanIn) + (how.fanOut ?? fanOut))))
    case 'xavierNormal': return normal((how.gain ?? 1) * Math.sqrt(2 / ((how.fanIn ?? fanIn) + (how.fanOut ?? fanOut))))
    case 'kaimingUniform': return uniform(Math.sqrt(6 / ((1 + (how.slope ?? 0) ** 2) * (how.fanIn ?? fanIn))))
    case 'kaimingNormal': return normal(Math.sqrt(2 / ((1 + (how.slope ?? 0) ** 2) * (how.fanIn ?? fanIn))))
  }
}

function stream(): Random {
  const { seed, index } = generator.nextParameter()
  return new Random(seed, 'initialization', index)
}

let drawing = true

/**
 * Makes modules whose parameters have no values yet: for those that are about to be loaded. Each has to be filled, or drawn by `drawMissing`.
 * @param create synchronous
 */
export function withoutValues<T>(create: () => T): T {
  const before = drawing
  drawing = false
  try {
    return create()
  } finally {
    drawing = before
  }
}

/** A trainable float32 tensor that belongs to its module: no scope frees it. Assign it to a property of a Module and it is found by name. */
export class Parameter extends Tensor {
  /** Whether files may lack it: then its first values are those that it should have. */
  optional = false
  /** How the values are to be drawn that `withoutValues` has left out. */
  private awaited: Initialization | undefined

  /** @param shape sizes @param initialization its first values, drawn from the generator that `manualSeed` seeds, or the values themselves */
  constructor(shape: readonly number[], initialization: Initialization | Float32Array) {
    const device = defaultDevice()
    super(native.alloc(dtypeId('float32'), device.index, shape.length, ...shape), [...shape], 'float32', device)
    this.keep()
    this.requiresGrad = true
    if (initialization instanceof Float32Array) native.write(this.raw, initialization)
    else this.initialize(initialization)
  }

  /** Draws the values anew. */
  initialize(how: Initialization): void {
    this.awaited = drawing ? undefined : how
    if (drawing) native.write(this.handle, initialValues(this.shape, how, stream()))
  }

  /** Draws the values that `withoutValues` has left out, unless there are others by now. */
  drawMissing(): void {
    if (this.awaited) this.initialize(this.awaited)
  }

  /** Replaces the values. @throws ShapeError if their number differs */
  assign(values: Float32Array): void {
    native.write(this.handle, values)
    this.awaited = undefined
  }

  /** Replaces the values from element `from` on, so that whoever reads a file need not hold all of them. @param bits of elements of `dtype` */
  assignPart(from: number, bits: Float32Array | Uint16Array, dtype: 'float32' | 'float16' | 'bfloat16'): void {
    const place = native.view(this.handle, from, 1, bits.length, 1)
    try {
      if (dtype === 'float32') native.write(place, bits)
      else {
        const part = native.alloc(dtypeId(dtype), this.device.index, 1, bits.length)
        native.write(part, bits)
        native.copy(part, place)
        native.destroy(part)
      }
    } finally {
      native.destroy(place)
    }
    this.awaited = undefined
  }
}
