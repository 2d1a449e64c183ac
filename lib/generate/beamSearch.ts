import { Random } from '../data/random.js'
import { NumericsError } from '../errors.js'
import { logSoftmax } from '../ops/softmax.js'
import { topK } from '../ops/topK.js'
import { likeliestCandidates, sampledCandidates, type Continuations } from './beamCandidates.js'
import { BeamHypotheses, type Beam } from './beamHypotheses.js'
import type { DecodingRun } from './decodingRun.js'
import type { GenerationPrompt } from './inputs.js'
import type { GenerationPlan } from './plan.js'

/** The beams of one sentence, or of one group of them, and the rows that they have in the model's batch. */
interface Search {
  readonly sentence: number
  readonly group: number
  readonly beams: BeamHypotheses
  rows: readonly number[]
}

/** What may follow each row of the batch. */
type ContinuationsOf = (row: number) => Continuations

/**
 * Beam search over all sentences of the batch at once. The host reads, once a step, the few likeliest tokens of each beam; all
 * log-probabilities only where processors or sampling need them. A sentence whose search is done leaves the batch when a quarter of it
 * stands idle.
 * @returns for each sentence its finished beams, best first
 */
export async function beamSearch(run: DecodingRun, prompt: GenerationPrompt, plan: GenerationPlan): Promise<Beam[][]> {
  const searches = begin(prompt, plan), beamsOfGroup = plan.numBeams / plan.numBeamGroups
  // Twice as many as beams, so that enough go on where the best of them end; more where there are several ways to end.
  const count = Math.max(2, 1 + plan.ends.length) * beamsOfGroup
  const choose = prompt.texts.map((_, sentence) =>
    plan.doSample ? sampledCandidates(new Random(plan.seed, 'beam sampling', sentence)) : likeliestCandidates)
  let live = searches, ids = prompt.ids
  for (let step = 1; ; step++) {
    plan.checkAborted()
    const continuations = await readContinuations(run, ids, plan, count)
    const chosen = prompt.texts.map((): number[] => [])   // in this step, by earlier groups
    for (let group = 0; group < plan.numBeamGroups; group++) {
      const open = live.filter(search => search.group === group && !search.beams.done)
      const of = plan.processors.length > 0 ? processed(continuations, open, prompt, plan, chosen) : ({ row }: Beam) => continuations(row)
      for (const { sentence, beams } of open) {
        const candidates = choose[sentence]!(beams.running, of, count)
        if (candidates.length === 0 && beams.finished.length === 0) {
          throw new NumericsError(`no token can follow in sentence ${sentence}: the logits processors exclude every one. `
            + 'Relax suppressTokens, badWordsIds, noRepeatNgramSize, minLength or your own processors.')
        }
        chosen[sentence]!.push(...beams.advance(candidates, plan.outputScores ? beam => of(beam).logprobs : undefined))
      }
    }
    const left = live.filter(search => !search.beams.done)
    plan.options.onStep?.({ step, unfinished: new Set(left.map(search => search.sentence)).size })
    if (left.length === 0) break
    ;({ ids, live } = nextBatch(run, live, left, plan.pad))
  }
  return prompt.texts.map((_, sentence) =>
    searches.filter(search => search.sentence === sentence).flatMap(({ beams }) => beams.finished).sort((a, b) => b.score - a.score))
}

/** A sentence begins with one row, which is that of all of its groups. They come group by group: each chooses in the knowledge of those before it. */
function begin({ texts }: GenerationPrompt, plan: GenerationPlan): Search[] {
  return Array.from({ length: plan.numBeamGroups }, (_, group) => texts.map((text, sentence): Search => {
    const { lengthPenalty, earlyStopping, maxNewTokens } = plan
    const beams = new BeamHypotheses(text, sentence, {
      beams: plan.numBeams / plan.numBeamGroups, lengthPenalty, earlyStopping, maxNewTokens, grouped: plan.numBeamGroups > 1,
      isFinished: tokens => plan.isFinished(tokens, sentence, text.length),
    })
    return { sentence, group, beams, rows: [sentence] }
  })).flat()
}

async function readContinuations(run: DecodingRun, ids: Int32Array, plan: GenerationPlan, count: number): Promise<ContinuationsOf> {
  const { logprobs, tokens } = run.step(ids, logits => {
    const all = logSoftmax(logits)
    if (plan.processors.length > 0 || plan.doSample || plan.outputScores) return { logprobs: all.data(), tokens: undefined }
    const { values, indices } = topK(all, Math.min(count, all.shape[1]!))
    return { logprobs: values.data(), tokens: indices.data() }
  })
  const [values, indices] = await Promise.all([logprobs as Promise<Float32Array>, tokens as Promise<Int32Array> | undefined])
  const columns = values.length / run.rows
  return row => {
    const [from, to] = [row * columns, (row + 1) * columns]
    return { logprobs: values.subarray(from, to), tokens: indices?.subarray(from, to) }
  }
}

/** What may follow the beams of one group, after the logits processors. Groups may share rows: the processors get copies. */
function processed(
  of: ContinuationsOf, open: readonly Search[], { texts, source }: GenerationPrompt, plan: GenerationPlan, chosen: readonly number[][],
): (beam: Beam) => Continuations {
  const beams = open.flatMap(search => search.beams.running)
  const samples = open.flatMap(search => search.beams.running.map(() => search.sentence))
  const columns = beams[0] ? of(beams[0].row).logprobs.length : 0
  const logprobs = new Float32Array(beams.length * columns)
  beams.forEach(({ row }, i) => { logprobs.set(of(row).logprobs, i * columns) })
  const context = {
    rows: beams.length, vocabulary: columns, samples, promptLength: samples.map(sentence => texts[sentence]!.length),
    chosen: samples.map(sentence => [...chosen[sentence]!]), ...(source ? { sources: samples.map(sentence => source.texts[sentence]!) } : {}),
  }
  for (const process of plan.processors) process(beams.map(beam => beam.tokens), logprobs, context)
  const place = new Map(beams.map((beam, i) => [beam, i * columns]))
  return beam => ({ logprobs: logprobs.subarray(place.get(beam)!, place.get(beam)! + columns), tokens: undefined })
}

/** Arranges the running beams as the rows of the next step. */
function nextBatch(run: DecodingRun, live: readonly Search[], left: readonly Search[], pad: number): { ids: Int32Array, live: Search[] } {
  const sentenceOf: number[] = []
  for (const { sentence, rows } of live) for (const row of rows) sentenceOf[row] = sentence
  const running = left.reduce((n, search) => n + search.beams.running.length, 0)
  const idle = live.reduce((n, search) => n + (search.beams.done ? search.rows.length : 0), 0)
  const next = 4 * idle >= running + idle ? left : live
  const origin: number[] = [], tokens: number[] = [], sentences: number[] = []
  for (const search of next) {
    const { beams, sentence } = search, first = origin.length
    const rows = beams.done ? search.rows.map(row => ({ row, token: pad })) : beams.running.map(({ row, tokens }) => ({ row, token: tokens.at(-1)! }))
    for (const { row, token } of rows) {
      origin.push(row)
      tokens.push(token)
      sentences.push(sentence)
    }
    search.rows = rows.map((_, i) => first + i)
    beams.place(first)
  }
  const sameSource = sentences.length === sentenceOf.length && sentences.every((sentence, row) => sentence === sentenceOf[row])
  run.reorder(Int32Array.from(origin), sameSource)
  return { ids: Int32Array.from(tokens), live: [...next] }
}
