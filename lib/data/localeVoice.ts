/**
 * The words of one locale: everything that the phrases of the embedded corpus are made of, from Node's own Intl (CLDR) data. Time zone UTC,
 * plain spaces.
 */
export class LocaleVoice {
  readonly locale: string
  readonly #dates = new Map<string, Intl.DateTimeFormat>()
  readonly #numbers = new Map<string, Intl.NumberFormat>()
  readonly #lists = new Map<string, Intl.ListFormat>()
  readonly #names = new Map<NameKind, Intl.DisplayNames>()
  readonly #relative: Record<'always' | 'auto', Intl.RelativeTimeFormat>

  constructor(locale: string) {
    this.locale = locale
    this.#relative = { always: new Intl.RelativeTimeFormat(locale), auto: new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }) }
  }

  date(options: Intl.DateTimeFormatOptions, date: Date): string {
    const parts = this.#dateFormat(options).formatToParts(date)
    return plain(parts.map(({ type, value }) => type === 'dayPeriod' ? this.#spelledOut(value, date) : value).join(''))
  }

  dateRange(options: Intl.DateTimeFormatOptions, from: Date, to: Date): string {
    return plain(this.#dateFormat(options).formatRange(from, to))
  }

  number(options: Intl.NumberFormatOptions, value: number): string {
    return plain(this.#numberFormat(options).format(value))
  }

  numberRange(options: Intl.NumberFormatOptions, from: number, to: number): string {
    return plain(this.#numberFormat(options).formatRange(from, to))
  }

  relative(value: number, unit: Intl.RelativeTimeFormatUnit, numeric: 'always' | 'auto'): string {
    return plain(this.#relative[numeric].format(value, unit))
  }

  list(type: 'conjunction' | 'disjunction' | 'unit', items: string[]): string {
    const format = cached(this.#lists, type, () => new Intl.ListFormat(this.locale, { type, style: 'long' }))
    return plain(format.format(items))
  }

  /** The name of a region, language, currency …; undefined where the locale has none. */
  name(kind: NameKind, code: string): string | undefined {
    const names = cached(this.#names, kind, () => new Intl.DisplayNames(this.locale, { type: kind, fallback: 'none', languageDisplay: 'standard' }))
    const name = names.of(code)
    return name === undefined ? undefined : plain(name)
  }

  // CLDR abbreviates a.m. and p.m. to Latin letters in Korean, where people write 오전 and 오후: the words of mid-morning and mid-afternoon.
  #spelledOut(period: string, date: Date): string {
    if (!this.locale.startsWith('ko') || !/^[AP]M$/.test(period)) return period
    const hour = date.getUTCHours() < 12 ? 10 : 15
    const parts = this.#dateFormat({ hour: 'numeric', dayPeriod: 'long' }).formatToParts(new Date(Date.UTC(2000, 0, 1, hour)))
    return parts.find(({ type }) => type === 'dayPeriod')?.value ?? period
  }

  #dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    return cached(this.#dates, JSON.stringify(options), () => new Intl.DateTimeFormat(this.locale, { ...options, timeZone: 'UTC' }))
  }

  #numberFormat(options: Intl.NumberFormatOptions): Intl.NumberFormat {
    return cached(this.#numbers, JSON.stringify(options), () => new Intl.NumberFormat(this.locale, options))
  }
}

export type NameKind = 'region' | 'language' | 'script' | 'currency' | 'dateTimeField' | 'calendar'

/** Odd spaces (no-break, narrow, thin, ideographic) become plain ones, direction marks go, and characters are composed. */
export function plain(text: string): string {
  return text.normalize('NFC').replace(/[\u200B\u200E\u200F\u061C\u2066-\u2069\uFEFF]/g, '').replace(/\s+/g, ' ').trim()
}

function cached<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) map.set(key, value = make())
  return value
}
