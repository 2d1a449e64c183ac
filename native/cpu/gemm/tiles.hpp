#pragma once
// Products in matrix tiles (simd/tiles.hpp): bfloat16 as it is, float16 in two terms, float32 in three.
//
// Panels have 32 lines, two blocks. Their depth is padded with zeros to whole steps of 32. A panel lies step by step; of each step come the terms of the first block
// of 16 lines, then those of the second.
#include <atomic>

#include "cpu/gemm/panels.hpp"
#include "cpu/gemm/tile.hpp"
#include "cpu/gemm/workers.hpp"
#include "cpu/processor.hpp"
#include "cpu/simd/tiles.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Four bytes of a panel of numbers of type T.
template <class T> struct TileElement { uint32_t bits; };
template <class E> inline constexpr bool kOfTiles = false;
template <class T> inline constexpr bool kOfTiles<TileElement<T>> = true;

#if defined(WW_TILES)
inline constexpr int64_t kTilePanel = 2 * kTileLines;
// Elements of a line and a step of depth.
template <class T> inline constexpr int64_t kElementsOfStep = kTerms<T> * kTileDepth / 2;

template <class T> static WW_INLINE F32 loadUpTo(const T* p, int64_t n) { return n >= kWidth ? load(p) : n > 0 ? loadPartial(p, n) : zero(); }

// 16 lines and 16 of depth as vectors: one per line, or (`PerDepth`) one per depth. What does not exist is zero.
template <bool PerDepth, class T> static WW_INLINE void readSquare(const T* p, const Operand& x, int64_t lines, int64_t depth, F32 (&square)[kWidth]) {
  const int64_t vectors = PerDepth ? depth : lines, length = PerDepth ? lines : depth, step = PerDepth ? x.depth : x.line;
  if (vectors >= kWidth && length >= kWidth) {
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++) square[i] = load(p + i * step);
  } else {
    for (int i = 0; i < kWidth; i++) square[i] = i < vectors ? loadUpTo(p + i * step, length) : zero();
  }
}
// Where neither lines nor depths lie side by side: one by one, a vector per line.
template <class T> static __attribute__((noinline)) void readApart(const T* p, const Operand& x, int64_t lines, int64_t depth, F32 (&square)[kWidth]) {
  alignas(64) float copy[kWidth][kWidth] = {};
  for (int64_t i = 0; i < minimum(lines, kWidth); i++)
    for (int64_t k = 0; k < minimum(depth, kWidth); k++) copy[i][k] = toFloat(p[i * x.line + k * x.depth]);
  for (int i = 0; i < kWidth; i++) square[i] = load(copy[i]);
}

// Packs as gemm::pack does, for the left operand (a row of a tile per line) or the right one (a row per two depths).
template <class T, bool Left>
static __attribute__((noinline)) void packTiles(const Operand& x, int64_t K, int64_t first, int64_t lines, void* panels, float* sums, bool add) {
  constexpr int N = kTerms<T>;
  const T* const source = reinterpret_cast<const T*>(x.data) + first * x.line;
  const bool perDepth = x.line == 1 && x.depth != 1;
  uint16_t* out = static_cast<uint16_t*>(panels);
  for (int64_t panel = 0; panel < lines; panel += kTilePanel) {
    F32 totals[2] = {zero(), zero()};
    for (int64_t k = 0; k < K; k += kTileDepth)
      for (int half = 0; half < 2; half++, out += N * kTileHalves) {
        const int64_t line = panel + half * kTileLines, left = lines - line;
        F32 squares[2][kWidth];
        for (int part = 0; part < 2; part++) {
          const int64_t begin = k + part * kWidth;
          const T* const p = source + line * x.line + begin * x.depth;
          if (perDepth) readSquare<true>(p, x, left, K - begin, squares[part]);
          else if (x.depth == 1) readSquare<false>(p, x, left, K - begin, squares[part]);
          else readApart(p, x, left, K - begin, squares[part]);
          if (sums) {
            F32 steps[kWidth];
#pragma GCC unroll 16
            for (int i = 0; i < kWidth; i++) steps[i] = squares[part][i];
            if (!perDepth) attention::transpose(steps);
            F32 sum[4] = {zero(), zero(), zero(), zero()};
#pragma GCC unroll 16
            for (int i = 0; i < kWidth; i++) sum[i % 4] = sum[i % 4] + steps[i];
            totals[half] = totals[half] + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
          }
          if (perDepth == Left) attention::transpose(squares[part]);
        }
        if constexpr (Left) {
          for (int i = 0; i < kWidth; i++) storeLine<N>(squares[0][i], squares[1][i], out + i * kTileDepth);
        } else {
          for (int i = 0; i < kWidth; i++) storePairs<N>(squares[i / 8][i % 8 * 2], squares[i / 8][i % 8 * 2 + 1], out + i * kTileDepth);
        }
      }
    if (sums)
      for (int half = 0; half < 2; half++) addSums(sums + panel + half * kTileLines, totals[half], minimum(kTileLines, lines - panel - half * kTileLines), add);
  }
}

// A register tile of the form that gemm/tile.hpp describes; `depth` counts elements.
template <class T> static void matrixTile(const TileElement<T>* a, const TileElement<T>* b, int64_t, int64_t depth, const Target& target) {
  constexpr int N = kTerms<T>;
  constexpr int64_t block = N * kTileHalves;
  const auto multiply = [&](float* c, int64_t row, bool add) {
    tileProduct<N, N>(reinterpret_cast<const uint16_t*>(a), block, reinterpret_cast<const uint16_t*>(b), block, depth / kElementsOfStep<T>, c, row, add, 2 * block, 2 * block);
  };
  if (target.rows == kTilePanel && target.columns == kTilePanel) return multiply(target.data, target.row, target.add);
  alignas(64) float edge[kTilePanel * kTilePanel];
  multiply(edge, kTilePanel, false);
  putEdge(edge, kTilePanel, target);
}

// The least size of an operand's numbers that is not zero; 0 where they cannot be cut into terms.
template <class T> static float leastOf(const Operand& x, int64_t lines, int64_t K, const Workers& workers) {
  const bool along = x.depth == 1;
  if (!along && x.line != 1) return 0.f;
  const int64_t rows = along ? lines : K, length = along ? K : lines, step = along ? x.line : x.depth;
  std::atomic<float> least{__builtin_inff()};
  const int64_t group = maximum(1, (1 << 16) / maximum(1, length));
  workers.each(ceilDiv(rows, group), [&](int64_t task, int) {
    Inspection inspect;
    for (int64_t i = task * group; i < minimum(rows, (task + 1) * group); i++) {
      const T* const row = reinterpret_cast<const T*>(x.data) + i * step;
      eachVector(length, [&](int64_t k, auto lanes) { inspect(load(row + k, lanes)); });
    }
    const float own = inspect.ordinary() ? inspect.least() : 0.f;
    float before = least.load(std::memory_order_relaxed);
    while (own < before && !least.compare_exchange_weak(before, own, std::memory_order_relaxed)) {}
  });
  return least.load(std::memory_order_relaxed);
}
// Whether a product's numbers can be cut into terms, whose products keep what matters. Those of bfloat16 always can; float16 has none that are too small or too large,
// infinities apart.
template <class T> static bool ordinary(const Product& p, const Workers& workers) {
  if constexpr (std::is_same_v<T, bf16>) return true;
  const float a = leastOf<T>(p.a, p.M, p.K, workers);
  return a > 0.f && a * leastOf<T>(p.b, p.N, p.K, workers) >= kLeastProduct;
}
#else
inline constexpr int64_t kTilePanel = 1;
template <class T> inline constexpr int64_t kElementsOfStep = 1;
#endif

// What differs for panels of tiles: how they are packed, which tile multiplies them, what registers must be set up meanwhile.
struct NoRegisters {};
#if defined(WW_TILES)
template <class E> using RegistersOf = std::conditional_t<kOfTiles<E>, TileRegisters, NoRegisters>;
#else
template <class E> using RegistersOf = NoRegisters;
#endif
template <class E, class T> WW_INLINE Tile<E, E> packedTile(int64_t rows, int64_t vectors) {
#if defined(WW_TILES)
  if constexpr (kOfTiles<E>) return matrixTile<T>;
  else
#endif
  return tileOf<E, E, true>(rows, vectors);
}
inline constexpr int64_t kMostRows = kTiles ? kTilePanel : kRows;

template <class E, class T, bool Left>
WW_INLINE void packPanels(const Operand& x, int64_t total, int64_t K, int64_t first, int64_t lines, int64_t height, void* panels, float* sums, bool add) {
#if defined(WW_TILES)
  if constexpr (kOfTiles<E>) return packTiles<T, Left>(x, K, first, lines, panels, sums, add);
  else
#endif
  pack<E, T>(x, total, K, first, lines, height, panels, sums, add);
}

}  // namespace warpweft::cpu::WW_ISA::gemm
