import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { generate } from '#lib/generate/generate.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import { TableModel } from './tableModel.js'

interface Case {
  table: number[], prompts: number[][], options: Record<string, unknown>, sequences: number[][], scores?: number[]
  /** null: excluded, or behind the end. */
  logprobs: (number | null)[][], step_scores?: (number | null)[][][], step_logits?: number[][][]
}

// Written by transformersCases.py.
const file = join(process.cwd(), 'test', 'generate', 'transformersCases.json')
const { vocabulary: V, cases } = JSON.parse(readFileSync(file, 'utf8')) as { vocabulary: number, cases: Case[] }

/** For comparisons within 1e-3. */
const close = (value: number | null): unknown => value === null ? null : expect.closeTo(value, 3)

const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

cases.forEach(({ table, prompts, options, sequences, scores, logprobs, step_scores, step_logits }, number) => {
  test(`case ${number} is generated as transformers does: ${JSON.stringify(options)}`, async () => {
    const model = new TableModel(V, tokens => {
      const row = V * tokens.at(-2)! + tokens.at(-1)!
      return table.slice(V * row, V * (row + 1)).map(value => value / 64)
    })
    const camel = Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value])) as GenerationOptions
    const found = await generate(model, prompts, { ...camel, logprobs: true, outputScores: step_scores !== undefined, outputLogits: step_logits !== undefined })
    // transformers fills up with beams of -1e9 where there are no more; we say that there are none.
    const real = sequences.map((_, i) => !scores || scores[i]! > -1e6)
    const unpadded = (rows: number[][]) => rows.filter((_, i) => real[i])
    expect(unpadded(found.sequences)).toEqual(unpadded(sequences))
    found.newTokens.forEach((tokens, i) => {
      if (real[i]) tokens.forEach((_, step) => { expect(found.logprobs![i]![step]!).toBeCloseTo(logprobs[i]![step]!, 3) })
      for (const [kept, expected] of [[found.scores, step_scores], [found.logits, step_logits]] as const)
        if (expected) tokens.forEach((_, step) => { expect(Array.from(kept![i]![step]!, x => x === -Infinity ? null : x)).toEqual(expected[step]![i]!.map(close)) })
    })
    if (scores) {
      scores.forEach((score, i) => {
        if (real[i]) expect(found.sequencesScores![i]!).toBeCloseTo(score, 4)
        else expect(found.sequencesScores![i]!).toBe(-Infinity)
      })
    }
  })
})
