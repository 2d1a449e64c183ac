/** The word that was probably meant, if one is close enough to be worth naming. */
export function closest(word: string, words: readonly string[]): string | undefined {
  let best: { known: string, distance: number } | undefined
  for (const known of words) {
    const distance = editDistance(word.toLowerCase(), known.toLowerCase())
    if (!best || distance < best.distance) best = { known, distance }
  }
  return best && best.distance <= Math.max(2, best.known.length / 4) && best.distance < best.known.length ? best.known : undefined
}

/** Levenshtein's: insertions, deletions and replacements from one word to the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}
