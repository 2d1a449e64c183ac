import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generate } from '#lib/generate/generate.js'
import type { GenerationInputs } from '#lib/generate/inputs.js'
import type { GenerativeModel } from '#lib/nn/decoding.js'
import type { Module } from '#lib/nn/module.js'
import type { Case } from './case.js'
import { compare, type Comparison } from './compare.js'
import { ids } from './adapter.js'

const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** What transformers takes for options that a call does not give: those of the case's generation_config.json, or of config.json where there is none. */
async function defaultsOf(c: Case): Promise<Record<string, unknown>> {
  const text = await readFile(join(c.directory, 'generation_config.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return Object.fromEntries((['eos_token_id', 'pad_token_id', 'bos_token_id', 'decoder_start_token_id'] as const).map(key => [key, c.config[key]]))
  return Object.fromEntries(Object.entries(JSON.parse(text) as Record<string, unknown>).filter(([key]) => !/^_|^output_|^use_cache$|^transformers_version$/.test(key)))
}

/** Runs every generation of the case: sequences equal, scores of beams within 1e-4. */
export async function compareGeneration(c: Case, model: Module): Promise<Comparison[]> {
  const results: Comparison[] = [], defaults = c.generate ? await defaultsOf(c) : {}
  for (const { name, options, inputs } of c.generate ?? []) {
    const given = Object.fromEntries(Object.entries({ ...defaults, ...options }).filter(([, value]) => value !== null).map(([key, value]) => [camelCase(key), value]))
    const tensors = Object.fromEntries(Object.entries(inputs).map(([argument, stored]) => [camelCase(argument), ids(c, stored)]))
    const { sequences, sequencesScores } = await generate(model as Module & GenerativeModel, tensors as unknown as GenerationInputs, given)
    const expected = c.expected.get(`generate.${name}.sequences`)!
    results.push(compare(`generate.${name}.sequences`, { shape: [sequences.length, sequences[0]?.length ?? 0], data: sequences.flat() }, expected, 0))
    const expectedScores = c.expected.get(`generate.${name}.sequences_scores`)
    if (expectedScores) results.push(compare(`generate.${name}.sequences_scores`, sequencesScores && { shape: [sequencesScores.length], data: sequencesScores }, expectedScores, 1e-4))
  }
  return results
}
