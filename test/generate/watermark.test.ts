import { describe, expect, test } from '@jest/globals'
import { MersenneTwister } from '#lib/data/mersenneTwister.js'
import { ConfigError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { generationConfigOf, generationOptions, setGenerationDefaults } from '#lib/generate/generationConfig.js'
import { detectWatermark, GreenLists, watermark, type WatermarkingConfig } from '#lib/generate/processors/watermark.js'
import { arbitraryLogits, TableModel } from './tableModel.js'

test('MT19937 gives the numbers of its authors, over several rounds of its state', () => {
  const random = new MersenneTwister(5489), first = [random.uint32(), random.uint32()]
  for (let i = 2; i < 9999; i++) random.uint32()
  expect([...first, random.uint32()]).toEqual([3499211612, 581869302, 4123659995])
})

describe('a watermark', () => {
  // What transformers 5.24 has for a vocabulary of 30.
  test.each<[WatermarkingConfig, number[][]]>([
    [{}, [[4, 6, 3, 0, 12, 11, 25], [28, 24, 10, 5, 23, 15, 0], [6, 23, 1, 20, 18, 26, 3]]],
    [{ greenlistRatio: 0.4, hashingKey: 77 }, [[1, 8, 18, 7, 23, 17, 24, 27, 4, 0, 12, 16], [11, 18, 14, 19, 27, 1, 28, 22, 26, 2, 8, 3], [1, 29, 3, 2, 21, 5, 22, 28, 4, 13, 9, 19]]],
    [{ seedingScheme: 'selfhash', contextWidth: 3 }, [[18, 11, 2, 15, 21, 7, 8], [23, 8, 29, 18, 3, 7, 6], [8, 25, 23, 0, 24, 27, 19]]],
  ])('%j has the green tokens of transformers', (config, expected) => {
    const lists = new GreenLists(config, 30)
    expect([[3], [4, 29], [1, 2, 3, 4]].map(tokens => [...lists.behind(tokens)])).toEqual(expected)
  })

  test.each<[WatermarkingConfig, boolean, number, number, number]>([
    [{}, false, 13, 5, 1.12089708], [{}, true, 11, 4, 0.87038828],
    [{ greenlistRatio: 0.5, seedingScheme: 'selfhash', contextWidth: 2 }, false, 13, 5, -0.83205029], [{ greenlistRatio: 0.5, seedingScheme: 'selfhash', contextWidth: 2 }, true, 11, 5, -0.30151134],
  ])('%j, repeated n-grams once: %j, is looked for as transformers does', (config, ignoreRepeated, tokens, greenTokens, zScore) => {
    const found = detectWatermark([7, 3, 3, 9, 12, 28, 5, 5, 1, 17, 3, 3, 9, 2], 30, config, { ignoreRepeated })
    expect(found).toEqual({ tokens, greenTokens, zScore: expect.closeTo(zScore, 6), isWatermarked: false })
  })

  test.each<WatermarkingConfig>([{ bias: 6 }, { bias: 6, seedingScheme: 'selfhash', contextWidth: 2 }])('%j is found in what was generated with it, and not in what was not', async watermarkingConfig => {
    const V = 50, model = new TableModel(V, arbitraryLogits(V, 1)), generated = async (options: object): Promise<number[]> =>
      (await generate(model, [3, 4], { maxNewTokens: 60, doSample: true, seed: 5, ...options })).newTokens[0]!
    expect(detectWatermark(await generated({ watermarkingConfig }), V, watermarkingConfig)).toMatchObject({ isWatermarked: true })
    expect(detectWatermark(await generated({}), V, watermarkingConfig)).toMatchObject({ isWatermarked: false })
  })

  test('goes into generation_config.json and back', () => {
    const model = {}, options = generationOptions({ watermarking_config: { bias: 2.5, context_width: 2, seeding_scheme: 'selfhash' } })
    expect(options).toEqual({ watermarkingConfig: { bias: 2.5, contextWidth: 2, seedingScheme: 'selfhash' } })
    setGenerationDefaults(model, options)
    expect(generationConfigOf(model)).toEqual({ watermarking_config: { bias: 2.5, context_width: 2, seeding_scheme: 'selfhash' } })
  })

  test('a setting that is out of range, or of another kind of watermark, is refused by name', () => {
    for (const [config, message] of [[{ greenlistRatio: 1 }, /greenlistRatio/], [{ contextWidth: 0 }, /contextWidth/], [{ seedingScheme: 'other' }, /lefthash/], [{ bias: NaN }, /bias/],
      [{ ngramLen: 5, keys: [1] }, /unknown setting ngramLen, keys.*Known are greenlistRatio/], [{ hashingkey: 3 }, /do you mean hashingKey/]] as const) {
      expect(() => watermark(config as WatermarkingConfig, 30)).toThrow(ConfigError)
      expect(() => watermark(config as WatermarkingConfig, 30)).toThrow(message)
    }
    expect(() => detectWatermark([1], 30)).toThrow(/1 tokens, expected more than 1/)
  })
})
