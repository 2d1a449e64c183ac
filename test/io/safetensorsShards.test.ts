import { existsSync, readdirSync, readFileSync, writeFileSync, mkdirSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { CheckpointError, ConfigError } from '#lib/errors.js'
import { openSafetensors, saveSafetensors } from '#lib/io/safetensorsShards.js'
import { temporaryFolder } from './temporaryFolder.js'

const at = temporaryFolder()
const tensor = (name: string, ...values: number[]) => ({ name, dtype: 'F32', shape: [values.length], data: Float32Array.from(values) }) as const
const three = [tensor('c', 1, 2), tensor('a', 3), tensor('b', 4, 5, 6)]

test('a checkpoint below the limit is one file, above it shards with an index; both are read alike', async () => {
  for (const [maxShardBytes, files] of [
    [1000, ['model.safetensors']],
    [12, ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json']],
    [1, ['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'model-00003-of-00003.safetensors', 'model.safetensors.index.json']],
  ] as const) {
    expect(await saveSafetensors(at(), three, { maxShardBytes })).toEqual(files)
    expect(readdirSync(at()).sort()).toEqual(files)   // nothing of the save before is left
    const reader = await openSafetensors(at())
    expect([...reader.tensors.keys()].sort()).toEqual(['a', 'b', 'c'])
    expect(reader.metadata.get('format')).toBe('pt')
    expect(await reader.float32('b')).toEqual(Float32Array.of(4, 5, 6))
    expect(await reader.array('c')).toEqual(Float32Array.of(1, 2))
    const byte = new Uint8Array(4)
    await reader.readInto('c', byte, 4)
    expect(new Float32Array(byte.buffer)[0]).toBe(2)
    await expect(reader.array('d')).rejects.toThrow(/there is no tensor "d"/)
    await reader.close()
  }
})
test('the index has the form of transformers', async () => {
  await saveSafetensors(at(), three, { maxShardBytes: 12 })
  expect(JSON.parse(readFileSync(at('model.safetensors.index.json'), 'utf8'))).toEqual({
    metadata: { total_size: 24 },
    weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors', c: 'model-00001-of-00002.safetensors' },
  })
})
test('whatever else an index holds is passed over', async () => {
  await saveSafetensors(at(), three)
  const rest = { metadata: { total_size: 1.5e9, nested: [[{ 'a"]': '}' }], null, true, -1] }, last: [] }
  writeFileSync(at('model.safetensors.index.json'), JSON.stringify({ ...rest, weight_map: { a: 'model.safetensors' }, rest }, null, 1))
  const reader = await openSafetensors(at())
  expect([...reader.tensors.keys()]).toEqual(['a'])
  await reader.close()
})
test('only files of the same checkpoint are removed', async () => {
  for (const name of ['model-notes.safetensors', 'adapter_model.safetensors', 'model.safetensors.bak', 'config.json']) writeFileSync(at(name), '')
  await saveSafetensors(at(), three)
  expect(readdirSync(at())).toHaveLength(5)
})
test('other names, an index by its path and a file by its path', async () => {
  await saveSafetensors(at(), three, { name: 'adapter_model', maxShardBytes: 12 })
  for (const reader of [await openSafetensors(at(), 'adapter_model'), await openSafetensors(at('adapter_model.safetensors.index.json'))]) {
    expect(reader.tensors.size).toBe(3)
    await reader.close()
  }
  const shard = await openSafetensors(at('adapter_model-00001-of-00002.safetensors'))
  expect(shard.tensors.size).toBe(2)
  await shard.close()
  await expect(openSafetensors(at())).rejects.toThrow(/has neither model\.safetensors nor model\.safetensors\.index\.json/)
})
test('a limit that is none is refused', async () => {
  await expect(saveSafetensors(at(), three, { maxShardBytes: 0 })).rejects.toThrow(ConfigError)
})

describe('an index that lies is refused', () => {
  const index = (weightMap: unknown) => writeFileSync(at('model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
  const paths = ['../secret.safetensors', '/etc/passwd', 'a/../b.safetensors', 'deep/x.safetensors', '..\\x', '..', '.', '', 'x\0y']
  test.each(paths)('the path %j', async file => {
    index({ a: file })
    const opening = openSafetensors(at())
    await expect(opening).rejects.toThrow(CheckpointError)
    await expect(opening).rejects.toThrow(/Only plain names of files in the same folder/)
  })
  test('a path out of the folder is refused though a good checkpoint lies there', async () => {
    await saveSafetensors(at(), three)
    mkdirSync(at('inner'))
    writeFileSync(at('inner', 'model.safetensors.index.json'), JSON.stringify({ weight_map: { a: '../model.safetensors' } }))
    expect(existsSync(at('model.safetensors'))).toBe(true)
    await expect(openSafetensors(at('inner'))).rejects.toThrow(/Only plain names/)
  })
  test('a tensor that is not in its file', async () => {
    await saveSafetensors(at(), three)
    index({ a: 'model.safetensors', missing: 'model.safetensors' })
    await expect(openSafetensors(at())).rejects.toThrow(/says that "missing" is in "model\.safetensors", but it is not/)
  })
  test('a file that is not there', async () => {
    index({ a: 'gone.safetensors' })
    await expect(openSafetensors(at())).rejects.toThrow(/gone\.safetensors: there is no such file/)
  })
  test.each([['null', /expected \{/], ['{', /expected "/], ['{"weight_map":[]}', /expected \{/], ['{"weight_map":{"a":1}}', /expected "/],
    ['{"__proto__":{"weight_map":{}}}', /there is no weight_map/], ['{"metadata":{"a":[', /a value does not end/], ['{"metadata":?}', /expected a value/],
    ['{"metadata":},"weight_map":{}}', /expected a value/],
    ['{"weight_map":{"a":"x","a":"y"}}', /the key "a" comes twice/], ['{"weight_map":{}} x', /something follows/]])('%s', async (text, message) => {
    writeFileSync(at('model.safetensors.index.json'), text)
    await expect(openSafetensors(at())).rejects.toThrow(CheckpointError)
    await expect(openSafetensors(at())).rejects.toThrow(message)
  })
  test('bytes that are no UTF-8', async () => {
    writeFileSync(at('model.safetensors.index.json'), Buffer.from([0x7b, 0xff, 0x7d]))
    await expect(openSafetensors(at())).rejects.toThrow(/model\.safetensors\.index\.json: expected "/)
  })
})
