import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from '@jest/globals'
import { CheckpointError } from '#lib/errors.js'
import { AutoModelForCausalLM } from '#lib/hub/autoModel.js'
import { downloadModel, type DownloadProgress } from '#lib/hub/download.js'
import { saveModel } from '#lib/hub/modelDirectory.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf } from '../train/tinyTask.js'
import { commit, type HubServer, hubServer } from './hubServer.js'

const at = temporaryFolder()
let hub: HubServer | undefined
afterEach(async () => { await hub?.close(); hub = undefined })

async function served(extra: Record<string, Uint8Array> = {}, claimed: Record<string, string> = {}): Promise<{ model: GPT2, options: { cacheDir: string, hubUrl: string, offline: boolean } }> {
  const model = new GPT2({ vocab_size: 50, n_positions: 12, n_embd: 16, n_layer: 1, n_head: 2 })
  await saveModel(at('original'), model)
  const files = Object.fromEntries(['config.json', 'model.safetensors'].map(file => [file, new Uint8Array(readFileSync(at('original', file)))]))
  hub = await hubServer({ ...files, ...extra }, ['model.safetensors'], claimed)
  return { model, options: { cacheDir: at('cache'), hubUrl: hub.url, offline: false } }
}
const resolved = (): string[] => hub!.asked.filter(line => line.includes('/resolve/'))

describe('a model of the Hub', () => {
  test('is downloaded once, in the layout of huggingface_hub, and loads by its id', async () => {
    const { model, options } = await served({ 'README.md': Buffer.from('no'), 'onnx/model.onnx': Buffer.from('no'), 'pytorch_model.bin': Buffer.from('no') })
    const loaded = await AutoModelForCausalLM.fromPretrained('some/model', options)
    expect(bitsOf(loaded)).toEqual(bitsOf(model))
    expect(readdirSync(at('cache', 'models--some--model', 'snapshots', commit)).sort()).toEqual(['config.json', 'model.safetensors'])
    expect(readFileSync(at('cache', 'models--some--model', 'refs', 'main'), 'utf8')).toBe(commit)
    hub!.asked.length = 0
    await AutoModelForCausalLM.fromPretrained('some/model', options)
    expect(hub!.asked).toEqual([])
    await downloadModel('some/model', options)
    expect(resolved()).toEqual([])
  })

  test('that was cut off goes on where it ended', async () => {
    const { model, options } = await served()
    const total = readFileSync(at('original', 'model.safetensors')).byteLength
    hub!.cutAfter = 5000
    await expect(downloadModel('some/model', options)).rejects.toThrow(CheckpointError)
    await expect(downloadModel('some/model', { ...options, offline: true })).rejects.toThrow(/not in the cache/)   // half of it is nothing
    const [partial] = readdirSync(at('cache', 'models--some--model', 'blobs')).filter(file => file.endsWith('.incomplete'))
    const came = readFileSync(at('cache', 'models--some--model', 'blobs', partial!)).byteLength
    expect(came).toBeGreaterThan(0)
    expect(came).toBeLessThan(total)
    hub!.cutAfter = undefined
    hub!.asked.length = 0
    const progress: DownloadProgress[] = []
    await downloadModel('some/model', { ...options, onProgress: p => progress.push(p) })
    expect(resolved().filter(line => line.includes('model.safetensors')).at(-1)).toContain(`bytes=${came}-`)
    expect(progress.at(-1)).toEqual({ file: 'model.safetensors', received: total, total })
    expect(bitsOf(await AutoModelForCausalLM.fromPretrained('some/model', { ...options, offline: true }))).toEqual(bitsOf(model))
  })

  test('whose bytes are not those of its checksum is refused and removed', async () => {
    const { options } = await served({}, { 'model.safetensors': 'a'.repeat(64) })
    await expect(downloadModel('some/model', options)).rejects.toThrow(/model.safetensors: its checksum is not the one that the Hub names/)
    expect(readdirSync(at('cache', 'models--some--model', 'blobs')).some(file => file.includes('aaaa'))).toBe(false)
  })

  test.each<[string, string, RegExp]>([
    ['there is not', 'some/other', /some\/other \(main\) is not on http.*Is the name right\?/],
    ['is gated', 'some/gated', /private, gated or not there.*HF_TOKEN/],
    ['has no name', '../etc', /no id of a model/],
  ])('that %s: a clear error', async (_, id, message) => {
    const { options } = await served()
    await expect(downloadModel(id, options)).rejects.toThrow(message)
  })

  test('without a network, or with no safetensors: a clear error', async () => {
    const { options } = await served()
    await hub!.close()
    await expect(downloadModel('some/model', options)).rejects.toThrow(/could not be downloaded from http.*ECONNREFUSED.*Is there a network\?/)
    hub = await hubServer({ 'config.json': Buffer.from('{}'), 'pytorch_model.bin': Buffer.from('x') }, [])
    await expect(downloadModel('some/model', { ...options, hubUrl: hub.url })).rejects.toThrow(/has no safetensors/)
    await expect(AutoModelForCausalLM.fromPretrained('no/such/folder', options)).rejects.toThrow(/no such folder, and it is no id/)
  })

  test('as a pickle alone is refused with the command that converts it', async () => {
    await served()
    rmSync(at('original', 'model.safetensors'))
    writeFileSync(at('original', 'pytorch_model.bin'), 'x')
    mkdirSync(at('elsewhere'))
    await expect(AutoModelForCausalLM.fromPretrained(at('original'))).rejects.toThrow(/is a pickle, which can run any program.*safe_serialization=True/)
  })
})
