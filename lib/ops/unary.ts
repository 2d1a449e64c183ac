import { recorded, withoutGradient } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { unaryOps } from './codes.js'
import { requireFloating, requireNumbers } from './dtypeChecks.js'

// Elementwise functions of one tensor. Each says whether its gradient needs x or y; formulas are in native/ops/unary.hpp.

type Name = keyof typeof unaryOps
type Elementwise = (x: Tensor) => Tensor

function differentiable(op: Name, saves: 'x' | 'y' | 'nothing', requireDtype = requireFloating): Elementwise {
  const code = unaryOps[op]
  return x => {
    requireDtype(op, x)
    const y = emptyLike(x)
    native.unary(x.handle, y.raw, code)
    return recorded(y, { name: op, inputs: [x], saved: [saves === 'x' ? x : saves === 'y' ? y : undefined] }, (dy, into, [saved]) => {
      native.unaryBackward(dy, saved!, into(x), code)
    })
  }
}

function step(op: Name, requireDtype = requireFloating): Elementwise {
  return x => {
    withoutGradient(op, x)
    requireDtype(op, x)
    const y = emptyLike(x)
    native.unary(x.handle, y.raw, unaryOps[op])
    return y
  }
}

function predicate(op: Name, requireDtype?: typeof requireFloating): Elementwise {
  return x => {
    requireDtype?.(op, x)
    const y = emptyLike(x, x.shape, 'bool')
    native.unary(x.handle, y.raw, unaryOps[op])
    return y
  }
}

/** -x */
export const neg = differentiable('neg', 'nothing', requireNumbers)
/** |x|; the gradient at 0 is 0. */
export const abs = differentiable('abs', 'x', requireNumbers)
/** x² */
export const square = differentiable('square', 'x', requireNumbers)
/** e^x */
export const exp = differentiable('exp', 'y')
/** Natural logarithm. */
export const log = differentiable('log', 'x')
/** ln(1 + x), precise for small x. */
export const log1p = differentiable('log1p', 'x')
/** √x */
export const sqrt = differentiable('sqrt', 'y')
/** 1 / √x */
export const rsqrt = differentiable('rsqrt', 'y')
/** 1 / x */
export const reciprocal = differentiable('reciprocal', 'y')
/** 2/√π ∫₀ˣ e^(-t²) dt */
export const erf = differentiable('erf', 'x')
export const sin = differentiable('sin', 'x')
export const cos = differentiable('cos', 'x')

/** max(0, x); the gradient at 0 is 0. */
export const relu = differentiable('relu', 'y', requireNumbers)
const geluErf = differentiable('gelu', 'x')
const geluTanh = differentiable('geluTanh', 'x')
/**
 * x P(X ≤ x) for a standard normal X, or its approximation by tanh (GPT-2 uses it).
 * @see Hendrycks, Gimpel 2016, https://arxiv.org/abs/1606.08415
 */
export const gelu = (x: Tensor, { approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {}): Tensor => approximate === 'tanh' ? geluTanh(x) : geluErf(x)
/** x sigmoid(1.702 x): the approximation of GELU in CLIP. */
export const quickGelu = differentiable('quickGelu', 'x')
/** x sigmoid(x). @see Elfwing, Uchibe, Doya 2017, https://arxiv.org/abs/1702.03118 */
export const silu = differentiable('silu', 'x')
export const tanh = differentiable('tanh', 'y')
/** 1 / (1 + e^-x) */
export const sigmoid = differentiable('sigmoid', 'y')
/** ln(1 + e^x) */
export const softplus = differentiable('softplus', 'x')

// Constant between jumps: a gradient of 0 would be right and useless, so that these have none and say so.

/** -1, 0 or 1; 0 for NaN. @throws AutogradError if a gradient would be needed */
export const sign = step('sign', requireNumbers)
/** @throws AutogradError if a gradient would be needed */
export const floor = step('floor')
/** @throws AutogradError if a gradient would be needed */
export const ceil = step('ceil')
/** To the nearest integer, halves to the even one. @throws AutogradError if a gradient would be needed */
export const round = step('round')
/** Toward zero. @throws AutogradError if a gradient would be needed */
export const trunc = step('trunc')

/** bool: whether x is 0 or false. */
export const logicalNot = predicate('logicalNot')
/** bool */
export const isNan = predicate('isNan', requireFloating)
/** bool: neither infinite nor NaN. */
export const isFinite = predicate('isFinite', requireFloating)
