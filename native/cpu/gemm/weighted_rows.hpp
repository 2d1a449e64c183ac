#pragma once
// Few rows of a against rows of b whose elements are adjacent (weights [K, N]): a row of c is a weighted sum of the rows of b. These are read once, several of them
// side by side, and each task has columns of its own.
#include "cpu/gemm/few_rows.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Rows of b at a time. Where they lie a power of two apart they compete for the same places of the cache, together with those that are fetched for the next turn.
inline constexpr int64_t kDepth = 8;
inline constexpr int kSumRows = 4;             // of a at a time: their sums, kSumVectors each, stay in registers
inline constexpr int kSumVectors = 2;
inline constexpr int64_t kSumFloats = 4096;    // sums of a task, which stay in the first cache level
static_assert(kSumFloats / kFewRows >= 128);

// sums += a b for R rows of a and `depth` rows of b, over V vectors (of which the last may be partial). kFetch: brings the same columns of the next rows nearer.
template <int R, int V, bool kFetch, class T, class Lanes>
WW_INLINE void addRows(const float* a, int64_t K, const T* b, int64_t bRow, int64_t depth, bool first, float* sums, int64_t sumsRow, Lanes lanes) {
  F32 part[R][V];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) part[r][v] = zero();
  for (int64_t k = 0; k < depth; k++) {
    F32 x[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      x[v] = load(b + k * bRow + v * kWidth, lanes);
      if constexpr (kFetch) __builtin_prefetch(b + (k + kDepth) * bRow + v * kWidth);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const F32 y = splat(a[r * K + k]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) part[r][v] = fma(x[v], y, part[r][v]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      float* const sum = sums + r * sumsRow + v * kWidth;
      store(sum, first ? part[r][v] : load(sum) + part[r][v]);
    }
}

// n columns. What lies behind the last one in a row of sums, up to a whole vector, is written too.
template <int R, bool kFetch, class T>
__attribute__((noinline)) static void addColumns(const float* a, int64_t K, const T* b, int64_t bRow, int64_t depth, bool first, int64_t n, float* sums, int64_t sumsRow) {
  int64_t j = 0;
  for (; j + kSumVectors * kWidth <= n; j += kSumVectors * kWidth) addRows<R, kSumVectors, kFetch>(a, K, b + j, bRow, depth, first, sums + j, sumsRow, Whole{});
  eachVector(n - j, [&](int64_t i, auto lanes) WW_ALWAYS { addRows<R, 1, false>(a, K, b + j + i, bRow, depth, first, sums + j + i, sumsRow, lanes); });
}

template <bool kFetch, class T, int R = kSumRows>
WW_INLINE void addColumnsOf(int64_t rows, const float* a, int64_t K, const T* b, int64_t bRow, int64_t depth, bool first, int64_t n, float* sums, int64_t sumsRow) {
  if constexpr (R > 1)
    if (rows < R) return addColumnsOf<kFetch, T, R - 1>(rows, a, K, b, bRow, depth, first, n, sums, sumsRow);
  addColumns<R, kFetch, T>(a, K, b, bRow, depth, first, n, sums, sumsRow);
}

template <class T> static void weightedRows(const Product& p, char* memory, const Workers& workers) {
  const float* const a = adjacentRows<T>(p, reinterpret_cast<float*>(memory));
  const T* const b = reinterpret_cast<const T*>(p.b.data);
  // A dozen tasks where columns allow it, each at least two cache lines wide.
  const int64_t most = minimum(1024, kSumFloats / p.M / 64 * 64);   // whole lines, or the sums of all rows would not fit
  const int64_t width = minimum(most, maximum(128, roundUp(ceilDiv(p.N, 12), 64))), pieces = ceilDiv(p.M, kSumRows);
  workers.each(ceilDiv(p.N, width), [&](int64_t task, int) {
    alignas(64) float sums[kSumFloats];
    const int64_t column = task * width, n = minimum(width, p.N - column);
    for (int64_t k = 0; k < p.K || k == 0; k += kDepth) {
      const int64_t depth = minimum(kDepth, p.K - k);
      const T* const rows = b + k * p.b.depth + column;
      for (int64_t i = 0; i < pieces; i++) {
        const int64_t top = p.M * i / pieces, height = p.M * (i + 1) / pieces - top;
        const float* const left = a + top * p.K + k;
        float* const into = sums + top * width;
        if (i == 0 && k + kDepth < p.K) addColumnsOf<true, T>(height, left, p.K, rows, p.b.depth, depth, k == 0, n, into, width);
        else addColumnsOf<false, T>(height, left, p.K, rows, p.b.depth, depth, k == 0, n, into, width);
      }
    }
    finish(p, sums, width, 0, p.M, column, n);
  });
}

}  // namespace warpweft::cpu::WW_ISA::gemm
