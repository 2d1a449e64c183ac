#pragma once
// Few rows of a against columns of b whose elements are adjacent (weights [N, K] seen as [K, N]): dot products, b read once, from front to back.
#include "cpu/attention/transpose.hpp"
#include "cpu/gemm/few_rows.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

inline constexpr int kLines = 4;                        // of b at a time
inline constexpr int kDotRows = kWidth == 16 ? 6 : 2;   // of a at most

// sums[r * kWidth + l] = the vector of partial sums of row r of a times line l of b. kFetch: brings the lines that come next nearer, for the processor's own
// prefetchers begin anew with each line.
template <int R, int L, bool kFetch, class T>
__attribute__((noinline)) static void dotTile(const float* a, int64_t K, const T* b, int64_t bLine, F32* sums) {
  F32 part[R][L];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int l = 0; l < L; l++) part[r][l] = zero();
  const auto step = [&](int64_t k, int64_t next, auto lanes) WW_ALWAYS {
    F32 x[L];
#pragma GCC unroll 4
    for (int l = 0; l < L; l++) {
      x[l] = load(b + l * bLine + k, lanes);
      if constexpr (kFetch) __builtin_prefetch(b + l * bLine + k + next);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const F32 y = load(a + r * K + k, lanes);
#pragma GCC unroll 4
      for (int l = 0; l < L; l++) part[r][l] = fma(x[l], y, part[r][l]);
    }
  };
  constexpr int64_t kAhead = kFetchBytes / static_cast<int64_t>(sizeof(T));
  const int64_t turn = kFetch && K > kAhead ? (K - kAhead) / kWidth * kWidth : 0, whole = K / kWidth * kWidth;
  for (int64_t k = 0; k < turn; k += kWidth) step(k, kAhead, Whole{});
  for (int64_t k = turn; k < whole; k += kWidth) step(k, L * bLine - turn, Whole{});
  if (whole < K) step(whole, L * bLine - turn, Part{K - whole});
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int l = 0; l < L; l++) sums[r * kWidth + l] = part[r][l];
}

template <int L, bool kFetch, class T, int R = kDotRows> WW_INLINE void dotTileOf(int64_t rows, const float* a, int64_t K, const T* b, int64_t bLine, F32* sums) {
  if constexpr (R > 1)
    if (rows < R) return dotTileOf<L, kFetch, T, R - 1>(rows, a, K, b, bLine, sums);
  dotTile<R, L, kFetch, T>(a, K, b, bLine, sums);
}

// All rows of a against L lines. The first rows read them from afar.
template <int L, class T> static void dotLines(const float* a, int64_t M, int64_t K, const T* b, int64_t bLine, bool more, F32* sums) {
  const int64_t pieces = ceilDiv(M, kDotRows);
  for (int64_t i = 0; i < pieces; i++) {
    const int64_t first = M * i / pieces, rows = M * (i + 1) / pieces - first;
    if (i == 0 && more) dotTileOf<L, true, T>(rows, a, K, b, bLine, sums);
    else dotTileOf<L, false, T>(rows, a + first * K, K, b, bLine, sums + first * kWidth);
  }
}

template <class T> static void dots(const Product& p, char* memory, const Workers& workers) {
  const float* const a = adjacentRows<T>(p, reinterpret_cast<float*>(memory));
  const T* const b = reinterpret_cast<const T*>(p.b.data);
  const int64_t lines = maximum(kWidth, minimum(kMaxLines, taskBytes(p) / maximum(1, p.K * static_cast<int64_t>(sizeof(T)))) / kWidth * kWidth);
  workers.each(ceilDiv(p.N, lines), [&](int64_t task, int) {
    F32 sums[kFewRows * kWidth];
    alignas(64) float out[kFewRows * kMaxLines];
    const int64_t first = task * lines, n = minimum(lines, p.N - first);
    for (int64_t l = 0; l < n; l += kWidth) {
      const int64_t width = minimum(kWidth, n - l);
      for (int64_t i = 0; i < width;) {
        const T* const x = b + (first + l + i) * p.b.line;
        const int64_t left = n - l - i;
        if (width - i >= kLines) dotLines<kLines, T>(a, p.M, p.K, x, p.b.line, left >= 2 * kLines, sums + i), i += kLines;
        else dotLines<1, T>(a, p.M, p.K, x, p.b.line, false, sums + i), i++;
      }
      for (int64_t r = 0; r < p.M; r++) {
        F32 each[kWidth];
        for (int64_t i = 0; i < kWidth; i++) each[i] = i < width ? sums[r * kWidth + i] : zero();
        store(out + r * kMaxLines + l, attention::sumOfEach(each));
      }
    }
    finish(p, out, kMaxLines, 0, p.M, first, n);
  });
}

}  // namespace warpweft::cpu::WW_ISA::gemm
