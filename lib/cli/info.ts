import { loadModel } from '../hub/modelDirectory.js'
import { resolveModel } from '../hub/resolveModel.js'
import type { Command } from './arguments.js'
import { atWork } from './atWork.js'

export const info: Command = {
  about: 'says what a model directory holds',
  usage: 'info MODEL [--tensors] [--json]',
  operands: [1, 1],
  flags: { tensors: { about: 'list the weights with their shapes' }, json: { about: 'print JSON' } },
  async run([directory], options) {
    atWork('reading the model')
    // Loading checks that weights, configuration and tokenizer fit.
    const { model, tokenizer, config } = await loadModel(await resolveModel(directory!))
    const weights = [...model.stateDict()].map(([name, { shape }]) => ({ name, shape }))
    const facts = {
      model: model.constructor.name, parameters: model.parameterCount, dtype: typeof config['torch_dtype'] === 'string' ? config['torch_dtype'] : 'float32',
      vocabulary: tokenizer?.vocabSize ?? null, config, ...(options.on('tensors') ? { tensors: weights } : {}),
    }
    if (options.on('json')) {
      console.log(JSON.stringify(facts))
      return 0
    }
    console.log(`${directory}: ${facts.model} of ${facts.parameters.toLocaleString('en')} parameters, saved as ${facts.dtype}`)
    console.log(tokenizer ? `tokenizer: ${tokenizer.vocabSize.toLocaleString('en')} tokens` : 'no tokenizer.json')
    for (const [name, value] of Object.entries(config)) console.log(`  ${name}: ${JSON.stringify(value)}`)
    if (options.on('tensors')) for (const { name, shape } of weights) console.log(`  ${name} [${shape.join(', ')}]`)
    return 0
  },
}
