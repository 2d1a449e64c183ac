export interface BucketOptions {
  /** How many buckets there are. */
  count: number
  /** Distance from which on all are in the last bucket. */
  farthest: number
  /** Keys behind the query have half of the buckets; else they are in the bucket of distance 0, and a mask hides them. */
  bothSides: boolean
}

/**
 * Buckets of the distances of keys 0 to start + T - 1 from queries start to start + T - 1: one for each of the nearest, then ever wider ones.
 * @returns `[T, start + T]`
 * @see Raffel et al. 2019, https://arxiv.org/abs/1910.10683, section 2.1
 */
export function relativeBuckets(start: number, T: number, { count, farthest, bothSides }: BucketOptions): Int32Array {
  const S = start + T, side = bothSides ? Math.floor(count / 2) : count, ofDistance = distanceBuckets(S, side, farthest)
  const buckets = new Int32Array(T * S)
  for (let i = 0; i < T; i++) {
    for (let j = 0; j < S; j++) {
      const before = start + i - j
      buckets[i * S + j] = before >= 0 ? ofDistance[before]! : bothSides ? side + ofDistance[-before]! : 0
    }
  }
  return buckets
}

/** Bucket of each distance below `length`. The steps are rounded to float32, as models were trained with: it decides where a logarithm hits an integer. */
function distanceBuckets(length: number, count: number, farthest: number): Int32Array {
  const exact = Math.floor(count / 2), f = Math.fround, span = f(Math.log(farthest / exact))
  return Int32Array.from({ length }, (_, d) => d < exact ? d
    : Math.min(count - 1, exact + Math.trunc(f(f(f(Math.log(f(d / exact))) / span) * (count - exact)))))
}
