import type { LocaleVoice, NameKind } from './localeVoice.js'
import type { Random } from './random.js'

/** A phrase without words yet: said by two voices, it is a sentence and its translation. */
export type Phrase = (voice: LocaleVoice) => string

/** A kind of phrase, drawn at random. `share` is its part of the corpus. */
export interface PhraseKind { name: string, share: number, draw: (random: Random, names: Names) => Phrase }

/** Codes of which both locales have a name. */
export type Names = Record<NameKind, readonly string[]>

/** What phrases are put together of. Each draws uniformly from far more combinations than a corpus holds, out of words that come many times. */
export const phraseKinds: readonly PhraseKind[] = [
  // Tuesday, March 3, 2015
  { name: 'date', share: 12, draw: random => {
    const date = anyDate(random), options = random.pick(dateStyles)
    return voice => voice.date(options, date)
  } },
  // Tuesday, March 3, 2015 at 4:05 PM
  { name: 'date and time', share: 14, draw: random => {
    const date = anyTime(random), options = random.pick(dateTimeStyles)
    return voice => voice.date(options, date)
  } },
  // 4:05 in the afternoon
  { name: 'time', share: 3, draw: random => {
    const date = anyTime(random), options = random.pick(timeStyles)
    return voice => voice.date(options, date)
  } },
  // March 3 – May 13, 2015
  { name: 'date range', share: 8, draw: random => {
    const from = anyDate(random), options = random.pick(rangeStyles)
    const to = new Date(from.getTime() + (1 + random.integer(random.pick([20, 150, 1500]))) * day)
    return voice => voice.dateRange(options, from, to)
  } },
  // 44 Before Christ; March 3, 27 Heisei
  { name: 'era', share: 3, draw: random => {
    if (random.integer(2) === 0) {
      const date = new Date(Date.UTC(2000, 5, 1))
      date.setUTCFullYear(random.integer(4000) - 1999)
      return voice => voice.date({ year: 'numeric', era: 'long' }, date)
    }
    const date = anyDate(random)
    return voice => voice.date({ calendar: 'japanese', era: 'long', year: 'numeric', month: 'long', day: 'numeric' }, date)
  } },
  // in 5 weeks; yesterday
  { name: 'relative time', share: 3, draw: relativeTime },
  // 3 days ago, yesterday, or in 2 hours
  { name: 'list of relative times', share: 4, draw: random => listOf(random, twoOrThree(random, () => relativeTime(random))) },
  // 1,234.5 kilometers per hour
  { name: 'measure', share: 9, draw: random => {
    const value = anyNumber(random), options = unitStyle(random.pick([...units, ...compoundUnits]))
    return voice => voice.number(options, value)
  } },
  // 3–5 liters
  { name: 'measure range', share: 4, draw: random => {
    const from = count(random), to = from + 1 + random.integer(50), options = unitStyle(random.pick(units))
    return voice => voice.numberRange(options, from, to)
  } },
  // 3 hours, 5 minutes; 5 feet, 10 inches
  { name: 'composed measure', share: 6, draw: random => {
    const chain = random.pick(unitChains), first = random.integer(chain.length - 1)
    const parts = chain.slice(first, first + 2 + random.integer(2)).map(([unit, most], i) => ({
      options: unitStyle(unit), value: i === 0 ? count(random) : 1 + random.integer(most),
    }))
    return voice => voice.list('unit', parts.map(({ options, value }) => voice.number(options, value)))
  } },
  // 1,250.50 Swiss francs
  { name: 'amount of money', share: 8, draw: amount },
  // 20 euros and 5 US dollars
  { name: 'list of amounts', share: 3, draw: (random, names) => listOf(random, twoOrThree(random, () => amount(random, names))) },
  // 34.5%; 1,234
  { name: 'number', share: 2, draw: random => {
    const value = anyNumber(random)
    if (random.integer(2) === 0) return voice => voice.number({}, value)
    return voice => voice.number({ style: 'percent', maximumFractionDigits: 1 }, value / 100)
  } },
  // 1.2 million. Two digits, as locales that count in ten thousands round elsewhere
  { name: 'large number', share: 2, draw: random => {
    const value = (1 + random.integer(99)) * 10 ** (3 + random.integer(10))
    return voice => voice.number({ notation: 'compact', compactDisplay: 'long' }, value)
  } },
  // Switzerland, Japan, and Brazil
  { name: 'list of regions', share: 7, draw: (random, names) => listOfNames(random, 'region', names) },
  // German, Korean, or Welsh
  { name: 'list of languages', share: 5, draw: (random, names) => listOfNames(random, 'language', names) },
  // Serbian (Cyrillic, Montenegro)
  { name: 'language of a region', share: 5, draw: (random, names) => {
    const script = random.integer(3) === 0 ? `-${random.pick(names.script)}` : ''
    const region = script === '' || random.integer(2) === 0 ? `-${random.pick(names.region)}` : ''
    return named('language', random.pick(names.language) + script + region)
  } },
  // Monday, Wednesday, and Friday; March or April
  { name: 'list of days or months', share: 2, draw: random => {
    const among = random.integer(2) === 0 ? weekdays : months
    return listOf(random, some(random, [...among.keys()]).sort((a, b) => a - b).map(i => among[i]!))
  } },
]

/** Every single name: what the phrases of names are made of. Said once each in training, they are too easy to test. */
export function singleNames(names: Names): Phrase[] {
  return [...(Object.keys(names) as NameKind[]).flatMap(kind => names[kind].map(code => named(kind, code))), ...months, ...weekdays]
}

/** The codes that both voices have a name for. */
export function commonNames(a: LocaleVoice, b: LocaleVoice): Names {
  const common = (kind: NameKind) => codes[kind].split(' ').filter(code => a.name(kind, code) !== undefined && b.name(kind, code) !== undefined)
  return {
    region: common('region'), language: common('language'), script: common('script'),
    currency: common('currency'), dateTimeField: common('dateTimeField'), calendar: common('calendar'),
  }
}

// Those that text speaks of most: few enough that a model meets each of them some hundred times in a minute of training.
const codes: Record<NameKind, string> = {
  region: 'AE AF AO AR AT AU BD BE BG BO BR CA CH CI CL CM CN CO CR CU CZ DE DK DO DZ EC EE EG ES ET FI FR GB GE GH GR GT HK HR HU '
    + 'ID IE IL IN IQ IR IS IT JM JO JP KE KH KR KW KZ LA LB LK LT LU LV LY MA MG ML MM MN MX MY MZ NG NL NO NP NZ OM PA PE PH '
    + 'PK PL PT PY QA RO RS RU SA SD SE SG SI SK SN SY TH TN TR TW TZ UA UG US UY UZ VE VN YE ZA ZM ZW',
  language: 'af am ar az bg bn bo ca cs cy da de el en eo es et eu fa fi fr ga gl gu ha he hi hr hu hy id is it ja ka kk km kn ko ku '
    + 'la lo lt lv mi mn mr ms mt my ne nl no pa pl ps pt ro ru sa sk sl so sq sr sv sw ta te th tr uk ur uz vi yi yo zh zu',
  script: 'Arab Armn Beng Cyrl Deva Geor Grek Hebr Latn Mong Thai',
  currency: 'AED ARS AUD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JPY KES KRW MAD MXN MYR NGN NOK NZD PEN PHP '
    + 'PKR PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR',
  dateTimeField: 'era year quarter month weekOfYear weekday day dayPeriod hour minute second timeZoneName',
  calendar: 'buddhist chinese coptic dangi ethiopic gregory hebrew indian islamic iso8601 japanese persian roc',
}

const day = 24 * 60 * 60 * 1000

// Of 2001, whose first of January was a Monday.
const months: readonly Phrase[] = Array.from({ length: 12 }, (_, i) =>
  voice => voice.date({ month: 'long' }, new Date(Date.UTC(2001, i, 1))))
const weekdays: readonly Phrase[] = Array.from({ length: 7 }, (_, i) =>
  voice => voice.date({ weekday: 'long' }, new Date(Date.UTC(2001, 0, 1 + i))))

const dateStyles: readonly Intl.DateTimeFormatOptions[] = [
  { dateStyle: 'full' }, { dateStyle: 'long' }, { month: 'long', day: 'numeric' },
  { weekday: 'long', month: 'long', day: 'numeric' }, { year: 'numeric', month: 'long' },
]
const dateTimeStyles: readonly Intl.DateTimeFormatOptions[] = [
  { dateStyle: 'full', timeStyle: 'short' }, { dateStyle: 'long', timeStyle: 'short' },
  { month: 'long', day: 'numeric', hour: 'numeric', minute: 'numeric' },
  { month: 'long', day: 'numeric', hour: 'numeric', minute: 'numeric', dayPeriod: 'long' },
]
const timeStyles: readonly Intl.DateTimeFormatOptions[] = [
  { timeStyle: 'short' }, { timeStyle: 'medium' }, { hour: 'numeric', minute: 'numeric', dayPeriod: 'long' },
]
const rangeStyles: readonly Intl.DateTimeFormatOptions[] = [
  { dateStyle: 'long' }, { month: 'long', day: 'numeric' }, { year: 'numeric', month: 'long' },
]

const units = [
  'kilometer', 'meter', 'centimeter', 'millimeter', 'mile', 'yard', 'foot', 'inch', 'kilogram', 'gram', 'pound', 'ounce', 'liter',
  'milliliter', 'gallon', 'hectare', 'acre', 'celsius', 'fahrenheit', 'byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte',
  'second', 'minute', 'hour', 'day', 'week', 'month', 'year',
]
const compoundUnits = [
  'kilometer-per-hour', 'meter-per-second', 'mile-per-hour', 'mile-per-gallon', 'liter-per-minute', 'gram-per-liter',
  'kilogram-per-month', 'megabyte-per-second', 'liter-per-day',
]
// Units with how many of them, at most, follow the unit before.
const unitChains: readonly (readonly (readonly [string, number])[])[] = [
  [['year', 99], ['month', 11], ['day', 30]], [['week', 99], ['day', 6], ['hour', 23]], [['day', 99], ['hour', 23], ['minute', 59]],
  [['hour', 99], ['minute', 59], ['second', 59]], [['kilometer', 99], ['meter', 999]], [['meter', 99], ['centimeter', 99], ['millimeter', 9]],
  [['foot', 99], ['inch', 11]], [['pound', 99], ['ounce', 15]], [['kilogram', 99], ['gram', 999]], [['liter', 99], ['milliliter', 999]],
]
const relativeUnits: readonly Intl.RelativeTimeFormatUnit[] = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year']

function unitStyle(unit: string): Intl.NumberFormatOptions {
  return { style: 'unit', unit, unitDisplay: 'long' }
}

function named(kind: NameKind, code: string): Phrase {
  return voice => voice.name(kind, code) ?? ''
}

function listOf(random: Random, items: Phrase[]): Phrase {
  const type = random.integer(3) === 0 ? 'disjunction' : 'conjunction'
  return voice => voice.list(type, items.map(say => say(voice)))
}

function listOfNames(random: Random, kind: NameKind, names: Names): Phrase {
  return listOf(random, some(random, names[kind]).map(code => named(kind, code)))
}

function twoOrThree(random: Random, item: () => Phrase): Phrase[] {
  return Array.from({ length: 2 + random.integer(2) }, item)
}

// Two to four distinct items.
function some<T>(random: Random, items: readonly T[]): T[] {
  const chosen = new Set<T>(), length = 2 + random.integer(3)
  while (chosen.size < length) chosen.add(random.pick(items))
  return [...chosen]
}

function relativeTime(random: Random): Phrase {
  const unit = random.pick(relativeUnits), sign = random.integer(2) === 0 ? -1 : 1
  const auto = random.integer(6) === 0, value = sign * (auto ? random.integer(2) : count(random))
  return voice => voice.relative(value, unit, auto ? 'auto' : 'always')
}

function amount(random: Random, names: Names): Phrase {
  const value = anyNumber(random), currency = random.pick(names.currency)
  return voice => voice.number({ style: 'currency', currency, currencyDisplay: 'name' }, value)
}

// 1950 to 2049
function anyDate(random: Random): Date {
  return new Date(Date.UTC(1950, 0, 1) + random.integer(36525) * day)
}

function anyTime(random: Random): Date {
  return new Date(anyDate(random).getTime() + (random.integer(24) * 60 + random.integer(60)) * 60_000)
}

// Small numbers are common, as in text.
function count(random: Random): number {
  return 1 + random.integer(random.pick([10, 30, 100]))
}

function anyNumber(random: Random): number {
  switch (random.integer(4)) {
    case 0: return count(random)
    case 1: return count(random) * random.pick([10, 100, 1000])
    case 2: return count(random) + random.pick([0.25, 0.5, 0.75])
    default: return 1 + random.integer(1999)
  }
}
