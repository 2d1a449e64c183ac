#pragma once
// The matrix products of attention on tiles of 64 columns (tile.hpp). A register tile of kRows x 2 vectors holds the sums; the left operand comes as
// broadcast scalars and the right one as vectors, both from the first cache level.
#include "cpu/attention/tile.hpp"

namespace warpweft::cpu::WW_ISA::attention {

// Rows of sums kept in registers: 12 x 2 of 32 registers, or 6 x 2 of 16. Rows come in thirds of that.
inline constexpr int kRows = kWidth == 16 ? 12 : 6;
inline constexpr int kRowStep = kRows / 3;
static_assert(kSpare >= kRows);

// What a product does with the result that it finds: nothing, add to it, or scale row i by scale[i] first.
enum class Start { zero, add, scale };
// How the left operand lies: row i at i * 64 and the depth along the row, or the depth down the rows and i along them.
enum class Left { rows, columns };

template <int M, int N, Left L, Start S>
WW_INLINE void registerTile(const float* a, int64_t aPanel, const float* b, int64_t depth, float* c, const float* scale) {
  F32 sum[M][N];
#pragma GCC unroll 16
  for (int i = 0; i < M; i++)
#pragma GCC unroll 2
    for (int j = 0; j < N; j++) {
      if constexpr (S == Start::zero) sum[i][j] = zero();
      else if constexpr (S == Start::add) sum[i][j] = load(c + i * kPanel + j * kWidth);
      else sum[i][j] = load(c + i * kPanel + j * kWidth) * splat(scale[i]);
    }
  for (int64_t begin = 0; begin < depth; begin += kPanel, a += aPanel) {
    const float* x = a;
    const float* const end = b + minimum(kPanel, depth - begin) * kPanel;
    for (; b != end; b += kPanel) {
      F32 right[N];
#pragma GCC unroll 2
      for (int j = 0; j < N; j++) right[j] = load(b + j * kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < M; i++) {
        const F32 left = splat(L == Left::rows ? x[i * kPanel] : x[i]);
#pragma GCC unroll 2
        for (int j = 0; j < N; j++) sum[i][j] = fma(left, right[j], sum[i][j]);
      }
      x += L == Left::rows ? 1 : kPanel;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < M; i++)
#pragma GCC unroll 2
    for (int j = 0; j < N; j++) store(c + i * kPanel + j * kWidth, sum[i][j]);
}

template <int M, Left L, Start S>
WW_INLINE void registerTile(int vectors, const float* a, int64_t aPanel, const float* b, int64_t depth, float* c, const float* scale) {
  if (vectors == 2) registerTile<M, 2, L, S>(a, aPanel, b, depth, c, scale);
  else registerTile<M, 1, L, S>(a, aPanel, b, depth, c, scale);
}

// c[i][..] = sum over d of a(i, d) b[d][..] for rows [0, rows) rounded up to kRowStep and one or two vectors of columns. With Left::rows the depth may span
// panels of a, aPanel floats apart; b goes on without a gap.
template <Left L, Start S>
__attribute__((noinline)) void strip(int64_t rows, int vectors, const float* a, int64_t aPanel, const float* b, int64_t depth, float* c, const float* scale) {
  constexpr int64_t aRow = L == Left::rows ? kPanel : 1;
  for (int64_t i = 0; i < rows;) {
    const int64_t left = rows - i;
    const float *x = a + i * aRow, *f = S == Start::scale ? scale + i : nullptr;
    float* y = c + i * kPanel;
    if (left > 2 * kRowStep) registerTile<kRows, L, S>(vectors, x, aPanel, b, depth, y, f), i += kRows;
    else if (left > kRowStep) registerTile<2 * kRowStep, L, S>(vectors, x, aPanel, b, depth, y, f), i += 2 * kRowStep;
    else registerTile<kRowStep, L, S>(vectors, x, aPanel, b, depth, y, f), i += kRowStep;
  }
}

}  // namespace warpweft::cpu::WW_ISA::attention
