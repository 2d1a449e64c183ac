import { native } from '../tensor/native.js'
import type { Device } from '../tensor/device.js'
import { generator } from '../tensor/random.js'
import { empty, type Tensor } from '../tensor/tensor.js'

/**
 * Random numbers, uniform in [low, high), float32, from the generator of dropout: they follow from the seed (`manualSeed`), the step and the order of the calls.
 * @throws ConfigError if `low` > `high`, or a bound is not finite
 */
export function uniform(shape: readonly number[], { low = 0, high = 1, device }: { low?: number, high?: number, device?: string | Device } = {}): Tensor {
  const y = empty([...shape], 'float32', device)
  native.uniform(y.raw, generator.tensor(y.device).handle, generator.nextCall(), low, high)
  return y
}
