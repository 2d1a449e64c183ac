import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { generate } from '#lib/generate/generate.js'
import { camelCase, type GenerationOptions } from '#lib/generate/options.js'
import { arbitraryLogits, logProbabilities, TableModel, type LogitsTable } from './tableModel.js'

interface Case { table: number[], prompts: number[][], options: Record<string, unknown>, sequences: number[][], scores: number[] }

// Written by groupBeamCases.py.
const { vocabulary: V, cases } = JSON.parse(readFileSync(join(process.cwd(), 'test', 'generate', 'groupBeamCases.json'), 'utf8')) as { vocabulary: number, cases: Case[] }

cases.forEach(({ table, prompts, options, sequences, scores }, number) => {
  test(`case ${number} has the beams of transformers: ${JSON.stringify(options)}`, async () => {
    const model = new TableModel(V, tokens => {
      const row = V * tokens.at(-2)! + tokens.at(-1)!
      return table.slice(V * row, V * (row + 1)).map(value => value / 64)
    })
    const camel = Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value])) as GenerationOptions
    const found = await generate(model, prompts, camel)
    const real = sequences.map((_, i) => scores[i]! > -1e6)
    const kept = (rows: readonly number[][]) => rows.filter((_, i) => real[i])
    // Whichever end token came, transformers 4.49 writes the first.
    const [end = 1, ...others] = [options['eos_token_id'] as number | number[]].flat()
    expect(kept(found.sequences.map(row => row.map((token, at) => at >= 2 && others.includes(token) ? end : token)))).toEqual(kept(sequences))
    scores.forEach((score, i) => { if (real[i]) expect(found.sequencesScores![i]!).toBeCloseTo(score, 4) })
  })
})

/** The definition (Vijayakumar et al. 2016, eq. 4 and algorithm 1), for texts that do not end: one group after the other, every extension of its beams, the best of them. */
function diverseBeams(logits: LogitsTable, prompt: readonly number[], steps: number, groups: number, size: number, penalty: number): { tokens: number[], score: number }[][] {
  let beams = Array.from({ length: groups }, () => [{ tokens: [...prompt], score: 0 }])
  for (let step = 0; step < steps; step++) {
    const taken: number[] = []
    beams = beams.map(group => {
      const next = group.flatMap(({ tokens, score }) => logProbabilities(logits(tokens, [])).map((logprob, token) =>
        ({ tokens: [...tokens, token], score: score + logprob - penalty * taken.filter(other => other === token).length })))
      const best = next.sort((a, b) => b.score - a.score).slice(0, size)
      taken.push(...best.map(({ tokens }) => tokens.at(-1)!))
      return best
    })
  }
  return beams
}

test('groups are those of the definition', async () => {
  for (let seed = 0; seed < 10; seed++) {
    const logits = arbitraryLogits(7, seed), [groups, size, penalty] = [2 + seed % 2, 1 + seed % 3, 0.2 + seed / 5]
    const { sequences, sequencesScores } = await generate(new TableModel(7, logits), [2, 3],
      { maxNewTokens: 4, numBeams: groups * size, numBeamGroups: groups, numReturnSequences: groups * size, diversityPenalty: penalty, lengthPenalty: 0 })
    const expected = diverseBeams(logits, [2, 3], 4, groups, size, penalty).flat().sort((a, b) => b.score - a.score)
    expect(sequences).toEqual(expected.map(({ tokens }) => tokens))
    sequencesScores!.forEach((score, i) => { expect(score).toBeCloseTo(expected[i]!.score, 4) })
  }
})

test('beams that are sampled come with the probabilities of whole texts', async () => {
  // One beam of two, drawn from all texts of two tokens without replacement: each text's share is that of the definition.
  const logits = arbitraryLogits(4, 3), model = new TableModel(4, logits), seen = new Map<string, number>(), runs = 3000
  const first = logProbabilities(logits([2], []))
  for (let seed = 0; seed < runs; seed++) {
    const { newTokens } = await generate(model, [2], { maxNewTokens: 1, doSample: true, numBeams: 2, numReturnSequences: 2, seed })
    const key = [...newTokens.flat()].sort((a, b) => a - b).join(' ')
    seen.set(key, (seen.get(key) ?? 0) + 1)
  }
  // P({a, b}) = p(a) p(b) / (1 - p(a)) + p(b) p(a) / (1 - p(b))
  for (let a = 0; a < 4; a++) {
    for (let b = a + 1; b < 4; b++) {
      const [p, q] = [Math.exp(first[a]!), Math.exp(first[b]!)], share = p * q / (1 - p) + p * q / (1 - q)
      expect(Math.abs((seen.get(`${a} ${b}`) ?? 0) / runs - share)).toBeLessThan(4 * Math.sqrt(share * (1 - share) / runs))
    }
  }
})
