import { ConfigError } from '../errors.js'
import { defaultDevice, type Device } from './device.js'
import { native } from './native.js'
import { empty, type Tensor } from './tensor.js'

// The state of the kernels' generator (dropout). Seed, micro-step and rank lie in a tensor of each device that draws, so that a recorded step can be replayed with
// others; the id of the call tells the dropouts of one step apart.

/** @internal Where the generator stood before a piece of work. */
export interface GeneratorState { tensor: Tensor, call: number, seed: number, step: number }

let seed = 0
let step = 0
let call = 0
let parameter = 0
let tensors = new Map<Device, Tensor>()

/** Every device that draws, and the default one, gets the new state at once: the number of tensors stays as it is. */
function restart(): void {
  call = 0
  const devices = new Set([...tensors.keys(), defaultDevice()])
  for (const t of tensors.values()) t.dispose()
  tensors.clear()
  for (const device of devices) generator.tensor(device)
}

/** @internal */
export const generator = {
  /** int64 [3]: seed, micro-step, rank. */
  tensor(device: Device): Tensor {
    let t = tensors.get(device)
    if (!t) {
      tensors.set(device, t = empty([3], 'int64', device).keep())
      native.write(t.raw, new BigInt64Array([BigInt(seed), BigInt(step), 0n]))
    }
    return t
  },
  /** Id of the next random op within the step. */
  nextCall(): number { return call++ },
  /** Seed and number of the next parameter to be initialised: each has a stream of its own. */
  nextParameter(): { seed: number, index: number } { return { seed, index: parameter++ } },
  /** What names a random choice of the host within the step, so that it comes again when the step does. */
  nextChoice(): { seed: number, step: number, call: number } { return { seed, step, call: call++ } },
  /** Begins micro-step `n`: the same n gives the same masks. */
  startStep(n: number): void {
    step = n
    restart()
  },
  state(device: Device): GeneratorState { return { tensor: this.tensor(device), call, seed, step } },
  /** Runs `fn` with the numbers that followed `from`, and goes on where the generator stands. */
  replay<T>(from: GeneratorState, fn: () => T): T {
    const now = { tensors, call, seed, step }
    tensors = new Map([[from.tensor.device, from.tensor]])
    ;({ call, seed, step } = from)
    try {
      return fn()
    } finally {
      for (const t of tensors.values()) if (t !== from.tensor) t.dispose()
      ;({ tensors, call, seed, step } = now)
    }
  },
}

/** Seeds dropout and the first values of parameters. The same seed, model and data give the same bits. @param value integer from 0 to 2^53 - 1 */
export function manualSeed(value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new ConfigError(`manualSeed: ${value} is not an integer from 0 to 2^53 - 1`)
  seed = value
  step = 0
  parameter = 0
  restart()
}
