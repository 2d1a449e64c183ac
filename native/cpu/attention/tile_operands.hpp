#pragma once
// Attention's matrices as operands of tile products (simd/tiles.hpp). Everything comes in multiples of 32 lines and 32 of depth, padded with zeros.
//
//   lines       left, one line a row          K, V for the scores and their gradients; depth runs along the head's dimension
//   columns     left, one line a column       V and K for y and dq; depth runs over keys
//   pairedRows  right, one line a row         q and dy for the scores; depth runs along the head's dimension
//   pairs       right, one line a column      q and dy for dk and dv; depth runs over queries
#include "cpu/attention/tile.hpp"
#include "cpu/processor.hpp"
#include "cpu/simd/tiles.hpp"

namespace warpweft::cpu::WW_ISA::attention {

// Fewer queries, or a narrower head, would leave most of a tile empty.
inline constexpr int64_t kTileQueries = 24, kTileDim = 16;
inline bool takesTiles(int64_t queries, int64_t dim) { return kTiles && bf16Products() == Bf16Products::tiles && queries >= kTileQueries && dim >= kTileDim; }

#if defined(WW_TILES)

inline constexpr int kScoreTerms = 3;                                             // of q times its factor: scores are float32 whatever the dtype
template <class T> inline constexpr int kFactorTerms = kTerms<T> == 1 ? 2 : 3;    // of probabilities and dS

inline constexpr int64_t kPatch = 2 * kTileLines;   // what one tileProduct makes, and what sizes are rounded up to
static_assert(kPatch == kTileDepth && kTile % kPatch == 0 && kWidth == kTileLines);

WW_INLINE int64_t patches(int64_t n) { return ceilDiv(n, kPatch); }
WW_INLINE int64_t padded(int64_t n) { return patches(n) * kPatch; }
// Elements of an operand of `lines` x `depth`.
WW_INLINE int64_t operandSize(int64_t lines, int64_t depth, int terms) { return padded(lines) * padded(depth) * terms; }
// Elements between its blocks of lines.
WW_INLINE int64_t blockSize(int64_t depth, int terms) { return patches(depth) * terms * kTileHalves; }

// x[c], …, x[c + 15] of a row of n elements; zeros behind its end.
template <class T> WW_INLINE F32 loadFrom(const T* x, int64_t c, int64_t n) {
  return c + kWidth <= n ? load(x + c) : c < n ? loadPartial(x + c, n - c) : zero();
}
// Which rows an operand is made of: the rows [0, count) of x without the hidden ones, times a factor.
template <class T, class Hidden> struct OperandRows {
  Rows<const T> x;
  int64_t count, columns;
  float factor;
  Hidden hidden;

  WW_INLINE F32 operator()(int64_t row, int64_t column, Inspection& seen) const {
    constexpr int64_t kAhead = 16;   // rows lie a token apart: too far for the processor to foresee
    if (row >= count || hidden(row)) return zero();
    __builtin_prefetch(x[row + kAhead < count ? row + kAhead : row] + column);
    const F32 v = seen(loadFrom(x[row], column, columns));
    return factor == 1.f ? v : v * splat(factor);
  }
};

template <int N, class Source> void packLines(const Source& rows, uint16_t* to, Inspection& seen) {
  const int64_t steps = patches(rows.columns);
  for (int64_t r = 0; r < padded(rows.count); r++)
    for (int64_t s = 0; s < steps; s++) {
      const F32 first = rows(r, s * kTileDepth, seen), second = rows(r, s * kTileDepth + kWidth, seen);
      storeLine<N>(first, second, to + ((r / kTileLines * steps + s) * N * kTileLines + r % kTileLines) * kTileDepth);
    }
}

// Of `steps` in all, those from `step` on.
template <int N, class Source> void packColumns(const Source& rows, int64_t step, int64_t steps, uint16_t* to, Inspection& seen) {
  for (int64_t r = 0; r < padded(rows.count); r += kTileDepth, step++)
    for (int64_t c = 0; c < padded(rows.columns); c += kTileLines) {
      F32 first[kWidth], second[kWidth];
      for (int i = 0; i < kWidth; i++) first[i] = rows(r + i, c, seen), second[i] = rows(r + kWidth + i, c, seen);
      transpose(first);
      transpose(second);
      uint16_t* tile = to + (c / kTileLines * steps + step) * N * kTileHalves;
      for (int i = 0; i < kWidth; i++) storeLine<N>(first[i], second[i], tile + i * kTileDepth);
    }
}

template <int N, class Source> void packPairedRows(const Source& rows, uint16_t* to, Inspection& seen) {
  alignas(64) uint16_t lines[N * kTileHalves];
  for (int64_t r = 0; r < padded(rows.count); r += kTileLines)
    for (int64_t c = 0; c < padded(rows.columns); c += kTileDepth) {
      for (int i = 0; i < kTileLines; i++) {
        const F32 first = rows(r + i, c, seen), second = rows(r + i, c + kWidth, seen);
        storeLine<N>(first, second, lines + i * kTileDepth);
      }
      for (int n = 0; n < N; n++, to += kTileHalves) {
        F32 pairs[kWidth];
        for (int i = 0; i < kWidth; i++) pairs[i] = asFloat(loadPairs(reinterpret_cast<const bf16*>(lines + n * kTileHalves + i * kTileDepth)));
        transpose(pairs);   // of pairs, whatever they are as floats
        for (int i = 0; i < kWidth; i++) store(reinterpret_cast<float*>(to + i * kTileDepth), pairs[i]);
      }
    }
}

template <int N, class Source> void packPairs(const Source& rows, uint16_t* to, Inspection& seen) {
  const int64_t steps = patches(rows.count);
  for (int64_t r = 0; r < padded(rows.count); r += 2)
    for (int64_t c = 0; c < padded(rows.columns); c += kWidth) {
      const F32 even = rows(r, c, seen), odd = rows(r + 1, c, seen);
      storePairs<N>(even, odd, to + ((c / kTileLines * steps + r / kTileDepth) * N * kTileLines + r % kTileDepth / 2) * kTileDepth);
    }
}

// result[i] = factor[i] * (column i of x), for the columns that there are; x [dim][kPanel] as tile products leave it.
template <class T, class Factor> void writeColumns(Rows<T> result, const float* x, int64_t count, int64_t dim, bool accumulate, Factor factor) {
  for (int64_t i = 0; i < count; i += kWidth)
    for (int64_t c = 0; c < dim; c += kWidth) {
      F32 block[kWidth];
      for (int l = 0; l < kWidth; l++) block[l] = load(x + (c + l) * kPanel + i);
      transpose(block);
      const int64_t n = dim - c;
      for (int l = 0; l < kWidth && i + l < count; l++) {
        T* y = result[i + l] + c;
        const F32 v = factor(i + l) == 0.f ? zero() : block[l] * splat(factor(i + l));
        if (n >= kWidth) store(y, accumulate ? load(y) + v : v);
        else storePartial(y, accumulate ? loadPartial(y, n) + v : v, n);
      }
    }
}

#endif

}  // namespace warpweft::cpu::WW_ISA::attention
