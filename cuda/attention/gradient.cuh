#pragma once
// What the passes of backward share: their arguments, the statistics of each query, and P and dS of a fragment (native/ops/attention.hpp has the formulas).
#include "cuda/attention/scores.cuh"

namespace warpweft::cuda::attention {

template <class T> struct BackwardArguments {
  Problem p;
  Heads<const T> dy, q, k, v, y;
  Heads<T> dq, dk, dv;
  bool addDq, addDk, addDv;
  float *base, *delta;         // [B, H, Tq]: lse in units of log 2, dy . y
  bool vectors;                // rows of dy, q, k and v are made of whole 16 bytes
  bool pairsOfQueries, pairsOfKeys;
  int queryBlocks, keyBlocks;  // of all sequences, for one head
};

constexpr unsigned kDeltaThreads = 256;

// A warp a row. Queries that see no key get an infinite base: all their probabilities are then zeros.
template <class T> __global__ void __launch_bounds__(kDeltaThreads) attentionDelta(BackwardArguments<T> a, const float* lse) {
  const Problem& p = a.p;
  const unsigned heads = static_cast<unsigned>(p.heads), queries = static_cast<unsigned>(p.queries);
  const unsigned n = blockIdx.x * (kDeltaThreads / kWarp) + warpOfBlock(), position = n / heads;
  const int head = static_cast<int>(n % heads), batch = static_cast<int>(position / queries), query = static_cast<int>(position % queries);
  if (batch >= p.batch) return;
  const T *dy = a.dy.at(batch, query, head), *y = a.y.at(batch, query, head);
  float sum = 0;
  for (int d = static_cast<int>(lane()); d < p.dim; d += static_cast<int>(kWarp)) sum = fma(toFloat(dy[d]), toFloat(y[d]), sum);
  sum = warpSum(sum);
  if (lane() != 0) return;
  const int64_t at = (static_cast<int64_t>(batch) * p.heads + head) * p.queries + query;
  const bool seen = lse[at] != -infinity();
  a.base[at] = seen ? lse[at] * kLog2e : infinity();
  a.delta[at] = seen ? sum : 0.f;
}

struct Statistics { float base, delta; };

// Of a query of a sequence; behind its last one, those that make all probabilities zeros.
template <class T> WW_DEVICE Statistics statisticsOf(const BackwardArguments<T>& a, const Sequence& s, int head, int query) {
  if (query >= s.queries) return {infinity(), 0.f};
  const int64_t at = (static_cast<int64_t>(s.batch) * a.p.heads + head) * a.p.queries + s.firstQuery + query;
  return {a.base[at], a.delta[at]};
}

// c: scores, becomes m p without dropout's scale. d: dy . v, becomes dS. of(n, e): the statistics of the element's query.
template <int NT, class F> WW_DEVICE void gradientsOf(float (&c)[1][NT][4], float (&d)[1][NT][4], uint32_t keep, float keepScale, F&& of) {
  WW_UNROLL for (int n = 0; n < NT; n++)
    WW_UNROLL for (int e = 0; e < 4; e++) {
      const Statistics q = of(n, e);
      const float x = exp2Fast(c[0][n][e] - q.base);
      const bool kept = keep >> (4 * n + e) & 1;
      d[0][n][e] = x * ((kept ? d[0][n][e] * keepScale : 0.f) - q.delta);
      c[0][n][e] = kept ? x : 0.f;
    }
}

template <int NT> WW_DEVICE void multiplyBy(float (&c)[1][NT][4], const float (&factor)[1][NT][4]) {
  WW_UNROLL for (int n = 0; n < NT; n++) WW_UNROLL for (int e = 0; e < 4; e++) c[0][n][e] *= factor[0][n][e];
}

}  // namespace warpweft::cuda::attention
