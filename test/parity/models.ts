import type { Adapter } from './adapter.js'
import type { Case } from './case.js'
import { causalModels } from './causalModels.js'
import { encoderDecoderModels } from './encoderDecoderModels.js'
import { encoderModels } from './encoderModels.js'

const adapters: Record<string, (c: Case) => Adapter> = { ...causalModels, ...encoderDecoderModels, ...encoderModels }

/** @throws Error for a class that no model here stands for */
export function adapterFor(c: Case): Adapter {
  const make = adapters[c.class]
  if (!make) throw new Error(`class ${c.class} is not known; known are ${Object.keys(adapters).join(', ')}`)
  const adapter = make(c)
  adapter.model.loadStateDict(c.weights)
  return adapter
}
