import { loadModel, type SaveOptions, saveModel } from '../hub/modelDirectory.js'
import { resolveModel } from '../hub/resolveModel.js'
import { PeftModel } from '../peft/peftModel.js'
import { readAdapterConfig } from '../peft/adapterFiles.js'
import { type Command, type Options, UsageError } from './arguments.js'

const savingFlags = {
  dtype: { value: 'DTYPE', about: 'float32, float16 or bfloat16; default: as the model is stored' },
  maxShardSize: { value: 'SIZE', about: 'largest file, such as 2GB or 500MB (default 5GB)' },
}

export const convert: Command = {
  about: 'writes a model anew, in another dtype or other files',
  usage: 'convert MODEL FOLDER [options]',
  operands: [2, 2],
  flags: savingFlags,
  async run([from, to], options) {
    const saving = savingOptions(options), { model, tokenizer } = await loadModel(await resolveModel(from!))
    using owned = model
    await saveModel(to!, owned, tokenizer, saving)
    console.error(`${owned.constructor.name} of ${owned.parameterCount.toLocaleString('en')} parameters is in ${to}`)
    return 0
  },
}

export const merge: Command = {
  about: 'makes a model of an adapter and its base',
  usage: 'merge ADAPTER FOLDER [options]',
  operands: [2, 2],
  flags: { base: { value: 'MODEL', about: 'default: the one that adapter_config.json names' }, ...savingFlags },
  async run([adapter, to], options) {
    const saving = savingOptions(options), config = await readAdapterConfig(adapter!, false), base = options.text('base') ?? config.base_model_name_or_path
    if (base === null) throw new UsageError(`${adapter} does not say which model it is for. Give it: --base MODEL`)
    const { model, tokenizer } = await loadModel(await resolveModel(base)), tuned = await PeftModel.fromPretrained(model, adapter!)
    using merged = tuned.mergeAndUnload()
    await saveModel(to!, merged, tokenizer, saving)
    console.error(`${merged.constructor.name} of ${merged.parameterCount.toLocaleString('en')} parameters is in ${to}`)
    return 0
  },
}

function savingOptions(options: Options): SaveOptions {
  const dtype = options.word('dtype', ['float32', 'float16', 'bfloat16']), size = options.text('maxShardSize')
  return { ...dtype === undefined ? {} : { dtype }, ...size === undefined ? {} : { maxShardBytes: bytesOf(size) } }
}

/** As transformers reads sizes: 5GB are 5e9 bytes, 5GiB are 5 · 2^30. */
function bytesOf(size: string): number {
  const [, number, unit = '', binary] = /^(\d+(?:\.\d+)?)\s*([kmg]?)(i?)b$/i.exec(size) ?? []
  if (number === undefined) throw new UsageError(`--max-shard-size is '${size}', expected a size such as 2GB or 500MB`)
  return Math.floor(Number(number) * (binary ? 1024 : 1000) ** ' kmg'.indexOf(unit.toLowerCase() || ' '))
}
