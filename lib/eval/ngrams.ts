/** How often each n-gram occurs. */
export type Counts = Map<string, number>

/** Counts the n-grams of order `n`; their tokens are joined by a space, which no token contains. */
export function wordNgrams(words: readonly string[], n: number): Counts {
  const counts: Counts = new Map()
  for (let i = 0; i + n <= words.length; i++) {
    const ngram = n === 1 ? words[i]! : words.slice(i, i + n).join(' ')
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
  }
  return counts
}

/** Counts the n-grams of characters (code points, not UTF-16 units) of every order from 1 to `order`. */
export function characterNgrams(text: string, order: number): Counts[] {
  const starts: number[] = []
  for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xffff ? 2 : 1) starts.push(at)
  const length = starts.length
  starts.push(text.length)
  return Array.from({ length: order }, (_, k) => {
    const counts: Counts = new Map()
    for (let i = 0; i + k < length; i++) {
      const ngram = text.slice(starts[i], starts[i + k + 1])
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
    }
    return counts
  })
}

/** The number of n-grams, with repetitions. */
export function total(counts: Counts): number {
  let sum = 0
  for (const count of counts.values()) sum += count
  return sum
}

/** The number of n-grams that both have, with repetitions: the sum of the lesser counts. */
export function matches(a: Counts, b: Counts): number {
  let sum = 0
  for (const [ngram, count] of a) sum += Math.min(count, b.get(ngram) ?? 0)
  return sum
}
