import { AutogradError } from '../errors.js'
import { native } from '../tensor/native.js'
import { context } from '../tensor/scope.js'
import { Tensor, type TapeNode } from '../tensor/tensor.js'
import { Gradient } from './gradient.js'

// The tape. A node hangs on the tensors it made and refers to the nodes its inputs came from: there is no global list, so a forward pass without a backward pass
// is forgotten with its tensors. Nodes count who still may want their gradient (live output tensors, later nodes); at zero they let go of what they saved.

/**
 * Where the gradient of an input goes, as a native argument: 0 if none is wanted, a handle to be overwritten, or a negated handle to be accumulated into.
 * Call it once for each input, right before the native call that writes it.
 */
export type Into = (x: Tensor | undefined) => number

/** Native handles of the saved tensors, in the order in which they were named; 0 for undefined. */
export type Saved = readonly number[]

export interface Recording {
  inputs: readonly (Tensor | undefined)[]
  saved?: readonly (Tensor | undefined)[]
}

let sequence = 0

/** @internal */
export class Node implements TapeNode {
  readonly sequence = ++sequence
  /** Gradients of the outputs, while a backward pass runs. */
  readonly gradients: (Gradient | undefined)[]
  readonly inputs: readonly Tensor[]
  private saved: readonly (Tensor | undefined)[]
  private versions: number[]
  private references = 0
  private state: 'recorded' | 'used' | 'forgotten' = 'recorded'

  constructor(
    readonly name: string,
    readonly outputs: readonly Pick<Tensor, 'shape' | 'dtype' | 'device'>[],
    recording: Recording,
    private backward: ((dy: readonly number[], into: Into, saved: Saved) => void) | undefined,
  ) {
    this.gradients = new Array<Gradient | undefined>(outputs.length).fill(undefined)
    this.inputs = recording.inputs.filter((x): x is Tensor => x !== undefined && x.requiresGrad)
    this.saved = recording.saved ?? []
    this.versions = this.saved.map(t => t ? native.version(t.handle) : 0)
    for (const t of this.saved) t?.hold()
    for (const x of this.inputs) nodeOf(x)?.reference()
  }

  reference(): void { this.references++ }
  unreference(): void { if (--this.references === 0) this.release('forgotten') }

  /** Hands the gradients of the outputs to the op's backward and lets go of everything. */
  run(into: Into): void {
    this.requireUnused()
    const dy = this.gradients.map(g => g ? g.complete() : 0)
    const handles = this.saved.map((t, i) => {
      if (!t) return 0
      if (native.version(t.raw) !== this.versions[i])
        throw new AutogradError(`backward of ${this.name}: tensor [${t.shape.join(', ')}] that it saved was written since. Write to a copy instead, or after backward()`)
      return t.raw
    })
    if (dy.some(g => g !== 0)) this.backward!(dy, into, handles)
    this.release('used')
  }

  requireUnused(): void {
    if (this.state === 'used') throw new AutogradError(`backward of ${this.name} has run before, and what it saved is gone. Run the forward pass again`)
  }

  private release(state: 'used' | 'forgotten'): void {
    if (this.state !== 'recorded') return
    this.state = state
    for (const t of this.saved) t?.unhold()
    this.saved = []
    this.backward = undefined
    for (const g of this.gradients) g?.dispose()
    this.gradients.fill(undefined)
    for (const x of this.inputs) nodeOf(x)?.unreference()
  }
}

/** The node whose output the tensor, or the root of the view, is. */
export const nodeOf = (x: Tensor): Node | undefined => x.node as Node | undefined

/**
 * Makes `y` an output of a recorded op, if gradients are recorded here and an input requires one; returns `y`.
 * `backward(dy, into, saved)` writes the gradients of the inputs with native calls: `dy` is the handle of the gradient of `y`.
 * What is saved keeps its memory until the backward pass has used it, whatever scopes and `dispose` do meanwhile.
 */
export function recorded(y: Tensor, recording: Recording & { name: string }, backward: (dy: number, into: Into, saved: Saved) => void): Tensor {
  recordedMany([y], recording, (dy, into, saved) => { backward(dy[0]!, into, saved) })
  return y
}

/** As `recorded`, for an op with several outputs; `dy[i]` is 0 where nothing depends on output `i`. */
export function recordedMany<T extends readonly Tensor[]>(
  ys: T, recording: Recording & { name: string }, backward: (dy: readonly number[], into: Into, saved: Saved) => void,
): T {
  if (!context().grad || !recording.inputs.some(x => x?.requiresGrad)) return ys
  const node = new Node(recording.name, ys.map(({ shape, dtype, device }) => ({ shape, dtype, device })), recording, backward)
  ys.forEach((y, i) => {
    y.node = node
    y.output = i
    y.flows()
    node.reference()
  })
  return ys
}

/** For ops that have no gradient: throws if one would be needed, because a missing gradient is worse than an error. @throws AutogradError */
export function withoutGradient(name: string, ...inputs: readonly (Tensor | undefined)[]): void {
  if (context().grad && inputs.some(x => x?.requiresGrad))
    throw new AutogradError(`${name} has no gradient, but an input requires one. Use .detach() on it, or noGrad(() => …), if that is meant`)
}
