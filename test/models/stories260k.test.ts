import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { generate } from '#lib/generate/index.js'
import { Llama } from '#lib/models/llama.js'
import { shared } from '../shared.js'
import { readLlama2c, readLlama2cTokens } from './llama2c.js'

const folder = shared('data', 'stories260K')

describe('stories260K, weights that were trained', () => {
  (folder ? test : test.skip)('200 tokens of greedy search are the 464 bytes that llama2.c writes', async () => {
    const { config, weights } = readLlama2c(`${folder}/stories260K.bin`), model = new Llama(config)
    model.loadStateDict(weights)
    const { newTokens: [tokens] } = await generate(model, [[1]], { maxNewTokens: 200 }), pieces = readLlama2cTokens(`${folder}/tok512.bin`, config.vocab_size!)
    const expectedIds = JSON.parse(readFileSync(`${folder}/expected_greedy_200_ids.json`, 'utf8')) as number[]
    const text = Buffer.concat(tokens!.map((id, i) => i === 0 && pieces[id]![0] === 0x20 ? pieces[id]!.subarray(1) : pieces[id]!))   // llama2.c drops the space behind its start token
    expect(tokens!.slice(0, expectedIds.length)).toEqual(expectedIds.slice(0, 200))
    expect(Buffer.from(text)).toEqual(readFileSync(`${folder}/expected_greedy_200.txt`))
    model.dispose()
  })
})
