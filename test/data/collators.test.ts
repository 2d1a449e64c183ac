import { describe, expect, test } from '@jest/globals'
import {
  alignedLabels, answerCollator, answerWindows, causalCollator, chatExample, classificationCollator, CollatedBatches, type CollatedBatch, completionExample, denoisingCollator,
  evaluationBatchesOf, type ExampleEncoder, flatCollator, labelledWords, maskingCollator, packed, seq2seqCollator, spanCorruptionCollator, textExample, tokenLabelCollator, wordsOf,
} from '#lib/data/collators/index.js'
import { Random } from '#lib/data/random.js'

const random = (index = 0): Random => new Random(7, 'test', index)
const rows = ({ inputs }: CollatedBatch, name: string): number[][] => {
  const { data, shape: [B, T] } = inputs[name]!
  return Array.from({ length: B! }, (_, i) => [...data.subarray(i * (T ?? 1), (i + 1) * (T ?? 1))])
}

/** Words of letters, and every other character, by their codes; [1] in front and [2] behind, [2] between two texts. */
const tokenizer: ExampleEncoder = {
  bosId: 1, eosId: 2,
  encode(text, { addSpecialTokens = true, pair } = {}) {
    const one = (part: string) => [...part.matchAll(/[a-z]{1,3}|[^a-z\s]/g)].map(m => ({ id: 10 + [...m[0]].reduce((s, c) => s + c.charCodeAt(0), 0), token: m[0], span: [m.index, m.index + m[0].length] as [number, number] }))
    const special = (id: number, type = 0) => ({ id, token: `<${id}>`, span: [0, 0] as [number, number], special: 1, type })
    const first = one(text).map(t => ({ ...t, special: 0, type: 0 })), second = pair === undefined ? [] : one(pair).map(t => ({ ...t, special: 0, type: 1 }))
    const all = addSpecialTokens ? [special(1), ...first, special(2), ...second, ...pair === undefined ? [] : [special(2, 1)]] : [...first, ...second]
    return {
      ids: all.map(t => t.id), tokens: all.map(t => t.token), offsets: all.map(t => t.span), attentionMask: all.map(() => 1), typeIds: all.map(t => t.type),
      specialTokensMask: all.map(t => t.special),
    }
  },
}
const id = (word: string): number => tokenizer.encode(word, { addSpecialTokens: false }).ids[0]!

describe('causal', () => {
  test('in one row without padding: each example begins anew, and where it begins is said', () => {
    const batch = flatCollator({ maxLength: 4 })([{ ids: [5, 6, 7] }, { ids: [8] }, { ids: [1, 2, 3, 4, 9], counts: [false, false, true, true, true] }], random())
    expect(rows(batch, 'ids')).toEqual([[5, 6, 7, 8, 1, 2, 3, 4]])
    expect(rows(batch, 'labels')).toEqual([[6, 7, -100, -100, -100, 3, 4, -100]])
    expect([batch.inputs['documentOffsets']!.shape, [...batch.inputs['documentOffsets']!.data]]).toEqual([[4], [0, 3, 4, 8]])
    expect([batch.tokens, batch.inputs['attentionMask']]).toEqual([4, undefined])
  })
  test('labels are the next tokens; of a prompt only the completion counts; padding counts for nothing', () => {
    const text = textExample({ ...tokenizer, encode: tokenizer.encode }, 'ab cd'), pair = completionExample(tokenizer, { prompt: 'ab', completion: 'ef gh' })
    expect(text.ids).toEqual([1, id('ab'), id('cd'), 2])
    const batch = causalCollator({ padId: 0 })([text, pair], random())
    expect(rows(batch, 'ids')).toEqual([[1, id('ab'), id('cd'), 2, 0], [1, id('ab'), id('ef'), id('gh'), 2]])
    expect(rows(batch, 'labels')).toEqual([[id('ab'), id('cd'), 2, -100, -100], [-100, id('ef'), id('gh'), 2, -100]])
    expect(rows(batch, 'attentionMask')).toEqual([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    expect(batch.tokens).toBe(6)
    expect(causalCollator({ padId: 0, maxLength: 3 })([text, text], random()).inputs['attentionMask']).toBeUndefined()
    expect(rows(causalCollator({ padId: 9, multiple: 4 })([pair], random()), 'ids')[0]).toEqual([1, id('ab'), id('ef'), id('gh'), 2, 9, 9, 9])
  })

  test('packed: whole examples one behind the other, long ones cut, no first token predicted', () => {
    const blocks = packed([{ ids: [1, 2, 3] }, { ids: [4, 5], counts: [false, true] }, { ids: [6, 7, 8] }, { ids: [9, 10, 11, 12, 13, 14, 15] }], 6)
    expect(blocks.map(block => block.ids)).toEqual([[1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11, 12, 13, 14], [15]])
    expect(blocks[0]!.counts).toEqual([false, true, true, false, true])
    expect(rows(causalCollator({ padId: 0 })(blocks.slice(0, 1), random()), 'labels')).toEqual([[2, 3, -100, 5, -100]])
    expect(() => packed([], 1)).toThrow(/the size is 1/)
  })

  test('of a conversation what the assistant says counts, with what the template puts behind it', () => {
    const template = (messages: readonly { role: string, content: string }[], { addGenerationPrompt }: { addGenerationPrompt: boolean }) =>
      messages.map(({ role, content }) => `${role}: ${content}; `).join('') + (addGenerationPrompt ? 'assistant: ' : '')
    const messages = [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b c' }, { role: 'user', content: 'd' }, { role: 'assistant', content: 'e' }]
    const { ids, counts } = chatExample(tokenizer, messages, template)
    expect(ids).toEqual(tokenizer.encode('user: a; assistant: b c; user: d; assistant: e; ', { addSpecialTokens: false }).ids)
    expect(ids.filter((_, i) => counts![i])).toEqual([id('b'), id('c'), id(';'), id('e'), id(';')])
    const strips = (list: readonly { content: string }[]) => list.map(({ content }, i) => i < list.length - 1 ? content : `<${content}>`).join(' ')
    expect(() => chatExample(tokenizer, messages, strips)).toThrow(/otherwise than within the whole conversation/)
  })
})

describe('masked language', () => {
  const length = 20_000, example = { ids: Array.from({ length }, (_, i) => 100 + i % 50), specialTokensMask: Array.from({ length }, (_, i) => i % 100 === 0 ? 1 : 0) }
  const options = { maskId: 3, vocabSize: 50, padId: 0 }

  test('15 % are chosen, 80 % of them masked, 10 % others, 10 % as they were; special tokens never; the same numbers, the same batch', () => {
    const batch = maskingCollator(options)([example], random()), ids = rows(batch, 'ids')[0]!, labels = rows(batch, 'labels')[0]!
    const chosen = labels.flatMap((label, i) => label === -100 ? [] : [i])
    expect(chosen.length / (0.99 * length)).toBeCloseTo(0.15, 2)
    expect(chosen.every(i => labels[i] === example.ids[i] && example.specialTokensMask[i] === 0)).toBe(true)
    expect(chosen.filter(i => ids[i] === 3).length / chosen.length).toBeCloseTo(0.8, 1)
    expect(chosen.filter(i => ids[i]! < 50 && ids[i] !== 3).length / chosen.length).toBeCloseTo(0.1, 1)
    expect(ids.filter((value, i) => labels[i] === -100 && value !== example.ids[i])).toEqual([])
    expect(batch.tokens).toBe(chosen.length)
    expect(maskingCollator(options)([example], random())).toEqual(batch)
    expect(rows(maskingCollator(options)([example], random(1)), 'labels')).not.toEqual([labels])
  })

  test('whole words: all tokens of one or none', () => {
    const words = example.ids.map((_, i) => Math.floor(i / 3)), labels = rows(maskingCollator({ ...options, wholeWord: true })([{ ...example, words, specialTokensMask: example.ids.map(() => 0) }], random()), 'labels')[0]!
    for (let word = 0; word < length / 3 - 1; word++) expect(new Set([0, 1, 2].map(k => labels[3 * word + k] === -100)).size).toBe(1)
    expect(Math.abs(labels.filter(label => label !== -100).length / length - 0.15)).toBeLessThan(0.01)
  })

  test('words of tokens: what touches within letters is one word, and what has ##', () => {
    const text = 'abcdef gh,ij', encoding = tokenizer.encode(text)
    expect(encoding.tokens).toEqual(['<1>', 'abc', 'def', 'gh', ',', 'ij', '<2>'])
    expect(wordsOf(text, encoding)).toEqual([0, 1, 1, 2, 3, 4, 5])
    expect(wordsOf('a b', { tokens: ['a', '##b'], offsets: [[0, 1], [2, 3]], specialTokensMask: [0, 0] })).toEqual([0, 0])
  })
})

describe('span corruption', () => {
  const options = { sentinel: (i: number) => 1000 - i, eosId: 1, padId: 0, decoderStartId: 0 }

  test('sentinels stand for what the target has behind them: together they are the text', () => {
    for (let n = 2; n < 80; n++) {
      const ids = Array.from({ length: n }, (_, i) => 10 + i), batch = spanCorruptionCollator({ ...options, density: 0.3 })([{ ids }], random(n))
      const source = rows(batch, 'source')[0]!, target = rows(batch, 'labels')[0]!
      expect([source.at(-1), target.at(-1)]).toEqual([1, 1])
      const hidden = new Map<number, number[]>()
      for (const token of target.slice(0, -1)) if (token > 900) hidden.set(token, []); else [...hidden.values()].at(-1)!.push(token)
      expect(source.slice(0, -1).flatMap(token => hidden.get(token) ?? [token])).toEqual(ids)
      expect([...hidden.keys()]).toEqual([...hidden.keys()].map((_, i) => 1000 - i))
      const lost = [...hidden.values()].flat().length
      expect(lost).toBe(Math.min(Math.max(Math.round(0.3 * n), 1), n - 1))
      expect(hidden.size).toBe(Math.min(Math.max(Math.round(lost / 3), 1), n - lost))
      expect(rows(batch, 'decoderInput')[0]).toEqual([0, ...target.slice(0, -1)])
    }
    expect(() => spanCorruptionCollator(options)([{ ids: [5] }], random())).toThrow(/an example has 1 tokens/)
  })
})

describe('denoising', () => {
  const options = { maskId: 3, bosId: 0, eosId: 2, padId: 1, decoderStartId: 2 }

  test('spans behind masks: what is left is in order, the share is hidden, the target is the text', () => {
    const ids = Array.from({ length: 200 }, (_, i) => 10 + i), batch = denoisingCollator(options)([{ ids }], random()), source = rows(batch, 'source')[0]!
    expect([source[0], source.at(-1)]).toEqual([0, 2])
    const kept = source.slice(1, -1).filter(token => token !== 3)
    expect(kept).toEqual([...kept].sort((a, b) => a - b))
    expect(kept.length).toBe(140)
    expect(source.filter(token => token === 3).length).toBeGreaterThan(10)
    expect(rows(batch, 'labels')).toEqual([[0, ...ids, 2]])
    expect(rows(batch, 'decoderInput')).toEqual([[2, 0, ...ids]])
  })

  test('sentences change places, whole', () => {
    const ids = [10, 11, 5, 12, 5, 13, 14, 15, 5, 16], seen = new Set<string>()
    for (let i = 0; i < 40; i++) {
      const source = rows(denoisingCollator({ ...options, maskShare: 1e-9, endsSentence: token => token === 5 })([{ ids }], random(i)), 'source')[0]!.slice(1, -1)
      expect(source.join(' ').split(/(?<=\b5) ?|(?<=16) ?/).map(part => part.trim()).filter(part => part).sort()).toEqual(['10 11 5', '12 5', '13 14 15 5', '16'])
      seen.add(source.join(' '))
    }
    expect(seen.size).toBeGreaterThan(8)
  })
})

test('sequence to sequence: the decoder reads the target behind its start token; what is cut keeps its last token', () => {
  const batch = seq2seqCollator({ padId: 0, decoderStartId: 9, maxSourceLength: 3, maxTargetLength: 4 })([{ source: [4, 5, 6, 7, 1], target: [8, 1] }, { source: [4, 1], target: [5, 6, 7, 8, 1] }], random())
  expect(rows(batch, 'source')).toEqual([[4, 5, 1], [4, 1, 0]])
  expect(rows(batch, 'sourceMask')).toEqual([[1, 1, 1], [1, 1, 0]])
  expect(rows(batch, 'decoderInput')).toEqual([[9, 8, 0, 0], [9, 5, 6, 7]])
  expect(rows(batch, 'labels')).toEqual([[8, 1, -100, -100], [5, 6, 7, 1]])
  expect(batch.tokens).toBe(6)
})

test('classification: classes, numbers, several numbers', () => {
  const examples = [{ ids: [1, 2, 3], typeIds: [0, 0, 1], label: 2 }, { ids: [4], typeIds: [0], label: 0 }]
  const batch = classificationCollator({ padId: 0 })(examples, random())
  expect(batch.inputs['labels']).toEqual({ data: Int32Array.of(2, 0), shape: [2] })
  expect(rows(batch, 'tokenTypeIds')).toEqual([[0, 0, 1], [0, 0, 0]])
  expect(batch.tokens).toBe(2)
  expect(classificationCollator({ padId: 0, floats: true })(examples, random()).inputs['labels']).toEqual({ data: Float32Array.of(2, 0), shape: [2] })
  expect(classificationCollator({ padId: 0, floats: true })([{ ids: [1], label: [0, 1] }], random()).inputs['labels']).toEqual({ data: Float32Array.of(0, 1), shape: [1, 2] })
  expect(() => classificationCollator({ padId: 0 })([{ ids: [1], label: 0.5 }], random())).toThrow(/the label is 0.5, expected the number of a class/)
})

describe('answers', () => {
  const context = 'aa bb cc dd ee ff gg hh', question = 'qq'
  const text = (windows: ReturnType<typeof answerWindows>) => windows.map(({ offsets }) => offsets.filter(span => span).map(span => context.slice(...span!)).join(' '))

  test('windows share the stride and cover the text; the answer is where a window holds it, else the first token', () => {
    const windows = answerWindows(tokenizer, { question, context, answer: { text: 'dd ee', start: 9 } }, { maxLength: 8, stride: 2 })
    expect(text(windows)).toEqual(['aa bb cc dd', 'cc dd ee ff', 'ee ff gg hh'])
    expect(windows.map(({ start, end }) => [start, end])).toEqual([[0, 0], [4, 5], [0, 0]])
    expect(windows[1]!.ids).toEqual([1, id('qq'), 2, id('cc'), id('dd'), id('ee'), id('ff'), 2])
    expect(windows[1]!.typeIds).toEqual([0, 0, 0, 1, 1, 1, 1, 1])
    const batch = answerCollator({ padId: 0 })(windows, random())
    expect([...batch.inputs['startPositions']!.data]).toEqual([0, 4, 0])
    expect(batch.inputs['endPositions']!.shape).toEqual([3])
  })

  test('part of a token is the token; no answer; a short text is one window', () => {
    const one = (answer?: { text: string, start: number }) => answerWindows(tokenizer, { question, context, answer }).map(({ start, end }) => [start, end])
    expect(one({ text: 'b c', start: 4 })).toEqual([[4, 5]])
    expect(one()).toEqual([[0, 0]])
    expect(() => one({ text: 'xx', start: 3 })).toThrow(/the answer 'xx' is said to stand at 3, but there stands 'bb'/)
    expect(() => answerWindows(tokenizer, { question, context }, { maxLength: 6, stride: 2 })).toThrow(/leaves 2 for the text: not more than the stride of 2/)
  })
})

describe('labels of tokens', () => {
  test('the first token of a word has its label, the rest what is asked for', () => {
    const example = { words: ['abcdef', 'gh', 'ijkl'], labels: [5, 0, 7] }
    expect(tokenizer.encode('abcdef gh ijkl').tokens).toEqual(['<1>', 'abc', 'def', 'gh', 'ijk', 'l', '<2>'])
    const labels = (continuation?: Parameters<typeof labelledWords>[2]) => labelledWords(tokenizer, example, continuation).labels
    expect(labels()).toEqual([-100, 5, -100, 0, 7, -100, -100])
    expect(labels({ continuation: 'same' })).toEqual([-100, 5, 5, 0, 7, 7, -100])
    expect(labels({ continuation: label => label + 1 })).toEqual([-100, 5, 6, 0, 7, 8, -100])
    expect(() => labelledWords(tokenizer, { words: ['a'], labels: [] })).toThrow(/1 words and 0 labels/)
  })

  test('places in the text: outside of them another label', () => {
    const encoding = tokenizer.encode('abc de fg')
    expect(alignedLabels(encoding, [{ start: 4, end: 9, label: 3 }], { outside: 0, continuation: label => label + 1 })).toEqual([-100, 0, 3, 4, -100])
    const batch = tokenLabelCollator({ padId: 0 })([{ ids: [4, 5], labels: [1, -100] }, { ids: [6], labels: [2] }], random())
    expect(rows(batch, 'labels')).toEqual([[1, -100], [2, -100]])
    expect(batch.tokens).toBe(2)
  })
})

describe('batches', () => {
  const examples = Array.from({ length: 10 }, (_, i) => ({ ids: [i + 1, i + 1] })), collate = causalCollator({ padId: 0 })

  test('every example once an epoch, in another order each; a restored position goes on with the same batches', () => {
    const batches = new CollatedBatches(examples, collate, { batchSize: 4, seed: 3 }), epoch = () => [0, 1, 2].flatMap(() => rows(batches.next(), 'ids').map(row => row[0]!))
    const [first, second] = [epoch(), epoch()]
    expect([...first].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(second).not.toEqual(first)
    expect([batches.epoch, batches.batch, batches.batchesPerEpoch]).toEqual([2, 0, 3])
    batches.next()
    const state = JSON.parse(JSON.stringify(batches.state())) as ReturnType<typeof batches.state>, next = batches.next()
    const other = new CollatedBatches(examples, collate, { batchSize: 4, seed: 3 })
    other.restore(state)
    expect(other.next()).toEqual(next)
    expect(() => { new CollatedBatches(examples, collate, { batchSize: 5, seed: 3 }).restore(state) }).toThrow(/saved with batchSize 4, here it is 5/)
    expect(() => new CollatedBatches([], collate, { batchSize: 1, seed: 0 })).toThrow(/no examples/)
  })

  test('validation: every example in order, the same each time', () => {
    const masked = evaluationBatchesOf(examples.map(({ ids }) => ({ ids, specialTokensMask: [0, 0] })), maskingCollator({ maskId: 99, vocabSize: 5, padId: 0, probability: 0.5 }), 4)
    expect([...masked]).toEqual([...masked])
    expect([...masked].map(batch => batch.inputs['ids']!.shape[0])).toEqual([4, 4, 2])
  })
})
