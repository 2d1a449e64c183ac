#pragma once
// Register tiles: R rows by V vectors of sums stay in registers over a run of depth; per step, V vectors of b are loaded and R elements of a broadcast.
#include "cpu/simd/lanes.hpp"
#include "cpu/simd/matrix.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Largest tile: sums, one step of b and a broadcast fill the register file (32, 32 and 16 registers; without FMA one more is in use).
#if defined(__AVX512F__)
inline constexpr int kRows = 14, kVectors = 2;
#elif defined(__aarch64__)
inline constexpr int kRows = 8, kVectors = 3;
#else
inline constexpr int kRows = 6, kVectors = 2;
#endif
inline constexpr int kColumns = kVectors * kWidth;
// Rows of tiles that read b where it lies in half precision (gemm/plan.hpp).
inline constexpr int kRowsOfHalf = kRows < 8 ? kRows : 8;

// Which operand's panel stays in L1 while those of the other pass by, from L2. With vectors of 16 a panel of b of a whole block of depth is larger than L1, so
// that of a stays, and b is fetched `kAhead` steps of depth ahead; with shorter vectors the loads of the tile leave no room for that.
inline constexpr bool kPassesB = kWidth == 16;
inline constexpr int kAhead = kPassesB ? 8 : 0;

// Where a tile of sums goes: `rows` by `columns` floats, written or added to.
struct Target { float* data; int64_t row; int64_t rows, columns; bool add; };

// The part of a tile of sums, whose rows are `row` floats apart, that there is room for at the edge of c.
WW_INLINE void putEdge(const float* sums, int64_t row, const Target& target) {
  for (int64_t i = 0; i < target.rows; i++) {
    float* const out = target.data + i * target.row;
    eachVector(target.columns, [&](int64_t j, auto lanes) WW_ALWAYS {
      const F32 v = load(sums + i * row + j, lanes);
      store(out + j, target.add ? load(out + j, lanes) + v : v, lanes);
    });
  }
}

// a: a panel of R lines. b: `depth` rows of V vectors, bRow elements apart; `Packed` if they follow each other.
template <class E, class B> using Tile = void (*)(const E* a, const B* b, int64_t bRow, int64_t depth, const Target& target);

template <class E, class B, int R, int V, bool Packed>
__attribute__((noinline)) static void tile(const E* __restrict a, const B* __restrict b, int64_t bRow, int64_t depth, const Target& target) {
  F32 sum[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) sum[i][j] = zero();
  if (target.add) {
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) __builtin_prefetch(target.data + i * target.row + j * kWidth, 1);
  }
  for (int64_t k = 0; k < depth; k++, a += R, b += bRow) {
    typename VectorOf<E>::type right[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) {
      right[j] = loadElements(b + j * kWidth);
      if constexpr (kAhead > 0 && Packed) __builtin_prefetch(b + (kAhead * V + j) * kWidth);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const auto left = splatElement(a + i);
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) sum[i][j] = multiplyAdd(left, right[j], sum[i][j]);
    }
  }
  float* out = target.data;
  if (target.rows == R && target.columns == V * kWidth) {
    if (target.add) {
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) store(out + i * target.row + j * kWidth, load(out + i * target.row + j * kWidth) + sum[i][j]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) store(out + i * target.row + j * kWidth, sum[i][j]);
    }
    return;
  }
  float edge[R][V * kWidth];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) store(&edge[i][j * kWidth], sum[i][j]);
  putEdge(&edge[0][0], V * kWidth, target);
}

// The tile function for panels of `rows` lines and `vectors` vectors.
template <class E, class B, bool Packed, int R = 1, int V = 1> WW_INLINE Tile<E, B> tileOf(int64_t rows, int64_t vectors) {
  constexpr int most = sizeof(B) == 2 ? kRowsOfHalf : kRows;
  if constexpr (R < most) if (rows > R) return tileOf<E, B, Packed, R + 1, V>(rows, vectors);
  if constexpr (V < kVectors) if (vectors > V) return tileOf<E, B, Packed, R, V + 1>(rows, vectors);
  return tile<E, B, R, V, Packed>;
}

}  // namespace warpweft::cpu::WW_ISA::gemm
