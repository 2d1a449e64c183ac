import { Module } from '../nn/module.js'
import { type SavedTokenizer, saveModel, type SaveOptions } from './modelDirectory.js'

declare module '../nn/module.js' {
  interface Module {
    /**
     * Writes config.json and model.safetensors, and with `tokenizer` its files, as transformers reads them.
     * @throws CheckpointError if the system refuses
     */
    savePretrained(directory: string, options?: SaveOptions & { tokenizer?: SavedTokenizer }): Promise<void>
    save_pretrained(directory: string, options?: SaveOptions & { tokenizer?: SavedTokenizer }): Promise<void>
  }
}

Module.prototype.savePretrained = Module.prototype.save_pretrained = function (this: Module, directory, { tokenizer, ...options } = {}) {
  return saveModel(directory, this, tokenizer, options)
}
