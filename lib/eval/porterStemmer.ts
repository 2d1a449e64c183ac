/**
 * The Porter stemmer with NLTK's extensions, which is what the ROUGE scores in the literature are computed with (rouge_score uses it).
 * @param word a lower-case word of a-z and 0-9
 * @returns its stem; words of one or two letters are their own
 * @see Porter 1980, An algorithm for suffix stripping, Program 14(3); the step names are the paper's
 */
export function porterStem(word: string): string {
  const irregular = irregulars.get(word)
  if (irregular !== undefined) return irregular
  if (word.length <= 2) return word
  return step5b(step5a(step4(step3(step2(step1c(step1b(step1a(word))))))))
}

const irregulars = new Map(Object.entries({
  sky: 'sky', skies: 'sky', dying: 'die', lying: 'lie', tying: 'tie', news: 'news', innings: 'inning', inning: 'inning', outings: 'outing',
  outing: 'outing', cannings: 'canning', canning: 'canning', howe: 'howe', proceed: 'proceed', exceed: 'exceed', succeed: 'succeed',
}))

/** One letter for each of the word's: v for a vowel (also y after a consonant), c for anything else. */
function shape(word: string): string {
  let letters = ''
  for (const letter of word) {
    const vowel = letter === 'y' ? letters.endsWith('c') : 'aeiou'.includes(letter)
    letters += vowel ? 'v' : 'c'
  }
  return letters
}

/** The paper's m: how often a consonant follows a vowel. */
function measure(stem: string): number {
  return shape(stem).split('vc').length - 1
}

/** The paper's *o: ends consonant, vowel, consonant, the last not w, x or y. NLTK adds words of one vowel and one consonant. */
function endsInShortSyllable(stem: string): boolean {
  const letters = shape(stem)
  return letters === 'vc' || (letters.endsWith('cvc') && !'wxy'.includes(stem.at(-1)!))
}

/** `suffix:replacement` pairs; the first suffix that fits is the only one tried. */
type Rules = readonly (readonly [suffix: string, replacement: string])[]

function rules(text: string): Rules {
  return text.split(' ').map((rule) => rule.split(':') as [string, string])
}

function replaceSuffix(word: string, list: Rules, condition: (stem: string, suffix: string) => boolean): string {
  const rule = list.find(([suffix]) => word.endsWith(suffix))
  if (rule === undefined) return word
  const stem = word.slice(0, word.length - rule[0].length)
  return condition(stem, rule[0]) ? stem + rule[1] : word
}

const plurals = rules('sses:ss ies:i ss:ss s:')

function step1a(word: string): string {
  if (word.length === 4 && word.endsWith('ies')) return word.slice(0, -1) // dies, not flies
  return replaceSuffix(word, plurals, () => true)
}

const participles = rules('at:ate bl:ble iz:ize')

function step1b(word: string): string {
  if (word.endsWith('ied')) return word.slice(0, word.length === 4 ? -1 : -2)
  if (word.endsWith('eed')) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word
  const suffix = ['ed', 'ing'].find((ending) => word.endsWith(ending) && shape(word.slice(0, -ending.length)).includes('v'))
  if (suffix === undefined) return word
  const stem = word.slice(0, -suffix.length)
  const restored = replaceSuffix(stem, participles, () => true)
  if (restored !== stem) return restored
  const last = stem.at(-1)!
  if (last === stem.at(-2) && shape(stem).endsWith('c')) return 'lsz'.includes(last) ? stem : stem.slice(0, -1)
  return measure(stem) === 1 && endsInShortSyllable(stem) ? stem + 'e' : stem
}

/** NLTK's condition in the place of the paper's "contains a vowel": enjoy stays. */
function step1c(word: string): string {
  return replaceSuffix(word, [['y', 'i']], (stem) => stem.length > 1 && shape(stem).endsWith('c'))
}

const doubleSuffixes = rules('ational:ate tional:tion enci:ence anci:ance izer:ize bli:ble alli:al entli:ent eli:e ousli:ous ization:ize ' +
  'ation:ate ator:ate alism:al iveness:ive fulness:ful ousness:ous aliti:al iviti:ive biliti:ble fulli:ful logi:log')

function step2(word: string): string {
  // -ally goes first, and what is left may end in another of these suffixes.
  if (word.endsWith('alli') && measure(word.slice(0, -4)) > 0) return step2(word.slice(0, -2))
  // The l of -logy belongs to the stem, so that geo- and theo- are long enough.
  return replaceSuffix(word, doubleSuffixes, (stem, suffix) => measure(suffix === 'logi' ? stem + 'l' : stem) > 0)
}

const adjectives = rules('icate:ic ative: alize:al iciti:ic ical:ic ful: ness:')

function step3(word: string): string {
  return replaceSuffix(word, adjectives, (stem) => measure(stem) > 0)
}

const residualSuffixes = rules('al: ance: ence: er: ic: able: ible: ant: ement: ment: ent: ion: ou: ism: ate: iti: ous: ive: ize:')

function step4(word: string): string {
  return replaceSuffix(word, residualSuffixes, (stem, suffix) => measure(stem) > 1 && (suffix !== 'ion' || /[st]$/.test(stem)))
}

function step5a(word: string): string {
  return replaceSuffix(word, [['e', '']], (stem) => measure(stem) > 1 || (measure(stem) === 1 && !endsInShortSyllable(stem)))
}

function step5b(word: string): string {
  return replaceSuffix(word, [['ll', 'l']], (stem) => measure(stem + 'l') > 1)
}
