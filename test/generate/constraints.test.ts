import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError } from '#lib/errors.js'
import { Automaton, utf8Ranges } from '#lib/generate/constraints/automaton.js'
import { Constraint } from '#lib/generate/constraints/constraint.js'
import { integersBetween } from '#lib/generate/constraints/integers.js'
import { jsonSchema, type JsonSchemaOptions } from '#lib/generate/constraints/jsonSchema.js'
import type { Language } from '#lib/generate/constraints/language.js'
import { containing, regularExpression } from '#lib/generate/constraints/regularExpression.js'
import { tokenBytes } from '#lib/generate/constraints/tokenBytes.js'
import { generate } from '#lib/generate/generate.js'
import { generateStream } from '#lib/generate/generateStream.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { arbitraryLogits, TableModel } from './tableModel.js'

const encoder = new TextEncoder()
function accepts(automaton: Automaton, text: string): boolean {
  let state = automaton.start
  for (const byte of encoder.encode(text)) if ((state = automaton.next(state, byte)) < 0) return false
  return automaton.accepts(state)
}
const matcher = (language: Language) => {
  const automaton = new Automaton(language)
  return (text: string) => accepts(automaton, text)
}
/** A text of the language: at each place a byte that goes on, the shortest way home after `most` bytes. */
function drawn(automaton: Automaton, seed: number, most = 40): string {
  const bytes: number[] = []
  let state = automaton.start, h = seed >>> 0
  const random = (n: number) => { h = (Math.imul(h, 1664525) + 1013904223) >>> 0; return Math.floor(h / 2 ** 32 * n) }
  for (;;) {
    const next = Array.from({ length: 256 }, (_, byte) => byte).filter(byte => automaton.next(state, byte) >= 0)
    if (automaton.accepts(state) && (next.length === 0 || bytes.length >= most || random(4) === 0)) return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes))
    const shorter = next.filter(byte => automaton.distance(automaton.next(state, byte)) < automaton.distance(state)), from = bytes.length >= most ? shorter : next
    const byte = from[random(from.length)]!
    bytes.push(byte)
    state = automaton.next(state, byte)
  }
}

describe('regular expressions', () => {
  const patterns = [
    'a*b+c?', '(ab|cd)*e', 'x{2,4}y{3}z{1,}', '[a-f0-9]+', '[^a-y]', '\\d{3}-\\d{4}', '(?:a|b)c|d', '(?<year>\\d\\d)?', 'a|', '', '[\\w.]+@\\w+\\.(com|org)', '\\x41\\u0042\\u{43}', '.\\.',
    '^ab$|^c', '\\s*\\S', '[\\]\\-^]+', '(a?){3}', '(a*)*', '((ab)+|b){2}', '[가-힣]+', '🙂|é+', '\\D\\W', 'a{0}b', '[\\n\\t]x', '{a}', '\\u{1F600}',
  ]
  test.each(patterns)('%s: accepts what it accepts, of texts near and far, and what is drawn from it matches', pattern => {
    const exact = new RegExp(`^(?:${pattern})$`, pattern === '{a}' ? '' : 'u'), automaton = new Automaton(regularExpression(pattern))
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'abcdexyzAB C19-._@가é🙂\n]^'), maxLength: 7 }), text => accepts(automaton, text) === exact.test(text)), { numRuns: 300 })
    for (let seed = 1; seed < 40; seed++) expect(drawn(automaton, seed)).toMatch(exact)
  })
  test('flags: letters of either case, and lines', () => {
    const either = matcher(regularExpression(/straße|[k-m]x|[^a]1/i))
    for (const [text, fits] of [['STRAßE', true], ['Lx', true], ['MX', true], ['A1', false], ['b1', true], ['nx', false]] as const) expect([text, either(text)]).toEqual([text, fits])
    expect([matcher(regularExpression(/a.b/s))('a\nb'), matcher(regularExpression(/a.b/))('a\nb')]).toEqual([true, false])
  })
  test('properties of Unicode', () => {
    const words = matcher(regularExpression('\\p{Lu}\\p{L}*'))
    expect(['Ärger', 'ärger', 'Ж', 'A1'].map(words)).toEqual([true, false, true, false])
    expect(matcher(regularExpression('\\P{L}+'))('12 !')).toBe(true)
  })
  test.each<[string | RegExp, RegExp]>([
    ['a(?=b)', /looking ahead/], ['(?<!a)b', /looking/], ['(a)\\1', /reference/], ['\\bword', /\\b is not supported/], ['a^b', /beginning only/], ['(a$)b', /within a group/], ['a$b', /end only/],
    ['(a', /'\)' is missing/], ['[a', /'\]' is missing/], ['a)', /unexpected '\)'/], ['*a', /nothing to repeat/], ['a**', /nothing to repeat/], ['a{3,2}', /out of order/], ['[z-a]', /out of order/],
    ['\\p{Nonsense}', /property/], [/a/m, /flag m/], ['\\q', /\\q is not supported/], ['(?i:a)', /kind of group/], ['a\\', /stands alone/],
  ])('%s is refused with its place', (pattern, message) => {
    expect(() => regularExpression(pattern)).toThrow(ConfigError)
    expect(() => regularExpression(pattern)).toThrow(message)
  })
  test('a pattern of a schema may match anywhere in the text, unless it says where', () => {
    const [somewhere, begin, either] = [containing('b+'), containing('^ab'), containing('^x|y$')].map(matcher) as [(text: string) => boolean, (text: string) => boolean, (text: string) => boolean]
    expect(['abba', 'aa'].map(somewhere)).toEqual([true, false])
    expect(['abc', 'cab'].map(begin)).toEqual([true, false])
    expect(['xa', 'ay', 'ax', 'ya'].map(either)).toEqual([true, true, false, false])
  })
  test('what would take too many states is an error, as is what contradicts itself', () => {
    expect(() => new Automaton(regularExpression('((a{100}){100}){100}'))).toThrow(/states/)
    expect(() => new Automaton(regularExpression('[^\\s\\S]'))).toThrow(/no text fits/)
  })
  test('ranges of characters are ranges of their bytes', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 0x10FFFF }), fc.integer({ min: 0, max: 0x10FFFF }), fc.array(fc.integer({ min: 0, max: 0x10FFFF }), { maxLength: 30 }), (a, b, others) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)], set = ([[from, Math.min(to, 0xD7FF)], [Math.max(from, 0xE000), to]] as const).filter(([x, y]) => x <= y), ranges = utf8Ranges(set)
      for (const code of [...others, from, to, from - 1, to + 1]) {
        if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) continue
        const bytes = [...encoder.encode(String.fromCodePoint(code))]
        const inside = ranges.filter(range => range.length === bytes.length && range.every(([first, last], i) => bytes[i]! >= first && bytes[i]! <= last)).length
        if (inside !== (code >= from && code <= to ? 1 : 0)) return false
      }
      return true
    }))
  })
})

describe('JSON schemas', () => {
  const person = {
    type: 'object', properties: { name: { type: 'string', maxLength: 5 }, age: { type: 'integer', minimum: 0, maximum: 120 }, tags: { type: 'array', items: { enum: ['a', 'b"'] }, maxItems: 2 } },
    required: ['name', 'tags'],
  }
  const options: JsonSchemaOptions = { maxDepth: 2 }
  test.each<[string, unknown, string[], string[]]>([
    ['properties in order, the optional ones there or not', person,
      ['{"name": "x", "tags": []}', '{"name":"x","age":7,"tags":["a","b\\""]}', '{ "name" : "" , "age": 120, "tags": [ "a" ] }', '{"name":"\\u00e9\\n가🙂x","tags":[]}'],
      ['{}', '{"tags":[],"name":"x"}', '{"name":"x"}', '{"name":"x","age":121,"tags":[]}', '{"name":"sixsix","tags":[]}', '{"name":"x","tags":["c"]}', '{"name":"x","tags":[],"more":1}', '{"name":"x",,"tags":[]}']],
    ['all optional', { properties: { a: { type: 'null' }, b: { type: 'boolean' } } }, ['{}', '{"a":null}', '{"b":true}', '{"a":null,"b":false}'], ['{,"b":true}', '{"a":null,}', '{"b":true,"a":null}']],
    ['numbers', { type: 'number' }, ['0', '-0.5', '12e+3', '1.50E-7', '-7'], ['01', '.5', '1.', '+1', '1e', 'NaN', '']],
    ['several types, anyOf and const', { anyOf: [{ type: ['integer', 'null'] }, { const: { a: [1, 'x'] } }] }, ['3', 'null', '{"a":[1,"x"]}'], ['3.5', '"x"']],
    ['strings by pattern and format', { prefixItems: [{ type: 'string', pattern: '^["\\\\]\\d$' }, { type: 'string', format: 'date' }], items: false, minItems: 2, type: 'array' },
      ['["\\"1","2024-02-30"]', '["\\\\7", "1999-12-01"]'], ['[""1","2024-02-30"]', '["\\"1"]', '["\\"1","2024-13-01"]', '["\\"1","2024-12-01",1]']],
    ['anything, as deep as allowed', {}, ['[1,{"a":[]}]'.replace('[]', 'null'), '"\\ud83d\\ude42"', '{"x":[true]}'], ['[[[1]]]', '"\\ud83d"', '{"x":}', '[1,]']],
    ['maps', { type: 'object', additionalProperties: { type: 'integer' }, minProperties: 1 }, ['{"x":1}', '{"x":1, "y":-2}'], ['{}', '{"x":"1"}']],
    ['recursion, unrolled', { $ref: '#/$defs/tree', $defs: { tree: { properties: { v: { type: 'integer' }, next: { $ref: '#/$defs/tree' } }, required: ['v'] } } },
      ['{"v":1}', '{"v":1,"next":{"v":2,"next":{"v":3}}}'], ['{"v":1,"next":{}}', '{"v":1,"next":{"v":2,"next":{"v":3,"next":{"v":4}}}}']],
    ['oneOf by type, by value and by a property that tells', { oneOf: [
      { type: 'integer' }, { enum: ['a', 'b'] }, { type: 'object', properties: { kind: { const: 'dog' }, age: { type: 'integer' } }, required: ['kind', 'age'] },
      { type: 'object', properties: { kind: { enum: ['cat', 'fish'] } }, required: ['kind'] }] },
      ['3', '"b"', '{"kind":"dog","age":3}', '{"kind":"fish"}'], ['"c"', '{"kind":"dog"}', '{"kind":"cat","age":3}', '{"age":3}', '3.5']],
    ['oneOf by what one needs and the other forbids', { properties: { a: { type: 'null' } }, oneOf: [{ required: ['a', 'b'], properties: { b: { type: 'null' } } }, { additionalProperties: false, properties: { a: {} } }] },
      ['{"a":null,"b":null}', '{"a":null}', '{}'], ['{"b":null}']],
    ['anyOf beside what all options share', { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'boolean' } }, anyOf: [{ required: ['a'] }, { required: ['b'] }] },
      ['{"a":1}', '{"b":true}', '{"a":1,"b":false}'], ['{}', '{"a":true}']],
    ['allOf: bounds, types, properties and values of all parts', { allOf: [
      { $ref: '#/$defs/named' }, { properties: { size: { type: 'number' }, name: { enum: ['x', 'toolong', 'y'] } }, required: ['size'] }, { properties: { size: { type: ['integer', 'null'], minimum: 2 } } },
      { properties: { size: { maximum: 4, type: 'integer' } } }], $defs: { named: { type: 'object', properties: { name: { type: 'string', maxLength: 3 } }, required: ['name'] } } },
      ['{"name":"x","size":2}', '{"name":"y","size":4}'], ['{"name":"toolong","size":2}', '{"name":"x","size":1}', '{"name":"x","size":5}', '{"name":"x","size":null}', '{"name":"x"}', '{"size":2}']],
    ['a reference with more beside it', { $ref: '#/$defs/list', minItems: 2, title: 'pairs', $defs: { list: { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 } } }, ['[1,2]'], ['[1]', '[1,2,3]', '[]']],
    ['what no part allows', { anyOf: [{ allOf: [{ type: 'string' }, { type: 'null' }] }, { allOf: [{ const: 1 }, { enum: [2, 3] }] }, { allOf: [{ enum: [2, 3, 4] }, { enum: [4, 3] }, { type: 'integer', maximum: 3 }] }] }, ['3'], ['1', '2', '4', 'null']],
    ['closed objects joined', { allOf: [{ properties: { a: { type: 'null' }, b: { type: 'null' } }, additionalProperties: false }, { properties: { b: {}, c: {} } }] }, ['{"a":null,"b":null}', '{}'], ['{"c":1}', '{"b":1}']],
    ['values of a type, among others', { enum: [1, 'a', null, 2.5, 'abc'], type: ['string', 'number'], maxLength: 2 }, ['1', '"a"', '2.5'], ['null', '"abc"']],
    ['trees of two kinds', { $ref: '#/$defs/node', $defs: { node: { oneOf: [{ type: 'integer' }, { type: 'object', properties: { op: { enum: ['+', '*'] }, left: { $ref: '#/$defs/node' } }, required: ['op', 'left'] }] } } },
      ['1', '{"op":"+","left":2}', '{"op":"+","left":{"op":"*","left":3}}'], ['{"op":"+"}', '{"op":"-","left":1}']],
  ])('%s', (_, schema, valid, invalid) => {
    const automaton = new Automaton(jsonSchema(schema, options))
    for (const text of valid) expect([text, accepts(automaton, text)]).toEqual([text, true])
    for (const text of invalid) expect([text, accepts(automaton, text)]).toEqual([text, false])
    for (let seed = 1; seed < 60; seed++) expect(() => { JSON.parse(drawn(automaton, seed)) }).not.toThrow()
  })
  test('whole numbers between any two', () => {
    fc.assert(fc.property(fc.integer({ min: -1200, max: 1200 }), fc.integer({ min: -1200, max: 1200 }), fc.array(fc.integer({ min: -1300, max: 1300 }), { maxLength: 40 }), (a, b, others) => {
      const [least, most] = [Math.min(a, b), Math.max(a, b)], fits = matcher(integersBetween(least, most))
      return [least, most, least - 1, most + 1, ...others].every(n => fits(String(n)) === (n >= least && n <= most))
    }), { numRuns: 60 })
    expect([matcher(integersBetween(37, Infinity))('37'), matcher(integersBetween(37, Infinity))('36'), matcher(integersBetween(-Infinity, -5))('-123456'), matcher(integersBetween(-Infinity, -5))('-4')])
      .toEqual([true, false, true, false])
  })
  test('valid texts by a description of values are all reached', () => {
    const fits = matcher(jsonSchema(person, { whitespace: '' }))
    const value = fc.record({ name: fc.string({ unit: 'binary', maxLength: 5 }), age: fc.integer({ min: 0, max: 120 }), tags: fc.array(fc.constantFrom('a', 'b"'), { maxLength: 2 }) }, { requiredKeys: ['name', 'tags'] })
    fc.assert(fc.property(value, ({ name, age, tags }) => fits(JSON.stringify({ name, age, tags }))))
  })
  test.each<[unknown, RegExp]>([
    [{ type: 'object', patternProperties: {} }, /#: patternProperties is not supported beside type/], [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, /#\/oneOf: options 0 and 1 may hold at once.*Use anyOf/], [{ not: {} }, /not is/], [{ type: 'text' }, /expected one of object/],
    [{ properties: { a: { type: 'array', uniqueItems: true } } }, /#\/properties\/a: uniqueItems/], [{ type: 'number', minimum: 1 }, /minimum/], [{ type: 'string', format: 'iri' }, /known are date/],
    [{ type: 'string', pattern: 'a(?=b)' }, /#\/pattern: .*looking/], [{ $ref: 'other.json' }, /\$ref/], [{ $ref: '#/$defs/x' }, /not there/], [{ required: ['x'], properties: { y: {} } }, /"x" is not among/],
    [{ type: 'integer', minimum: 0.5 }, /whole number/], [3, /expected a schema/], [{ allOf: [{ type: 'string', pattern: 'a' }, { pattern: 'b' }] }, /#\/?.*pattern in two parts/], [{ $ref: '#name' }, /\$ref is "#name", expected a place/],
    [{ allOf: [{ type: 'string', pattern: 'a' }, { minLength: 3 }] }, /only one of pattern, format, and minLength/], [{ enum: [{ a: 1 }], required: ['a'] }, /\{"a":1\} among the values beside required/],
    [{ oneOf: [{ properties: { a: {} }, required: ['a'] }, { properties: { b: {} }, required: ['b'] }] }, /options 0 and 1 may hold/], [{ anyOf: [] }, /#\/anyOf: is \[\], expected a list/],
    [{ allOf: [{ properties: { a: {} } }, { additionalProperties: { type: 'null' } }] }, /additionalProperties with a schema/], [{ if: {}, then: {} }, /if, then are not supported/],
    [{ allOf: Array.from({ length: 9 }, () => ({ anyOf: [{ minimum: 1 }, { maximum: 2 }] })), type: 'integer' }, /512 alternatives, more than 256/],
    [{ allOf: [{ prefixItems: [{}] }, { items: { type: 'null' } }] }, /items and prefixItems in two parts/], [{ type: 'string', enum: [] }, /#\/enum: is \[\]/], [{ const: 1, type: 'int' }, /type is "int"/], [{ minLength: 1, minItems: 2 }, /type is missing/],
  ])('%j is refused by name and place', (schema, message) => {
    expect(() => jsonSchema(schema)).toThrow(ConfigError)
    expect(() => jsonSchema(schema)).toThrow(message)
  })
})

describe('with a tokenizer', () => {
  const words = ['{"name": "Ann", "age": 31}', 'hello world, the cat', 'true false null 2024-01-31', '가나 é 🙂', '["a", "b"]', 'aabbab ababab 123 4567 89']
  const make = async () => ({
    bytes: await Tokenizer.train('bpe', words, { vocabSize: 330 }),
    // SentencePiece with bytes for what it lacks, as LLaMA's.
    pieces: Tokenizer.fromJSON({
      version: '1.0', truncation: null, padding: null, added_tokens: [{ id: 0, content: '<s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }],
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] }, pre_tokenizer: null, post_processor: null,
      decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
      model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: true, byte_fallback: true, ignore_merges: false,
        vocab: Object.fromEntries(['<s>', ...Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`), '▁', 'a', 'b', 'ab', '▁a', '▁ab', '1', '2', '12', '{"', '":', '가', '"}'].map((token, id) => [token, id])),
        merges: [['a', 'b'], ['▁', 'a'], ['▁a', 'b'], ['1', '2']],
      },
    }),
  })

  test('the bytes of tokens make up the text that they are decoded to', async () => {
    const { bytes, pieces } = await make()
    for (const tokenizer of [bytes, pieces]) {
      const own = tokenBytes(tokenizer)
      for (const text of [...words, 'ab ab12 가']) {
        const { ids } = tokenizer.encode(text, { addSpecialTokens: false }), joined = new TextDecoder().decode(Uint8Array.from(ids.flatMap(id => [...own[id]!])))
        expect(joined.trimStart()).toBe(tokenizer.decode(ids).trimStart())
      }
    }
    expect(tokenBytes(pieces)[0]).toBeUndefined()   // special
  })

  test.each<[string, Partial<GenerationOptions>]>([['greedy', {}], ['sampled', { doSample: true, temperature: 3, numReturnSequences: 3 }], ['beams', { numBeams: 3, numReturnSequences: 2 }]])(
    'whatever the model likes, what comes is valid, also when the limit presses: %s', async (_, options) => {
      const { bytes, pieces } = await make()
      for (const tokenizer of [bytes, pieces]) {
        const size = tokenizer.vocabSize
        for (const [constraint, fits, most] of [
          [Constraint.regex('(ab|cd){2,}e?|가+🙂', tokenizer), (text: string) => /^((ab|cd){2,}e?|가+🙂)$/u.test(text), 12],
          [Constraint.regex(/\d{3}-\d{4}/, tokenizer), (text: string) => /^\d{3}-\d{4}$/.test(text), 8],
          [Constraint.json({ properties: { name: { type: 'string' }, ok: { type: 'boolean' }, n: { type: 'array', items: { type: 'integer' } } }, required: ['name', 'n'] }, tokenizer),
            (text: string) => { const value = JSON.parse(text) as { name: unknown, n: unknown }; return typeof value.name === 'string' && Array.isArray(value.n) }, 40],
        ] as const) {
          for (let seed = 0; seed < 4; seed++) {
            const model = new TableModel(size + 3, arbitraryLogits(size + 3, seed), { maxPositions: 200 })   // with ids that have no token
            const { newTokens } = await generate(model, [[2], [3, 4]], { ...options, ...(options.doSample ? { seed } : {}), constraint, maxNewTokens: most, eosTokenId: size + 1 })
            for (const tokens of newTokens) {
              const text = tokens.filter(token => token !== size + 1)
              expect(constraint.accepts(text)).toBe(true)
              const own = tokenBytes(tokenizer), said = new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(text.flatMap(id => [...own[id]!])))
              expect([said, fits(said)]).toEqual([said, true])
            }
          }
        }
      }
    })

  test('every way to write a valid text is allowed, token by token', async () => {
    const { bytes, pieces } = await make()
    for (const tokenizer of [bytes, pieces]) {
      const constraint = Constraint.regex('( ?(ab)+)*1?2?가?', tokenizer), own = tokenBytes(tokenizer), text = encoder.encode('ab ab12가')
      const process = constraint.processor([], 100)
      let ways = 0
      const extend = (tokens: number[], at: number): void => {
        if (at === text.length) { ways++; expect(constraint.accepts(tokens)).toBe(true); return }
        const logits = new Float32Array(tokenizer.vocabSize)
        process([tokens], logits, { rows: 1, vocabulary: logits.length, promptLength: 0 })
        own.forEach((piece, id) => {
          if (!piece || !piece.every((byte, i) => text[at + i] === byte)) return
          expect([tokens, id, logits[id]]).toEqual([tokens, id, 0])
          extend([...tokens, id], at + piece.length)
        })
      }
      extend([], 0)
      expect(ways).toBeGreaterThan(3)
    }
  })

  test('ends where nothing can follow; an end token is for where something could', async () => {
    const { bytes } = await make(), size = bytes.vocabSize, model = new TableModel(size + 1, () => Float32Array.from({ length: size + 1 }, (_, i) => i === size ? 5 : 0))
    const fixed = await generate(model, [2], { constraint: Constraint.regex('ab12', bytes), eosTokenId: size, maxNewTokens: 20 })
    expect([bytes.decode(fixed.newTokens[0]!), fixed.finishReasons]).toEqual(['ab12', ['stop']])
    const open = await generate(model, [2], { constraint: Constraint.regex('(ab)*', bytes), eosTokenId: size, maxNewTokens: 20 })
    expect([open.newTokens, open.finishReasons]).toEqual([[[size]], ['eos']])
    const text: string[] = []
    for await (const token of generateStream(model, [2], { constraint: Constraint.regex('é🙂', bytes), maxNewTokens: 9, tokenizer: bytes })) text.push(token.text!)
    expect(text.filter(piece => piece !== '')).toEqual(['é', '🙂'])
    await expect(generate(model, [2], { constraint: Constraint.regex('ab', bytes), suppressTokens: [...Array(size).keys()], maxNewTokens: 4 })).rejects.toThrow(/no token can follow/)
  })

  test('a tokenizer without bytes writes what its characters can', () => {
    const vocab = ['<s>', 'a', 'b', '##a', '##b', 'ab', '1'], tokenizer = {
      vocabSize: vocab.length, toJSON: () => ({ model: { vocab: Object.fromEntries(vocab.map((token, id) => [token, id])) }, added_tokens: [{ id: 0, content: '<s>', special: true }] }),
      decode: (ids: number[]) => ids.map(id => vocab[id]!.replace('##', '')).join(''),
    }
    const constraint = Constraint.regex('[a-z]b|[xyz]+', tokenizer), logits = new Float32Array(vocab.length)
    constraint.processor([], 9)([[]], logits, { rows: 1, vocabulary: vocab.length, promptLength: 0 })
    expect([...logits.keys()].filter(id => logits[id] === 0)).toEqual([1, 2, 3, 4, 5])
    expect(() => Constraint.regex('[xyz]+', tokenizer)).toThrow(/characters that the tokenizer lacks/)
  })
})
