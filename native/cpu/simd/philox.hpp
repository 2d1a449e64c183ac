#pragma once
// Dropout masks as bits: DropoutStream (runtime/philox.hpp) for many groups at once. Bit for bit the same masks.
#include "cpu/simd/simd.hpp"
#include "runtime/philox.hpp"

namespace warpweft::cpu::WW_ISA {

// Philox multiplies 32 by 32 to 64 bits. One group per 64-bit lane: the multiplier ignores the upper halves, so that they need not be cleared between rounds.
#if defined(__AVX512F__)
inline constexpr int kGroups = 8;
typedef __m512i Wide;
WW_INLINE Wide wide(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
WW_INLINE Wide product(Wide a, uint32_t b) { return _mm512_mul_epu32(a, wide(b)); }
WW_INLINE Wide high(Wide a) { return _mm512_srli_epi64(a, 32); }
WW_INLINE Wide exclusive(Wide a, Wide b, Wide c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
// In the order in which `keep` below finds them.
WW_INLINE Wide groupsFrom(uint64_t first) { return _mm512_add_epi64(wide(first), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7)); }
WW_INLINE Wide upper(Wide group) { return _mm512_slli_epi64(high(group), 16); }
WW_INLINE void keep(Wide c0, Wide c1, Wide c2, Wide c3, uint32_t threshold, uint8_t* bits) {
  const Wide a = _mm512_mask_blend_epi32(0xAAAA, c0, _mm512_slli_epi64(c1, 32)), b = _mm512_mask_blend_epi32(0xAAAA, c2, _mm512_slli_epi64(c3, 32));
  const Wide least = _mm512_set1_epi16(static_cast<int16_t>(threshold));
  const uint64_t even = _mm512_cmpge_epu16_mask(_mm512_unpacklo_epi64(a, b), least), odd = _mm512_cmpge_epu16_mask(_mm512_unpackhi_epi64(a, b), least);
  const uint64_t all = even | odd << 32;
  std::memcpy(bits, &all, 8);
}
WW_INLINE M32 laneMask(uint32_t bits) { return {static_cast<__mmask16>(bits)}; }
#elif defined(__AVX2__)
inline constexpr int kGroups = 4;
typedef __m256i Wide;
WW_INLINE Wide wide(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
WW_INLINE Wide product(Wide a, uint32_t b) { return _mm256_mul_epu32(a, wide(b)); }
WW_INLINE Wide high(Wide a) { return _mm256_srli_epi64(a, 32); }
WW_INLINE Wide exclusive(Wide a, Wide b, Wide c) { return _mm256_xor_si256(a, _mm256_xor_si256(b, c)); }
WW_INLINE Wide groupsFrom(uint64_t first) { return _mm256_add_epi64(wide(first), _mm256_setr_epi64x(0, 1, 2, 3)); }
WW_INLINE Wide upper(Wide group) { return _mm256_slli_epi64(high(group), 16); }
WW_INLINE void keep(Wide c0, Wide c1, Wide c2, Wide c3, uint32_t threshold, uint8_t* bits) {
  const Wide a = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xAA), b = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xAA);
  const Wide least = _mm256_set1_epi16(static_cast<int16_t>(threshold));
  // least - x saturates to 0 where x >= least.
  const Wide even = _mm256_cmpeq_epi16(_mm256_subs_epu16(least, _mm256_unpacklo_epi64(a, b)), _mm256_setzero_si256());
  const Wide odd = _mm256_cmpeq_epi16(_mm256_subs_epu16(least, _mm256_unpackhi_epi64(a, b)), _mm256_setzero_si256());
  const uint32_t all = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(even, odd)));
  std::memcpy(bits, &all, 4);
}
WW_INLINE M32 laneMask(uint32_t bits) {
  const __m256i place = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int32_t>(bits)), place), place))};
}
#else
inline constexpr int kGroups = 1;
WW_INLINE M32 laneMask(uint32_t bits) {
  const IntLanes place = {1, 2, 4, 8};
  return {(splatInt(static_cast<int32_t>(bits)).v & place) == place};
}
#endif

// Keep (1) or drop (0) for the elements of `count` groups, a byte each, its lowest bit first; writes up to kGroups - 1 bytes more. At rate 1 the bits say keep:
// the scale is 0.
WW_INLINE void drawKeepBits(const DropoutStream& stream, uint64_t first, int64_t count, uint8_t* bits) {
#if defined(__AVX2__)
  for (int64_t g = 0; g < count; g += kGroups) {
    const Wide group = groupsFrom(first + static_cast<uint64_t>(g));
    Wide c0 = group, c1 = wide(stream.call), c2 = wide(stream.step), c3 = exclusive(wide(stream.rank), upper(group), wide(0));
    uint32_t k0 = stream.philox.key0, k1 = stream.philox.key1;
    for (int round = 0; round < 10; round++) {
      const Wide p0 = product(c0, 0xD2511F53u), p1 = product(c2, 0xCD9E8D57u);
      c0 = exclusive(high(p1), c1, wide(k0));
      c2 = exclusive(high(p0), c3, wide(k1));
      c1 = p1;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    keep(c0, c1, c2, c3, stream.threshold, bits + g);
  }
#else
  for (int64_t g = 0; g < count; g++) {
    uint16_t drawn[8];
    stream.draw(first + static_cast<uint64_t>(g), drawn);
    uint32_t byte = 0;
    for (int i = 0; i < 8; i++) byte |= static_cast<uint32_t>(drawn[i] >= (stream.threshold & 0xFFFFu)) << i;
    bits[g] = static_cast<uint8_t>(byte);
  }
#endif
}

// The dropout factors, 0 or scale, of n consecutive elements of a tensor.
class Factors {
 public:
  static WW_INLINE constexpr int64_t bytes(int64_t n) { return n / 8 + 16; }

  // `bits` has room for bytes(n).
  WW_INLINE Factors(const DropoutStream& stream, int64_t firstElement, int64_t n, uint8_t* bits)
      : bits_(bits), offset_(firstElement & 7), scale_(splat(stream.scale)) {
    if (n > 0) drawKeepBits(stream, static_cast<uint64_t>(firstElement) >> 3, (offset_ + n + 7) >> 3, bits);
  }
  // Of elements i … i + kWidth - 1.
  WW_INLINE F32 operator[](int64_t i) const {
    const int64_t bit = offset_ + i;
    uint32_t word;
    std::memcpy(&word, bits_ + (bit >> 3), 4);
    return andMask(laneMask(word >> (bit & 7)), scale_);
  }

 private:
  const uint8_t* bits_;
  int64_t offset_;
  F32 scale_;
};

}  // namespace warpweft::cpu::WW_ISA
