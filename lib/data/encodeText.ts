import { ConfigError, DataError } from '../errors.js'
import { EventLoopTurns } from '../eventLoop.js'
import { type DataReport, emptyReport } from './dataReport.js'
import type { Pair } from './lineFormats.js'
import { requireSome } from './linePolicy.js'
import { ParallelText } from './parallelText.js'
import { TextSamples } from './plainText.js'
import { TokenSequences } from './tokenSequences.js'

/** What is needed of a tokenizer: text to ids, without the start and end tokens, which batches add. */
export interface TokenEncoder { encode(text: string): { readonly ids: ArrayLike<number> } }

export interface EncodeOptions {
  /**
   * The longest sequence that the model takes, with the one token (start or end) that batches add: at most `maxLength - 1` ids of text a
   * side. Default: no bound.
   */
  maxLength?: number
  /** What to do with longer examples: leave them out, cut them off, or throw. What happened is counted in the report. Default 'skip'. */
  policy?: 'skip' | 'truncate' | 'error'
}

/** Parallel text as token ids, in compact storage: `source.at(i)` belongs to `target.at(i)`. */
export interface EncodedPairs {
  readonly length: number
  readonly source: TokenSequences
  readonly target: TokenSequences
  /** As in `EncodeOptions`; Infinity if there is no bound. */
  readonly maxLength: number
  /** From the lines of the files, where these pairs were streamed from files, to the examples kept. */
  readonly report: DataReport
}

/**
 * Encodes pairs as they stream by; the text itself is not kept.
 * @param tokenizer of both sides, or one for each
 * @throws DataError if no pair is left, or one is too long under policy 'error'   @throws ConfigError for options out of range
 * @throws TokenizerError if the tokenizer gives something else than ids
 */
export async function encodeParallel(
  pairs: Iterable<Pair> | AsyncIterable<Pair>,
  tokenizer: TokenEncoder | { source: TokenEncoder, target: TokenEncoder },
  options: EncodeOptions = {},
): Promise<EncodedPairs> {
  const { maxLength = Infinity, policy = 'skip' } = checked(options)
  const coders = 'encode' in tokenizer ? { source: tokenizer, target: tokenizer } : tokenizer
  const source = new TokenSequences(), target = new TokenSequences()
  const report = emptyReport()
  const turns = new EventLoopTurns()
  for await (const pair of pairs) {
    if (turns.isDue) await turns.giveIfDue()
    report.read++
    const sourceIds = coders.source.encode(pair.source).ids, targetIds = coders.target.encode(pair.target).ids
    const longest = Math.max(sourceIds.length, targetIds.length)
    if (sourceIds.length === 0 || targetIds.length === 0) { report.empty++; continue }
    if (longest >= maxLength) {
      if (policy === 'error') {
        throw new DataError(`pair ${report.read} has ${longest} tokens, ${longest + 1} with start or end: more than maxLength ${maxLength} `
          + `(${shortened(pair.source)}). `
          + "Leave such pairs out with policy: 'skip', cut them off with 'truncate', or raise maxLength")
      }
      if (policy === 'skip') { report.tooLong++; continue }
      report.truncated++
    }
    source.push(sourceIds, Math.min(sourceIds.length, maxLength - 1))
    target.push(targetIds, Math.min(targetIds.length, maxLength - 1))
    report.kept++
  }
  const whole = pairs instanceof ParallelText ? joined(pairs.report, report) : report
  requireSome(whole, `pairs of at most ${maxLength} tokens a side`)
  return { length: source.length, source, target, maxLength, report: whole }
}

export interface EncodeDocumentsOptions {
  /** Id that is put after each sample. Default: none, samples follow each other directly. */
  separator?: number
}

/** A text for language modelling, as one stream of ids. */
export interface TokenStream { readonly ids: Uint16Array | Int32Array, readonly report: DataReport }

/**
 * Encodes a text (a string), or samples as they stream by, into one stream of ids for `LanguageModelBatches`.
 * @throws DataError if there is no token at all   @throws TokenizerError if the tokenizer gives something else than ids
 */
export async function encodeDocuments(
  text: string | Iterable<string> | AsyncIterable<string>, tokenizer: TokenEncoder, { separator }: EncodeDocumentsOptions = {},
): Promise<TokenStream> {
  const tokens = new TokenSequences(), report = emptyReport()
  for await (const sample of typeof text === 'string' ? [text] : text) {
    report.read++
    const { ids } = tokenizer.encode(sample)
    if (ids.length === 0) { report.empty++; continue }
    report.kept++
    tokens.push(ids)
    if (separator !== undefined) tokens.push([separator])
  }
  const whole = text instanceof TextSamples ? joined(text.report, report) : report
  requireSome(whole, 'text')
  return { ids: tokens.all(), report: whole }
}

function checked(options: EncodeOptions): EncodeOptions {
  const { maxLength = Infinity, policy = 'skip' } = options
  if (maxLength !== Infinity && (!Number.isInteger(maxLength) || maxLength < 2)) {
    throw new ConfigError(`maxLength is ${maxLength}, expected an integer of at least 2`)
  }
  if (!['skip', 'truncate', 'error'].includes(policy)) {
    throw new ConfigError(`policy is '${String(policy)}', expected 'skip', 'truncate' or 'error'`)
  }
  return options
}

// What a reader dropped never reached the encoder: their counts add up, `read` being the reader's.
function joined(lines: DataReport, examples: DataReport): DataReport {
  return {
    ...lines, kept: examples.kept, empty: lines.empty + examples.empty, tooLong: lines.tooLong + examples.tooLong, truncated: examples.truncated,
  }
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
