import { AutogradError, ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { noGrad } from '../tensor/scope.js'
import { empty, Tensor } from '../tensor/tensor.js'
import { Gradient } from './gradient.js'
import { Node, nodeOf, type Into } from './tape.js'

/** Gradients of leaves that a running backward pass is gathering; passes nest where a checkpointed block is recomputed. */
const leaves = new Map<Tensor, Gradient>()

function leafGradient(leaf: Tensor): Gradient {
  let gradient = leaves.get(leaf)
  if (!gradient) {
    const full = leaf.grad !== undefined
    leaf.grad ??= empty(leaf.shape, leaf.dtype, leaf.device).keep()
    leaves.set(leaf, gradient = Gradient.into(leaf.grad, full))
  }
  return gradient
}

/**
 * @internal The next backward pass gathers the gradient of `leaf` where `target` says, as a native argument of the pass around it: sums then are the same, term by
 * term, as if there were one pass.
 */
export function gatherAt(leaf: Tensor, target: number): void {
  leaf.grad = leaf.over(native.share(Math.abs(target)))
  leaves.set(leaf, Gradient.into(leaf.grad, target < 0))
}

const into: Into = x => {
  if (!x?.requiresGrad) return 0
  const node = nodeOf(x)
  // A view may be a leaf by itself: its gradient has its shape, and not the layout of what it is a view of.
  if (!node) return x.geometry?.root.requiresGrad ? leafGradient(x.geometry.root).into(x) : leafGradient(x).whole()
  return (node.gradients[x.output] ??= Gradient.of(node.outputs[x.output]!)).into(x)
}

/** Every node that the gradient can reach, latest first: no node runs before all of those that use its outputs have. */
function order(roots: readonly Tensor[]): Node[] {
  const found = new Set<Node>()
  const stack = roots.map(nodeOf).filter(n => n !== undefined)
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (found.has(node)) continue
    node.requireUnused()
    found.add(node)
    for (const x of node.inputs) {
      const next = nodeOf(x)
      if (next && !found.has(next)) stack.push(next)
    }
  }
  return [...found].sort((a, b) => b.sequence - a.sequence)
}

/** @internal Backward from several tensors at once; `gradients[i]` seeds `ys[i]` (ones if undefined). */
export function backwardMany(ys: readonly Tensor[], gradients: readonly (Tensor | undefined)[]): void {
  noGrad(() => {
    const nodes = order(ys)
    for (const node of nodes) node.reference()   // none is forgotten before its turn
    try {
      ys.forEach((y, i) => {
        const target = into(y), seed = gradients[i]
        if (seed) native.copy(seed.handle, target)
        else if (target > 0) native.fill(target, 1)
        else {
          const ones = empty(y.shape, y.dtype, y.device)
          native.fill(ones.raw, 1)
          native.copy(ones.raw, target)
          ones.dispose()
        }
      })
      for (const node of nodes) node.run(into)
    } finally {
      // An inner pass leaves the leaves to the pass around it only as far as the tensors' .grad goes: what it wrote is complete.
      for (const gradient of leaves.values()) gradient.complete()
      leaves.clear()
      for (const node of nodes) node.unreference()
    }
  })
}

/**
 * Computes the gradients of `y` with respect to every leaf that requires one, and adds them to the leaves' `.grad`. Frees what the tape saved.
 * @param gradient of the shape of `y`; may be left out if `y` has one element
 * @throws AutogradError if `y` does not depend on anything that requires a gradient, or its backward has run before
 */
export function backward(y: Tensor, gradient?: Tensor): void {
  if (!y.requiresGrad) throw new AutogradError('backward: the tensor does not depend on anything that requires a gradient')
  if (!gradient && y.size !== 1) throw new ShapeError(`backward: the tensor is [${y.shape.join(', ')}]; give the gradient, or reduce it to one element`)
  if (gradient && (gradient.shape.length !== y.shape.length || gradient.shape.some((n, d) => n !== y.shape[d])))
    throw new ShapeError(`backward: the gradient is [${gradient.shape.join(', ')}], expected [${y.shape.join(', ')}]`)
  backwardMany([y], [gradient])
}
