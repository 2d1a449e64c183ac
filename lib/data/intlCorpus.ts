import { ConfigError } from '../errors.js'
import { type Phrase, commonNames, phraseKinds, singleNames } from './intlPhrases.js'
import { LocaleVoice } from './localeVoice.js'
import { Random } from './random.js'

export interface IntlCorpusOptions {
  /** Locale of the source side. Default `en`. */
  source?: string
  /** Locale of the target side. Default `ko`. */
  target?: string
  /** Default 0. */
  seed?: number
  /** Pairs altogether, at least 5,000. Default 32,000. */
  size?: number
  /** Pairs of `size` for validation, and as many for testing. Default 1,000, at most a tenth of `size`. */
  held?: number
}

export interface IntlPair { source: string, target: string, category: string }

export interface IntlCorpus {
  train: IntlPair[]
  validation: IntlPair[]
  test: IntlPair[]
  /** Versions of the data behind the phrases: the same versions, options and seed give the same corpus. */
  icu: string
  cldr: string
  /** Pairs of each category and split. */
  categories: { name: string, train: number, validation: number, test: number }[]
}

/**
 * A parallel corpus made of the Intl (CLDR) data inside Node: dates, times, measures, money, numbers, lists, names of regions and languages
 * in two locales.
 * No text occurs twice on either side. Phrases of `validation` and `test` are unseen on both sides, while every word and number of theirs
 * occurs in `train`:
 * they measure whether the model puts known parts together, not whether it remembers.
 * @throws ConfigError for a locale that this Node has no data of (small ICU), equal locales, or sizes out of range
 */
export function intlCorpus(options: IntlCorpusOptions = {}): IntlCorpus {
  const { source = 'en', target = 'ko', seed = 0, size = 32_000 } = options, { held = Math.min(1000, Math.floor(size / 20)) } = options
  if (!Number.isInteger(size) || size < 5000) throw new ConfigError(`the embedded corpus needs a size of at least 5000 pairs, got ${size}`)
  if (!Number.isInteger(held) || held < 1 || held > size / 10) {
    throw new ConfigError(`held is ${held}, expected 1 to a tenth of size (${Math.floor(size / 10)})`)
  }
  const voices = { source: voiceOf(source), target: voiceOf(target) }
  if (voices.source.name('language', 'de') === voices.target.name('language', 'de')) {
    throw new ConfigError(`source '${source}' and target '${target}' are the same language; the embedded corpus translates between two`)
  }

  const pairs = drawPairs(voices, size, seed)
  const heldOut = holdOut(pairs, 2 * held)
  const validation = heldOut.filter((_, i) => i % 2 === 0), test = heldOut.filter((_, i) => i % 2 === 1)
  const unseen = new Set(heldOut)
  const train = new Random(seed, 'intl corpus order').shuffle(pairs.filter(pair => !unseen.has(pair)))
  return { train, validation, test, icu: process.versions['icu']!, cldr: process.versions['cldr']!, categories: tally({ train, validation, test }) }
}

const single = 'single name'

// All single names, then phrases of kinds drawn by share, leaving out those of which one side exists already.
function drawPairs(voices: { source: LocaleVoice, target: LocaleVoice }, size: number, seed: number): IntlPair[] {
  const names = commonNames(voices.source, voices.target)
  const pairs: IntlPair[] = [], sources = new Set<string>(), targets = new Set<string>()
  const add = (category: string, phrase: Phrase) => {
    const pair = { source: phrase(voices.source), target: phrase(voices.target), category }
    if (pair.source === '' || pair.target === '' || sources.has(pair.source) || targets.has(pair.target)) return
    sources.add(pair.source)
    targets.add(pair.target)
    pairs.push(pair)
  }
  for (const phrase of singleNames(names)) add(single, phrase)
  const random = new Random(seed, 'intl corpus'), lots = phraseKinds.flatMap(kind => Array<typeof kind>(kind.share).fill(kind))
  for (let draws = 0; pairs.length < size; draws++) {
    if (draws === 4 * size) {
      throw new ConfigError(`the embedded corpus has about ${pairs.length} distinct pairs for these locales, ${size} were asked for. `
        + 'Ask for fewer (size)')
    }
    const kind = random.pick(lots)
    add(kind.name, kind.draw(random, names))
  }
  return pairs
}

// The first drawn pairs whose every word and number stays in training, `seen` times at least.
function holdOut(pairs: IntlPair[], count: number): IntlPair[] {
  const seen = 3, left = new Map<string, number>()
  for (const pair of pairs) for (const part of parts(pair)) left.set(part, (left.get(part) ?? 0) + 1)
  const held: IntlPair[] = []
  for (const pair of pairs) {
    if (held.length === count) break
    const used = parts(pair)
    if (pair.category === single || used.some(part => left.get(part)! <= seen)) continue
    for (const part of used) left.set(part, left.get(part)! - 1)
    held.push(pair)
  }
  return held
}

// Words and runs of digits of both sides, each once.
function parts({ source, target }: IntlPair): string[] {
  const runs = (side: string, text: string) => (text.match(/[\p{L}\p{M}]+|\p{N}+/gu) ?? []).map(run => `${side} ${run}`)
  return [...new Set([...runs('source', source), ...runs('target', target)])]
}

function tally(splits: Record<'train' | 'validation' | 'test', IntlPair[]>): IntlCorpus['categories'] {
  return [single, ...phraseKinds.map(kind => kind.name)].map(name => {
    const count = (pairs: IntlPair[]) => pairs.filter(pair => pair.category === name).length
    return { name, train: count(splits.train), validation: count(splits.validation), test: count(splits.test) }
  })
}

/** @throws ConfigError unless this Node has the data of the locale; a Node with English alone would "translate" English to English */
function voiceOf(locale: string): LocaleVoice {
  const node = `this Node (${process.version}, ICU ${process.versions['icu'] ?? 'absent'})`
  if (process.versions['icu'] === undefined || Intl.DateTimeFormat.supportedLocalesOf(['de', 'ja', 'ko']).length < 3) {
    throw new ConfigError(`${node} has no full locale data, which the embedded corpus is made of. `
      + 'Use a build of Node with full ICU (those of nodejs.org have it), or your own parallel text')
  }
  let supported: string[]
  try {
    supported = Intl.DateTimeFormat.supportedLocalesOf([locale])
  } catch (error) {
    throw new ConfigError(`'${locale}' is no locale; expected a language tag such as 'ko', 'de' or 'pt-BR'`, { cause: error })
  }
  if (supported.length === 0) {
    throw new ConfigError(`${node} has no data of the locale '${locale}'. Choose another, such as 'ko', 'de', 'fr', 'ja' or 'es'`)
  }
  return new LocaleVoice(locale)
}
