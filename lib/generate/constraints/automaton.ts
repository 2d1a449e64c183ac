import { ConfigError } from '../../errors.js'
import { intersection, type CodePoints, type Language } from './language.js'

/** Memory, and time to build: a bound for repetitions of repetitions. */
const mostStates = 200_000

/** A finite automaton with silent steps, over the bytes of UTF-8 (Thompson 1968). */
class Builder {
  readonly silent: number[][] = []
  /** Edges of each state: first byte, last byte, target, and so on. */
  readonly edges: number[][] = []

  /** @param spellable the characters that there may be */
  constructor(private readonly spellable: CodePoints | undefined) {}

  state(): number {
    if (this.silent.length >= mostStates) throw new ConfigError(`the constraint has more than ${mostStates} states. Use smaller repetitions, or less nesting.`)
    this.silent.push([])
    this.edges.push([])
    return this.silent.length - 1
  }

  /** Adds what leads from a state through a text of the language. @returns where it ends */
  add(language: Language, from: number): number {
    switch (language.kind) {
      case 'sequence': return language.parts.reduce((state, part) => this.add(part, state), from)
      case 'choice': {
        const end = this.state()
        for (const option of language.options) this.silent[this.add(option, this.entry(from))]!.push(end)
        return end
      }
      case 'repetition': return this.repeat(language, from)
      case 'character': return this.character(language.of, from)
    }
  }

  private repeat({ of, least, most }: Language & { kind: 'repetition' }, from: number): number {
    let state = from
    for (let i = 0; i < least; i++) state = this.add(of, state)
    const end = this.state()
    if (most === Infinity) {
      const loop = this.entry(state)
      this.silent[this.add(of, loop)]!.push(loop)
      this.silent[loop]!.push(end)
      return end
    }
    this.silent[state]!.push(end)
    for (let i = least; i < most; i++) {
      state = this.add(of, this.entry(state))
      this.silent[state]!.push(end)
    }
    return end
  }

  /** A state of its own behind `from`, into which nothing else leads. */
  private entry(from: number): number {
    const state = this.state()
    this.silent[from]!.push(state)
    return state
  }

  private character(set: CodePoints, from: number): number {
    const end = this.state()
    for (const bytes of utf8Ranges(this.spellable ? intersection(set, this.spellable) : set)) {
      let state = from
      bytes.forEach(([first, last], i) => {
        const next = i === bytes.length - 1 ? end : this.state()
        this.edges[state]!.push(first, last, next)
        state = next
      })
    }
    return end
  }
}

/** A deterministic automaton over bytes; its states come into being when they are reached. From each of them a text can be completed. */
export class Automaton {
  readonly start: number
  private readonly silent: readonly (readonly number[])[]
  private readonly edges: readonly (readonly number[])[]
  private readonly end: number
  /** Least number of bytes from each of the underlying states to the end. */
  private readonly distances: Float64Array
  private readonly numbers = new Map<string, number>()
  private readonly members: Int32Array[] = []
  private readonly transitions: Int32Array[] = []

  /** @throws ConfigError if there is no text at all, or too many states */
  constructor(language: Language, spellable?: CodePoints) {
    const builder = new Builder(spellable), start = builder.state()
    this.end = builder.add(language, start)
    ;({ silent: this.silent, edges: this.edges } = builder)
    this.distances = distancesTo(this.end, builder)
    if (this.distances[start] === Infinity) throw new ConfigError('no text fits the constraint: it contradicts itself, or needs characters that the tokenizer lacks.')
    this.start = this.number(this.closure([start]))
  }

  /** The state behind a byte, or -1 where no text goes on so. */
  next(state: number, byte: number): number {
    const known = this.transitions[state]!
    if (known[byte] === unknown) {
      const targets: number[] = []
      for (const member of this.members[state]!) {
        const edges = this.edges[member]!
        for (let i = 0; i < edges.length; i += 3) if (byte >= edges[i]! && byte <= edges[i + 1]! && this.distances[edges[i + 2]!] !== Infinity) targets.push(edges[i + 2]!)
      }
      known[byte] = targets.length === 0 ? -1 : this.number(this.closure(targets))
    }
    return known[byte]!
  }

  /** Whether a text may end here. */
  accepts(state: number): boolean { return this.distance(state) === 0 }

  /** How many more bytes a text needs at least. */
  distance(state: number): number { return this.members[state]!.reduce((least, member) => Math.min(least, this.distances[member]!), Infinity) }

  /** What is reached silently, as far as it matters: states with edges, and the end. */
  private closure(from: readonly number[]): Int32Array {
    const seen = new Set(from), pending = [...from], kept: number[] = []
    for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
      if (this.edges[state]!.length > 0 || state === this.end) kept.push(state)
      for (const next of this.silent[state]!) {
        if (seen.has(next) || this.distances[next] === Infinity) continue
        seen.add(next)
        pending.push(next)
      }
    }
    return Int32Array.from(kept).sort()
  }

  private number(members: Int32Array): number {
    const key = members.join(' '), known = this.numbers.get(key)
    if (known !== undefined) return known
    this.numbers.set(key, this.members.length)
    this.transitions.push(new Int32Array(256).fill(unknown))
    return this.members.push(members) - 1
  }
}

const unknown = -2

/** Breadth first from the end: silent steps cost nothing, bytes one. */
function distancesTo(end: number, { silent, edges }: Builder): Float64Array {
  const distances = new Float64Array(silent.length).fill(Infinity), silently: number[][] = silent.map(() => []), byByte: number[][] = silent.map(() => [])
  silent.forEach((targets, state) => { for (const target of targets) silently[target]!.push(state) })
  edges.forEach((list, state) => { for (let i = 2; i < list.length; i += 3) byByte[list[i]!]!.push(state) })
  let level = [end]
  for (let distance = 0; level.length > 0; distance++) {
    const next: number[] = [], pending = level.filter(state => distances[state] === Infinity)
    for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
      if (distances[state] !== Infinity) continue
      distances[state] = distance
      pending.push(...silently[state]!)
      next.push(...byByte[state]!)
    }
    level = next
  }
  return distances
}

type ByteRange = readonly [first: number, last: number]

/** A set of characters as sequences of byte ranges: each combination is a character of the set in UTF-8. */
export function utf8Ranges(set: CodePoints): ByteRange[][] {
  const found: ByteRange[][] = []
  const add = (from: number, to: number): void => {
    if (from > to) return
    for (const end of [0x7F, 0x7FF, 0xFFFF]) if (from <= end && to > end) { add(from, end); add(end + 1, to); return }
    // Below a common beginning the last bytes have to run over all their values.
    for (let bits = 6; bits <= (to > 0x7F ? 18 : 0); bits += 6) {
      const low = (1 << bits) - 1
      if ((from & ~low) === (to & ~low)) break
      if ((from & low) !== 0) { add(from, from | low); add((from | low) + 1, to); return }
      if ((to & low) !== low) { add(from, (to & ~low) - 1); add(to & ~low, to); return }
    }
    const [first, last] = [bytesOf(from), bytesOf(to)]
    found.push(first.map((byte, i): ByteRange => [byte, last[i]!]))
  }
  for (const [from, to] of set) add(from, to)
  return found
}

const encoder = new TextEncoder()
const bytesOf = (code: number): number[] => [...encoder.encode(String.fromCodePoint(code))]
