import { Random } from '../data/random.js'
import { NumericsError } from '../errors.js'
import { topK } from '../ops/topK.js'
import type { DecodingRun } from './decodingRun.js'
import type { GeneratedToken, GrowingTexts, TokenLogprob } from './growingTexts.js'
import type { GenerationPrompt } from './inputs.js'
import type { GenerationPlan } from './plan.js'
import { argmaxRows, distribution, sampleToken, topK as likeliest } from './sampling.js'

/** Next-token logits of each sequence, on the host. */
interface HostLogits {
  /** `[sequences * columns]` */
  readonly values: Float32Array
  readonly columns: number
  /** The token of each value; undefined where the columns are the vocabulary. */
  readonly tokens: Int32Array | undefined
}

/**
 * Tokens chosen on the host: sampled, or the likeliest after logits processors. Each sequence draws from a stream of its own, so what is
 * sampled does not depend on which others share the batch.
 */
export async function* selectedTokens(
  run: DecodingRun, prompt: GenerationPrompt, plan: GenerationPlan, texts: GrowingTexts,
): AsyncGenerator<GeneratedToken[]> {
  const random = plan.doSample ? texts.tokens.map((_, sequence) => new Random(plan.seed, 'token sampling', sequence)) : []
  const inputOf = (sequence: number) => Math.floor(sequence / plan.numReturnSequences)
  let ids = prompt.ids
  let origin = texts.rows.map(inputOf)   // the samples of one input begin with the same row of logits
  for (;;) {
    plan.checkAborted()
    const { values, columns, tokens: tokenOf } = await readLogits(run, ids, origin, plan.shortlist)
    run.reorder(origin, false)
    const { rows } = texts
    const context = {
      rows: rows.length, vocabulary: columns, samples: rows.map(inputOf), promptLength: rows.map(sequence => texts.promptLengths[sequence]!),
      ...(prompt.source ? { sources: Array.from(rows, sequence => prompt.source!.texts[inputOf(sequence)]!) } : {}),
    }
    const raw = plan.outputLogits ? values.slice() : undefined
    for (const process of plan.processors) process(Array.from(rows, sequence => texts.tokens[sequence]!), values, context)

    const row = (at: number) => values.subarray(at * columns, (at + 1) * columns)
    const chosen = plan.doSample
      ? rows.map((sequence, at) => texts.isFinished(sequence) ? 0 : sampleToken(row(at), random[sequence]!.uniform()))
      : argmaxRows(values, rows.length, columns)
    if (!plan.doSample) {
      const stuck = rows.findIndex((sequence, at) => !texts.isFinished(sequence) && row(at)[chosen[at]!] === -Infinity)
      if (stuck >= 0) throw new NumericsError(`no token can follow in sequence ${rows[stuck]!}: the logits processors exclude every one. Relax what they exclude.`)
    }
    const tokens = tokenOf ? chosen.map((column, at) => tokenOf[at * columns + column]!) : chosen
    yield texts.add(rows, tokens, at => aboutToken(plan, row(at), chosen[at]!, raw?.slice(at * columns, (at + 1) * columns)))

    if (texts.unfinished === 0) return
    const stay = texts.shrink()
    if (stay) run.reorder(stay, false)
    ids = stay ? stay.map(at => tokens[at]!) : tokens
    origin = Int32Array.from(texts.rows.keys())
  }
}

/** @param origin the row of the batch that each sequence goes on from */
async function readLogits(run: DecodingRun, ids: Int32Array, origin: Int32Array, shortlist: number | undefined): Promise<HostLogits> {
  if (shortlist === undefined) {
    const { all } = run.step(ids, logits => ({ all: logits.data() as Promise<Float32Array> }))
    return whole(await all, run.rows, origin)
  }
  const { logits, list } = run.step(ids, full => {
    const { values, indices } = topK(full, shortlist + 1)
    return { logits: full.keep(), list: Promise.all([values.data() as Promise<Float32Array>, indices.data() as Promise<Int32Array>]) }
  })
  try {
    const [values, indices] = await list
    // Tokens as likely as the last of the list belong to it, and there may be any number of them.
    const tied = origin.some(row => values[row * (shortlist + 1) + shortlist - 1] === values[row * (shortlist + 1) + shortlist])
    return tied ? whole(await logits.data() as Float32Array, run.rows, origin) : listed(values, indices, shortlist, origin)
  } finally {
    logits.dispose()
  }
}

function whole(values: Float32Array, rows: number, origin: Int32Array): HostLogits {
  const columns = values.length / rows
  if (origin.length === rows && origin.every((row, at) => row === at)) return { values, columns, tokens: undefined }
  const out = new Float32Array(origin.length * columns)
  origin.forEach((row, at) => { out.set(values.subarray(row * columns, (row + 1) * columns), at * columns) })
  return { values: out, columns, tokens: undefined }
}

/** In the order of the vocabulary, in which sampling adds up: the same token as from all logits. */
function listed(values: Float32Array, indices: Int32Array, columns: number, origin: Int32Array): HostLogits {
  const out = new Float32Array(origin.length * columns), tokens = new Int32Array(origin.length * columns)
  origin.forEach((row, at) => {
    const first = row * (columns + 1)
    const order = Array.from({ length: columns }, (_, i) => first + i).sort((a, b) => indices[a]! - indices[b]!)
    order.forEach((from, i) => {
      out[at * columns + i] = values[from]!
      tokens[at * columns + i] = indices[from]!
    })
  })
  return { values: out, columns, tokens }
}

/** What else is said of a token. @param row the processed logits that it was chosen from @param column its place there @param logits as the model gave them */
export function aboutToken(plan: GenerationPlan, row: Float32Array, column: number, logits: Float32Array | undefined): Omit<GeneratedToken, 'sequence' | 'token' | 'last'> {
  return {
    ...(plan.logprobs ? { logprob: logprobs(row, [column])[0]!.logprob } : {}),
    ...(plan.topLogprobs > 0 ? { topLogprobs: logprobs(row, likeliest(row, plan.topLogprobs)) } : {}),
    ...(plan.outputScores ? { scores: row.slice() } : {}), ...(logits ? { logits } : {}),
  }
}

function logprobs(row: Float32Array, columns: Iterable<number>): TokenLogprob[] {
  const normal = distribution(row), shift = normal ? normal.max + Math.log(normal.total) : 0
  return Array.from(columns, token => ({ token, logprob: normal ? row[token]! - shift : -Infinity }))
}
