#pragma once
// Few rows of a against columns of b whose elements are adjacent (weights [N, K] seen as [K, N]): dot products, b read once, from front to back.
#include "cpu/gemm/epilogue.hpp"
#include "cpu/gemm/plan.hpp"
#include "cpu/gemm/workers.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

inline constexpr int kLines = 4;                            // of b at a time
inline constexpr int kDotRows = kWidth == 16 ? 4 : 2;       // of a
inline constexpr int64_t kLinesOfTask = 64;

// out[r][l] = row r of a times line l of b.
template <int R, int L, class T>
__attribute__((noinline)) static void dotTile(const float* a, const T* b, int64_t bLine, int64_t K, float* out) {
  F32 sums[R][L];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int l = 0; l < L; l++) sums[r][l] = zero();
  eachVector(K, [&](int64_t k, auto lanes) WW_ALWAYS {
    F32 x[L];
#pragma GCC unroll 4
    for (int l = 0; l < L; l++) x[l] = load(b + l * bLine + k, lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const F32 y = load(a + r * K + k, lanes);
#pragma GCC unroll 4
      for (int l = 0; l < L; l++) sums[r][l] = fma(x[l], y, sums[r][l]);
    }
  });
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int l = 0; l < L; l++) out[r * kLinesOfTask + l] = sum(sums[r][l]);
}

// The rows of a as adjacent floats: where they lie, or in `copy`.
template <class T> static const float* adjacentRows(const Product& p, float* copy) {
  if (p.type == DType::f32 && p.a.depth == 1 && (p.M == 1 || p.a.line == p.K)) return reinterpret_cast<const float*>(p.a.data);
  for (int64_t i = 0; i < p.M; i++) {
    const T* const row = reinterpret_cast<const T*>(p.a.data) + i * p.a.line;
    float* const y = copy + i * p.K;
    if (p.a.depth == 1) eachVector(p.K, [&](int64_t k, auto lanes) { store(y + k, load(row + k, lanes), lanes); });
    else for (int64_t k = 0; k < p.K; k++) y[k] = toFloat(row[k * p.a.depth]);
  }
  return copy;
}

template <class T> static void dots(const Product& p, char* memory, const Workers& workers) {
  const float* const a = adjacentRows<T>(p, reinterpret_cast<float*>(memory));
  const T* const b = reinterpret_cast<const T*>(p.b.data);
  const int64_t lines = maximum(kLines, minimum(kLinesOfTask, kTaskProducts / maximum(1, p.K * p.M) / kLines * kLines));
  workers.each(ceilDiv(p.N, lines), [&](int64_t task, int) {
    alignas(64) float out[kFewRows * kLinesOfTask];
    const int64_t first = task * lines, n = minimum(lines, p.N - first);
    for (int64_t l = 0; l < n; l += n - l >= kLines ? kLines : 1) {
      const bool several = n - l >= kLines;
      const T* const x = b + (first + l) * p.b.line;
      int64_t r = 0;
      for (; r + kDotRows <= p.M; r += kDotRows) (several ? dotTile<kDotRows, kLines, T> : dotTile<kDotRows, 1, T>)(a + r * p.K, x, p.b.line, p.K, out + r * kLinesOfTask + l);
      for (; r < p.M; r++) (several ? dotTile<1, kLines, T> : dotTile<1, 1, T>)(a + r * p.K, x, p.b.line, p.K, out + r * kLinesOfTask + l);
    }
    finish(p, out, kLinesOfTask, 0, p.M, first, n);
  });
}

}  // namespace warpweft::cpu::WW_ISA::gemm
