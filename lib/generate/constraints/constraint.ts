import { ConfigError } from '../../errors.js'
import type { LogitsProcessor } from '../processors/logitsProcessor.js'
import { perRow } from '../processors/logitsProcessor.js'
import type { StoppingCriterion } from '../stoppingCriteria.js'
import { Automaton } from './automaton.js'
import { jsonSchema, type JsonSchemaOptions } from './jsonSchema.js'
import type { CodePoints, Language } from './language.js'
import { regularExpression, those } from './regularExpression.js'
import { tokenBytes, type ConstraintTokenizer } from './tokenBytes.js'

/** Tokens by the bytes that they begin with. */
interface TrieNode { readonly children: Map<number, TrieNode>, readonly tokens: number[] }

interface Vocabulary {
  readonly bytes: readonly (Uint8Array | undefined)[]
  readonly trie: TrieNode
  /** Characters that can be spelt whatever stands before; undefined: all. From tokens of one byte or one character alone, each text of them can be made. */
  readonly spellable: CodePoints | undefined
}

/** What may follow a state of the automaton. */
interface Following {
  /** `[V / 32]` bits */
  readonly allowed: Uint32Array
  readonly count: number
  /** Most bytes that a text may lack behind one of them. */
  readonly farthest: number
}

/**
 * Keeps what is generated within a language: regular expressions and JSON schemas as an automaton over bytes, and for each of its states the tokens of a tokenizer
 * that go on, worked out when the state is first reached and kept. One constraint serves any number of generations with its tokenizer.
 * @see Willard, Louf 2023, "Efficient Guided Generation for Large Language Models"
 */
export class Constraint {
  private readonly automaton: Automaton
  private readonly vocabulary: Vocabulary
  private readonly following = new Map<number, Following>()

  /** @throws ConfigError if no text fits */
  constructor(language: Language, tokenizer: ConstraintTokenizer) {
    this.vocabulary = vocabularyOf(tokenizer)
    this.automaton = new Automaton(language, this.vocabulary.spellable)
  }

  /** Texts that the expression matches as a whole. @throws ConfigError for syntax that is not supported */
  static regex(pattern: string | RegExp, tokenizer: ConstraintTokenizer): Constraint { return new Constraint(regularExpression(pattern), tokenizer) }

  /** JSON texts that a schema validates. @throws ConfigError for keywords that are not supported */
  static json(schema: unknown, tokenizer: ConstraintTokenizer, options: JsonSchemaOptions = {}): Constraint {
    return new Constraint(jsonSchema(schema, options), tokenizer)
  }

  /** Whether the tokens are a whole text of the language. */
  accepts(tokens: Iterable<number>): boolean {
    const state = this.after(tokens)
    return state >= 0 && this.automaton.accepts(state)
  }

  /** Whether a text is whole and nothing can follow. */
  isComplete(tokens: Iterable<number>): boolean {
    const state = this.after(tokens)
    return state < 0 || (this.automaton.accepts(state) && this.tokensAfter(state).count === 0)
  }

  /** @internal Excludes tokens that leave the language, and those after which it could not be completed within `maxNewTokens`, where that is possible at all. */
  processor(ends: readonly number[], maxNewTokens: number): LogitsProcessor {
    return perRow((logits, previous, { promptLength }) => {
      const tokens = Array.prototype.slice.call(previous, promptLength) as number[]
      if (ends.includes(tokens.at(-1)!)) return   // a finished row that still fills the batch
      const state = this.after(tokens)
      if (state < 0) return
      const { allowed, farthest } = this.tokensAfter(state), left = maxNewTokens - tokens.length - 1
      const masked = farthest <= left ? allowed : this.within(state, left), mayEnd = this.automaton.accepts(state)
      for (let token = 0; token < logits.length; token++) {
        const fits = ends.includes(token) ? mayEnd : token < this.vocabulary.bytes.length && (masked[token >> 5]! >>> (token & 31) & 1) === 1
        if (!fits) logits[token] = -Infinity
      }
    })
  }

  /** @internal Ends a text to which nothing can be added. */
  criterion(): StoppingCriterion {
    return (tokens, { promptLength }) => this.isComplete(tokens.slice(promptLength))
  }

  /** @returns the state of the automaton, -1 for what is no beginning of a text */
  private after(tokens: Iterable<number>): number {
    let state = this.automaton.start
    for (const token of tokens) {
      const bytes = this.vocabulary.bytes[token]
      if (!bytes) return -1
      for (let i = 0; i < bytes.length && state >= 0; i++) state = this.automaton.next(state, bytes[i]!)
      if (state < 0) return -1
    }
    return state
  }

  private tokensAfter(state: number): Following {
    let found = this.following.get(state)
    if (!found) {
      const allowed = new Uint32Array((this.vocabulary.bytes.length + 31) >> 5)
      let count = 0, farthest = 0
      this.visit(state, (token, next) => {
        allowed[token >> 5]! |= 1 << (token & 31)
        count++
        farthest = Math.max(farthest, this.automaton.distance(next))
      })
      this.following.set(state, found = { allowed, count, farthest })
    }
    return found
  }

  /** Tokens behind which a text lacks at most `most` bytes; those behind which it lacks least where there are none. */
  private within(state: number, most: number): Uint32Array {
    let bound = Infinity
    this.visit(state, (_, next) => { bound = Math.min(bound, this.automaton.distance(next)) })
    const allowed = new Uint32Array((this.vocabulary.bytes.length + 31) >> 5), limit = Math.max(bound, most)
    this.visit(state, (token, next) => { if (this.automaton.distance(next) <= limit) allowed[token >> 5]! |= 1 << (token & 31) })
    return allowed
  }

  /** All tokens that go on from a state, and the states behind them. */
  private visit(from: number, found: (token: number, state: number) => void): void {
    const walk = (node: TrieNode, state: number): void => {
      for (const token of node.tokens) found(token, state)
      for (const [byte, child] of node.children) {
        const next = this.automaton.next(state, byte)
        if (next >= 0) walk(child, next)
      }
    }
    walk(this.vocabulary.trie, from)
  }
}

const vocabularies = new WeakMap<ConstraintTokenizer, Vocabulary>()

function vocabularyOf(tokenizer: ConstraintTokenizer): Vocabulary {
  if (typeof tokenizer.toJSON !== 'function') throw new ConfigError('a constraint needs the tokenizer, to know the text of each token.')
  const known = vocabularies.get(tokenizer)
  if (known?.bytes.length === tokenizer.vocabSize) return known
  const bytes = tokenBytes(tokenizer), trie: TrieNode = { children: new Map(), tokens: [] }
  bytes.forEach((own, token) => {
    if (!own) return
    let node = trie
    for (const byte of own) {
      let child = node.children.get(byte)
      if (!child) node.children.set(byte, child = { children: new Map(), tokens: [] })
      node = child
    }
    node.tokens.push(token)
  })
  const vocabulary: Vocabulary = { bytes, trie, spellable: spellableBy(bytes) }
  vocabularies.set(tokenizer, vocabulary)
  return vocabulary
}

function spellableBy(tokens: readonly (Uint8Array | undefined)[]): CodePoints | undefined {
  const single = new Set(tokens.filter(bytes => bytes?.length === 1).map(bytes => bytes![0]!))
  // Bytes of UTF-8: C0, C1 and F5 to FF are none.
  if (Array.from({ length: 0xF5 }, (_, byte) => byte).every(byte => single.has(byte) || byte === 0xC0 || byte === 0xC1)) return undefined
  const decoder = new TextDecoder('utf-8', { fatal: true }), whole = new Set<number>()
  for (const bytes of tokens) {
    if (!bytes || bytes.length > 4) continue
    try {
      const [first, ...others] = decoder.decode(bytes)
      if (first !== undefined && others.length === 0) whole.add(first.codePointAt(0)!)
    } catch { /* no character */ }
  }
  const encoder = new TextEncoder()
  if (![...single].some(byte => byte >= 0xC2)) return those(code => whole.has(code))
  return those(code => whole.has(code) || encoder.encode(String.fromCodePoint(code)).every(byte => single.has(byte)))
}

