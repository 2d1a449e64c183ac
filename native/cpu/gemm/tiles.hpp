#pragma once
// Products of bfloat16 in tile registers (AMX; Intel SDM vol. 1, chapter 18): 16 rows of 16 sums, and per instruction 32 steps of depth. Where the compiler is not told
// of AVX-512 there are none.
//
// Panels have 32 lines, two tiles. Their depth is padded with zeros to whole blocks of 16 pairs; a block lies as the tile registers read it: of b, a row per pair of depth
// with a pair for each line (pairs of [k * 32 + line], as in panels of pairs); of a, a row per line with 16 pairs, first those of lines 0 to 15, then those of 16 to 31.
#include <cstring>

#include "cpu/gemm/panels.hpp"
#include "cpu/gemm/tile.hpp"
#include "cpu/processor.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

inline constexpr int64_t kTileLines = 16, kTilePairs = 16, kTilePanel = 2 * kTileLines;
template <> WW_INLINE int64_t elementsIn<TilePair>(int64_t K) { return ceilDiv(K, 2 * kTilePairs) * kTilePairs; }

#if defined(__AVX512BF16__)
inline constexpr bool kTiles = true;

// The pairs of 16 lines and 16 steps of a panel, a vector per line or (`acrossLines`) a vector per step. Lines and depths that do not exist are zero.
template <bool AcrossLines> static WW_INLINE void readSquare(const bf16* p, const Operand& x, int64_t lines, int64_t depth, F32 (&square)[kTileLines]) {
  if (AcrossLines) {
    const auto row = [&](int64_t k) {
      return k < depth ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(firstLanes(lines), p + k * x.depth)) : _mm512_setzero_si512();
    };
#pragma GCC unroll 16
    for (int i = 0; i < kTilePairs; i++) square[i] = asFloat(Pairs{_mm512_or_si512(row(2 * i), _mm512_slli_epi32(row(2 * i + 1), 16))});
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kTileLines; i++) square[i] = asFloat(i < lines ? loadPairsPartial(p + i * x.line, depth) : Pairs{_mm512_setzero_si512()});
  }
}

// Lines and steps of the square that lie apart: read one by one.
static __attribute__((noinline)) void readApart(const bf16* p, const Operand& x, int64_t lines, int64_t depth, F32 (&square)[kTileLines]) {
  alignas(64) bf16 copy[kTileLines][2 * kTilePairs] = {};
  for (int64_t i = 0; i < minimum(lines, kTileLines); i++)
    for (int64_t k = 0; k < minimum(depth, 2 * kTilePairs); k++) copy[i][k] = p[i * x.line + k * x.depth];
  for (int i = 0; i < kTileLines; i++) square[i] = asFloat(loadPairs(copy[i]));
}

// Packs as gemm::pack does, for b (a row per step) or for a (a row per line).
static __attribute__((noinline)) void packTiles(const Operand& x, int64_t K, int64_t first, int64_t lines, bool rowPerLine, void* panels, float* sums, bool add) {
  const bf16* const source = reinterpret_cast<const bf16*>(x.data) + first * x.line;
  const bool along = x.depth == 1, across = x.line == 1;
  float* out = static_cast<float*>(panels);
  for (int64_t panel = 0; panel < lines; panel += kTilePanel) {
    F32 totals[2] = {zero(), zero()};
    for (int64_t k = 0; k < K; k += 2 * kTilePairs, out += kTilePairs * kTilePanel) {
      for (int half = 0; half < 2; half++) {
        const int64_t line = panel + half * kTileLines, left = maximum(0, lines - line), depth = K - k;
        const bf16* const p = source + line * x.line + k * x.depth;
        F32 square[kTileLines];
        const bool perStep = across && !along;
        if (perStep) readSquare<true>(p, x, left, depth, square);
        else if (along) readSquare<false>(p, x, left, depth, square);
        else readApart(p, x, left, depth, square);
        F32 other[kTileLines];
        if (perStep == rowPerLine || (sums && !perStep)) {
          std::memcpy(other, square, sizeof other);
          attention::transpose(other);
        }
        if (sums) {
          const F32* const steps = perStep ? square : other;
          F32 part[4] = {zero(), zero(), zero(), zero()};
          for (int i = 0; i < kTilePairs; i++) part[i % 4] = part[i % 4] + sumOfPairs({asInt(steps[i]).v});
          totals[half] = totals[half] + ((part[0] + part[1]) + (part[2] + part[3]));
        }
        const F32* const rows = perStep == rowPerLine ? other : square;
        float* const place = rowPerLine ? out + half * kTilePairs * kTileLines : out + half * kTileLines;
        const int64_t step = rowPerLine ? kTilePairs : kTilePanel;
#pragma GCC unroll 16
        for (int i = 0; i < kTileLines; i++) store(place + i * step, rows[i]);
      }
    }
    if (sums)
      for (int half = 0; half < 2; half++) addSums(sums + panel + half * kTileLines, totals[half], minimum(kTileLines, lines - panel - half * kTileLines), add);
  }
}

// Assembly, and not intrinsics: those of GCC do not say which memory they read.
#define WW_TILE_ZERO(t) asm volatile("tilezero %tmm" #t)
#define WW_TILE_LOAD(t, p, rowBytes) asm volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"(static_cast<int64_t>(rowBytes)) : "memory")
#define WW_TILE_STORE(t, p, rowBytes) asm volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"(static_cast<int64_t>(rowBytes)) : "memory")
#define WW_TILE_MULTIPLY(sums, a, b) asm volatile("tdpbf16ps %tmm" #b ", %tmm" #a ", %tmm" #sums)

// The shape of the tile registers while this lives: 0 to 3 sums, 4 and 5 of a, 6 and 7 of b.
class TileRegisters {
 public:
  TileRegisters() {
    struct alignas(64) Shape {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    for (int t = 0; t < 8; t++) shape.bytes[t] = 64, shape.rows[t] = 16;
    asm volatile("ldtilecfg %0" ::"m"(shape));
  }
  ~TileRegisters() { asm volatile("tilerelease"); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

// Sums of 16 TA rows by 16 TB columns over `blocks` blocks of depth, written to (or begun with) c, whose rows are `cRow` floats apart.
template <int TA, int TB>
static __attribute__((noinline)) void multiplyTiles(const TilePair* a, const TilePair* b, int64_t blocks, float* c, int64_t cRow, bool add) {
  const int64_t row = 4 * cRow;
  float* const below = c + kTileLines * cRow;
  WW_TILE_ZERO(0);
  WW_TILE_ZERO(1);
  WW_TILE_ZERO(2);
  WW_TILE_ZERO(3);
  if (add) {
    WW_TILE_LOAD(0, c, row);
    if constexpr (TB > 1) WW_TILE_LOAD(1, c + kTileLines, row);
    if constexpr (TA > 1) WW_TILE_LOAD(2, below, row);
    if constexpr (TA > 1 && TB > 1) WW_TILE_LOAD(3, below + kTileLines, row);
  }
  for (int64_t k = 0; k < blocks; k++, a += kTilePairs * kTilePanel, b += kTilePairs * kTilePanel) {
    WW_TILE_LOAD(4, a, 64);
    WW_TILE_LOAD(6, b, 128);
    WW_TILE_MULTIPLY(0, 4, 6);
    if constexpr (TB > 1) {
      WW_TILE_LOAD(7, b + kTileLines, 128);
      WW_TILE_MULTIPLY(1, 4, 7);
    }
    if constexpr (TA > 1) {
      WW_TILE_LOAD(5, a + kTilePairs * kTileLines, 64);
      WW_TILE_MULTIPLY(2, 5, 6);
      if constexpr (TB > 1) WW_TILE_MULTIPLY(3, 5, 7);
    }
  }
  WW_TILE_STORE(0, c, row);
  if constexpr (TB > 1) WW_TILE_STORE(1, c + kTileLines, row);
  if constexpr (TA > 1) WW_TILE_STORE(2, below, row);
  if constexpr (TA > 1 && TB > 1) WW_TILE_STORE(3, below + kTileLines, row);
}
#undef WW_TILE_ZERO
#undef WW_TILE_LOAD
#undef WW_TILE_STORE
#undef WW_TILE_MULTIPLY

// A register tile of the form that gemm/tile.hpp describes.
static void tileOfPairs(const TilePair* a, const TilePair* b, int64_t, int64_t depth, const Target& target) {
  const int64_t blocks = depth / kTilePairs;
  if (target.rows == kTilePanel && target.columns == kTilePanel) return multiplyTiles<2, 2>(a, b, blocks, target.data, target.row, target.add);
  alignas(64) float edge[kTilePanel * kTilePanel];
  const bool tall = target.rows > kTileLines, wide = target.columns > kTileLines;
  (tall ? wide ? multiplyTiles<2, 2> : multiplyTiles<2, 1> : wide ? multiplyTiles<1, 2> : multiplyTiles<1, 1>)(a, b, blocks, edge, kTilePanel, false);
  for (int64_t i = 0; i < target.rows; i++) {
    float* const out = target.data + i * target.row;
    eachVector(target.columns, [&](int64_t j, auto lanes) {
      const F32 v = load(edge + i * kTilePanel + j, lanes);
      store(out + j, target.add ? load(out + j, lanes) + v : v, lanes);
    });
  }
}
#else
inline constexpr bool kTiles = false;
#endif

// What differs for panels of tile pairs: how they are packed, which tile multiplies them, what registers must be set up meanwhile.
struct NoRegisters {};
#if defined(__AVX512BF16__)
template <class E> using RegistersOf = std::conditional_t<std::is_same_v<E, TilePair>, TileRegisters, NoRegisters>;
#else
template <class E> using RegistersOf = NoRegisters;
#endif
template <class E> WW_INLINE Tile<E, E> packedTile(int64_t rows, int64_t vectors) {
#if defined(__AVX512BF16__)
  if constexpr (std::is_same_v<E, TilePair>) return tileOfPairs;
  else
#endif
  return tileOf<E, E, true>(rows, vectors);
}
inline constexpr int64_t kMostRows = kTiles ? kTilePanel : kRows;

template <class E, class T, bool OfA>
WW_INLINE void packPanels(const Operand& x, int64_t total, int64_t K, int64_t first, int64_t lines, int64_t height, void* panels, float* sums, bool add) {
#if defined(__AVX512BF16__)
  if constexpr (std::is_same_v<E, TilePair>) return packTiles(x, K, first, lines, OfA, panels, sums, add);
  else
#endif
  pack<E, T>(x, total, K, first, lines, height, panels, sums, add);
}

}  // namespace warpweft::cpu::WW_ISA::gemm
