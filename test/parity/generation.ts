import { generate } from '#lib/generate/generate.js'
import { generationOptions, readGenerationConfig } from '#lib/generate/generationConfig.js'
import type { GenerationInputs } from '#lib/generate/inputs.js'
import { camelCase } from '#lib/generate/options.js'
import type { GenerativeModel } from '#lib/nn/decoding.js'
import type { Module } from '#lib/nn/module.js'
import type { Case } from './case.js'
import { compare, type Comparison, largest } from './compare.js'
import { ids } from './adapter.js'

/** Runs every generation of the case: sequences equal, scores of beams within 1e-4; of sampling the scores behind the first token, within 1e-4 of the largest. */
export async function compareGeneration(c: Case, model: Module): Promise<Comparison[]> {
  const results: Comparison[] = [], defaults = await readGenerationConfig(c.directory, c.config)
  for (const { name, options, inputs } of c.generate ?? []) {
    const given = { ...defaults, ...generationOptions(options) }
    const tensors = Object.fromEntries(Object.entries(inputs).map(([argument, stored]) => [camelCase(argument), ids(c, stored)]))
    const first = c.expected.get(`generate.${name}.scores`)
    const { sequences, sequencesScores, scores } = await generate(model as Module & GenerativeModel, tensors as unknown as GenerationInputs, { ...given, outputScores: first !== undefined })
    if (first) {
      const got = { shape: first.shape, data: scores!.flatMap(([row]) => [...row!]) }
      results.push(compare(`generate.${name}.scores`, got, first, 1e-4 * largest([...Array.from(first.data)].filter(Number.isFinite))))
      continue
    }
    const expected = c.expected.get(`generate.${name}.sequences`)!
    results.push(compare(`generate.${name}.sequences`, { shape: [sequences.length, sequences[0]?.length ?? 0], data: sequences.flat() }, expected, 0))
    const expectedScores = c.expected.get(`generate.${name}.sequences_scores`)
    if (expectedScores) results.push(compare(`generate.${name}.sequences_scores`, sequencesScores && { shape: [sequencesScores.length], data: sequencesScores }, expectedScores, 1e-4))
  }
  return results
}
