#pragma once
// Matrix tiles (Intel AMX): registers of 16 rows of 64 bytes. One instruction multiplies 16 x 32 bfloat16 by 32 x 16 and adds to 16 x 16 float32, sixteen times as
// many multiply-adds a cycle as AVX-512 does in float32. So many that float32 goes through it too: 24 bits of significand are cut into three bfloat16 of eight, exactly,
//
//   x = x0 + x1 + x2,   |x1| <= 2^-8 |x0|,   |x2| <= 2^-8 |x1|     (each the nearest to what is left)
//
// and x y is the sum of the six products xi yj with i + j <= 2. What is left out is below 2^-23 |x y|, of either sign: less than what a float32 product rounds off
// twice. (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations".)
// The instruction takes denormals for zero: numbers must be ordinary (Inspection), or the low parts of small ones are lost. So must be the products of two (kLeastProduct): what
// they lose is below 2^-126 then, 2^-26 of them. Infinities have no parts.
//
// An operand is a sequence of tiles of 16 lines x 32 of depth (kTileLines, kTileDepth), one behind the other for its terms, its steps of depth, then its blocks of
// lines. The left one lies line by line; the right one as pairs: row r holds the depths 2 r and 2 r + 1 of all lines.
#include "cpu/simd/matrix.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr int64_t kTileLines = 16, kTileDepth = 32;

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define WW_TILES
inline constexpr bool kTiles = true;

inline constexpr int64_t kTileHalves = kTileLines * kTileDepth;   // elements of a tile

// Sets the tile registers up for full tiles, and hands them back: a thread that leaves them in use makes every switch of threads dearer.
class TileRegisters {
 public:
  TileRegisters() {
    alignas(64) uint8_t layout[64] = {1};   // Intel SDM vol. 1, 18.3: palette, then bytes a row (16 bits each) from 16, rows from 48
    for (int i = 0; i < 8; i++) layout[16 + 2 * i] = 64, layout[48 + i] = 16;
    asm volatile("ldtilecfg %0" : : "m"(layout));
  }
  ~TileRegisters() { asm volatile("tilerelease" : :); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

// Terms that a number of a type has.
template <class T> inline constexpr int kTerms = 3;
template <> inline constexpr int kTerms<f16> = 2;
template <> inline constexpr int kTerms<bf16> = 1;

// The products xi yj, the smallest first; each differs from the one before in one factor where possible, which then stays in its registers.
inline constexpr int kTermProducts[6][2] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {0, 0}};

// c[2 x 16][2 x 16] (+)= a . b over `steps` of depth, of operands with A and B terms; two blocks of lines of each, aLine and bLine elements apart; steps are aStep and
// bStep elements apart, rows of c cRow floats.
template <int A, int B>
__attribute__((noinline)) static void tileProduct(const uint16_t* a, int64_t aLine, const uint16_t* b, int64_t bLine, int64_t steps, float* c, int64_t cRow, bool add,
                                                  int64_t aStep = A * kTileHalves, int64_t bStep = B * kTileHalves) {
  asm volatile("" : : : "memory");   // the instructions below say nothing to the compiler of what they read
  const int64_t row = cRow * 4, half = 64;
  float* const below = c + kTileLines * cRow;
  if (add) {
    asm volatile("tileloadd (%0,%4,1), %%tmm0\n\ttileloadd (%1,%4,1), %%tmm1\n\ttileloadd (%2,%4,1), %%tmm2\n\ttileloadd (%3,%4,1), %%tmm3"
                 : : "r"(c), "r"(c + 16), "r"(below), "r"(below + 16), "r"(row));
  } else {
    asm volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : :);
  }
  for (int64_t s = 0; s < steps; s++, a += aStep, b += bStep) {
    int i = -1, j = -1;
#pragma GCC unroll 6
    for (const auto& product : kTermProducts) {
      if (product[0] >= A || product[1] >= B) continue;
      if (i != product[0]) {
        i = product[0];
        asm volatile("tileloadd (%0,%2,1), %%tmm4\n\ttileloadd (%1,%2,1), %%tmm5" : : "r"(a + i * kTileHalves), "r"(a + aLine + i * kTileHalves), "r"(half));
      }
      if (j != product[1]) {
        j = product[1];
        asm volatile("tileloadd (%0,%2,1), %%tmm6\n\ttileloadd (%1,%2,1), %%tmm7" : : "r"(b + j * kTileHalves), "r"(b + bLine + j * kTileHalves), "r"(half));
      }
      asm volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\ttdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3" : :);
    }
  }
  asm volatile("tilestored %%tmm0, (%0,%4,1)\n\ttilestored %%tmm1, (%1,%4,1)\n\ttilestored %%tmm2, (%2,%4,1)\n\ttilestored %%tmm3, (%3,%4,1)"
               : : "r"(c), "r"(c + 16), "r"(below), "r"(below + 16), "r"(row) : "memory");
}

// The least product of two numbers whose parts' products keep what matters of it.
inline constexpr float kLeastProduct = 0x1p-100f;

// Whether all numbers that were seen are zero or ordinary: of a size at which no part of them is a denormal and no product of two is infinite. Infinities and NaN are not.
class Inspection {
 public:
  WW_INLINE F32 operator()(F32 x) {
    const __m512i size = _mm512_slli_epi32(_mm512_castps_si512(x.v), 1);   // without the sign
    most_ = _mm512_max_epu32(most_, size);
    least_ = _mm512_min_epu32(least_, _mm512_sub_epi32(size, _mm512_set1_epi32(1)));   // zero becomes the largest of all
    return x;
  }
  WW_INLINE bool ordinary() const { return _mm512_reduce_max_epu32(most_) <= bitsOf(0x1p40f) * 2 && _mm512_reduce_min_epu32(least_) >= bitsOf(0x1p-80f) * 2 - 1; }
  // The least of their sizes that is not zero; infinity where all are.
  WW_INLINE float least() const {
    const uint32_t size = _mm512_reduce_min_epu32(least_);
    return size == 0xFFFFFFFFu ? __builtin_inff() : floatOf(size / 2 + 1);
  }

 private:
  __m512i most_ = _mm512_setzero_si512(), least_ = _mm512_set1_epi32(-1);
};

WW_INLINE F32 andBits(F32 x, uint32_t bits) { return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(static_cast<int32_t>(bits))))}; }
// The bfloat16 nearest to x as a float (ties away from zero); x becomes what is left.
WW_INLINE F32 takeTerm(F32& x) {
  const __m512i rounded = _mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x8000));
  const F32 first = andBits({_mm512_castsi512_ps(rounded)}, 0xFFFF0000u);
  x = x - first;
  return first;
}
// The bfloat16 (upper halves) of `first`, then those of `second`.
WW_INLINE Pairs halvesOf(F32 first, F32 second) {
  alignas(64) static constexpr uint16_t odd[32] = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return {_mm512_permutex2var_epi16(_mm512_castps_si512(first.v), _mm512_load_si512(odd), _mm512_castps_si512(second.v))};
}
WW_INLINE void store(uint16_t* p, Pairs x) { _mm512_storeu_si512(p, x.v); }

// Row r of a left operand's tile: the 32 numbers of a line, in N terms; `line` is where the first tile has it.
template <int N> WW_INLINE void storeLine(F32 first, F32 second, uint16_t* line) {
#pragma GCC unroll 3
  for (int i = 0; i < N; i++) {
    const F32 x = i + 1 < N ? takeTerm(first) : first, y = i + 1 < N ? takeTerm(second) : second;
    store(line + i * kTileHalves, halvesOf(x, y));
  }
}
// Row r of a right operand's tile: two depths of 16 lines.
template <int N> WW_INLINE void storePairs(F32 even, F32 odd, uint16_t* row) {
#pragma GCC unroll 3
  for (int i = 0; i < N; i++) {
    const F32 x = i + 1 < N ? takeTerm(even) : even, y = i + 1 < N ? takeTerm(odd) : odd;
    store(row + i * kTileHalves, pairsOf(x, andBits(y, 0xFFFF0000u)));
  }
}
#else
inline constexpr bool kTiles = false;
#endif

}  // namespace warpweft::cpu::WW_ISA
