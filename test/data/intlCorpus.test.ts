import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { ConfigError } from '#lib/errors.js'
import { type IntlCorpus, intlCorpus } from '#lib/data/index.js'
import { LocaleVoice, plain } from '#lib/data/localeVoice.js'

const korean = intlCorpus({ size: 12_000 })
const all = ({ train, validation, test }: IntlCorpus) => [...train, ...validation, ...test]

afterEach(() => { jest.restoreAllMocks() })

describe('intlCorpus', () => {
  test('has the size asked for and says what it is made of', () => {
    expect([korean.train.length, korean.validation.length, korean.test.length]).toEqual([10_800, 600, 600])
    expect(all(intlCorpus({ size: 5000, held: 100 })).length).toBe(5000)
    expect([korean.icu, korean.cldr]).toEqual([process.versions['icu'], process.versions['cldr']])
    for (const split of ['train', 'validation', 'test'] as const) {
      expect(korean.categories.reduce((sum, category) => sum + category[split], 0)).toBe(korean[split].length)
    }
  })

  test('no text occurs twice on either side, so test phrases are unseen', () => {
    for (const side of ['source', 'target'] as const) expect(new Set(all(korean).map(pair => pair[side])).size).toBe(12_000)
  })

  test('every word and number of a test phrase occurs in training, on both sides', () => {
    const runs = (text: string) => text.match(/[\p{L}\p{M}]+|\p{N}+/gu) ?? []
    for (const side of ['source', 'target'] as const) {
      const seen = new Set(korean.train.flatMap(pair => runs(pair[side])))
      expect([...korean.validation, ...korean.test].flatMap(pair => runs(pair[side])).filter(run => !seen.has(run))).toEqual([])
    }
  })

  test('every kind of phrase is tested, single names are not', () => {
    for (const { name, train, validation, test } of korean.categories) {
      expect(train).toBeGreaterThan(0)
      if (name === 'single name') expect([validation, test]).toEqual([0, 0])
      else expect(Math.min(validation, test)).toBeGreaterThan(0)
    }
  })

  test('is the same for the same seed and another for another', () => {
    expect(intlCorpus({ size: 5000, seed: 3 })).toEqual(intlCorpus({ size: 5000, seed: 3 }))
    expect(intlCorpus({ size: 5000, seed: 4 }).test).not.toEqual(intlCorpus({ size: 5000, seed: 3 }).test)
  })

  test.each([
    ['en', 'ko', /[가-힣]/], ['en', 'de', /[äöüß]/], ['en', 'fr', /[éèà]/], ['en', 'ja', /[月年日]/], ['en', 'es', /[ñáéí]/], ['ko', 'en', /[a-z]/], ['de', 'ru', /[а-я]/],
  ])('has plain spaces, composed characters and the script of the language (%s to %s)', (source, target, script) => {
      const corpus = intlCorpus({ source, target, size: 5000 })
      for (const pair of all(corpus)) {
        for (const text of [pair.source, pair.target]) if (text !== plain(text) || text === '' || /[^\S ]/.test(text)) throw new Error(JSON.stringify(text))
      }
      expect(corpus.test.filter(pair => script.test(pair.target)).length).toBeGreaterThan(20)
    })

  test('does not depend on the time zone or the language of the machine', () => {
    const zone = process.env['TZ']
    process.env['TZ'] = 'Pacific/Kiritimati'
    try {
      expect(intlCorpus({ size: 12_000 }).test).toEqual(korean.test)
    } finally {
      if (zone === undefined) delete process.env['TZ']
      else process.env['TZ'] = zone
    }
  })

  test('a Node without full locale data gets one line and no corpus', () => {
    jest.spyOn(Intl.DateTimeFormat, 'supportedLocalesOf').mockImplementation(locales => [locales].flat().map(String).filter(locale => locale.startsWith('en')))
    expect(() => intlCorpus()).toThrow(ConfigError)
    expect(() => intlCorpus()).toThrow(/^this Node \(v.*, ICU .*\) has no full locale data, which the embedded corpus is made of\. [^\n]*$/)
  })

  test.each([
    [{ target: 'tlh' }, "no data of the locale 'tlh'"], [{ target: 'not a locale' }, "'not a locale' is no locale"], [{ source: 'ko', target: 'ko-KR' }, 'same language'],
    [{ size: 100 }, 'at least 5000'], [{ size: 5000, held: 501 }, 'held is 501'], [{ seed: -1 }, 'seed is -1'],
  ])('refuses %j', (options, message) => {
    expect(() => intlCorpus(options)).toThrow(ConfigError)
    expect(() => intlCorpus(options)).toThrow(message)
  })
})

describe('LocaleVoice', () => {
  test('says times in Korean as people write them', () => {
    const voice = new LocaleVoice('ko'), options = { dateStyle: 'full', timeStyle: 'short' } as const
    expect(voice.date(options, new Date(Date.UTC(2015, 2, 3, 16, 5)))).toBe('2015년 3월 3일 화요일 오후 4:05')
    expect(voice.date(options, new Date(Date.UTC(2015, 2, 3, 0, 5)))).toBe('2015년 3월 3일 화요일 오전 12:05')
  })

  test('turns odd spaces and decomposed characters into plain ones', () => {
    expect(plain('4:05\u202FPM\u00A0a\u2009\u2009b\u3000\u200Ec\u0065\u0301 ')).toBe('4:05 PM a b cé')
  })
})
