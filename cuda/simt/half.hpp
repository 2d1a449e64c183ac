#pragma once
// Half precisions on the host, by their bits.
#include <cstdint>
#include <cstring>

namespace warpweft::simt {

inline uint32_t bits(float v) {
  uint32_t b;
  std::memcpy(&b, &v, 4);
  return b;
}
inline float fromBits(uint32_t b) {
  float v;
  std::memcpy(&v, &b, 4);
  return v;
}

inline uint16_t bfloatFromFloat(float v) {
  const uint32_t b = bits(v);
  if ((b & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFF;   // the NaN that cvt gives
  return static_cast<uint16_t>((b + 0x7FFFu + (b >> 16 & 1)) >> 16);
}

inline float floatFromHalf(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, exponent = h >> 10 & 0x1Fu, fraction = h & 0x3FFu;
  if (exponent == 0) {   // fraction * 2^-24
    const float v = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -v : v;
  }
  if (exponent == 31) return fromBits(sign | 0x7F800000u | fraction << 13);
  return fromBits(sign | (exponent + 112) << 23 | fraction << 13);
}

inline uint16_t halfFromFloat(float v) {
  const uint32_t b = bits(v), sign = b >> 16 & 0x8000u, a = b & 0x7FFFFFFFu;
  if (a > 0x7F800000u) return 0x7FFF;
  if (a >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);   // 65520 and above round to infinity
  if (a < 0x38800000u) {                                               // below 2^-14: a multiple of 2^-24; adding 1/2 leaves it in the low bits, rounded
    const uint32_t m = bits(fromBits(a) + 0.5f) - 0x3F000000u;
    return static_cast<uint16_t>(sign | m);
  }
  return static_cast<uint16_t>(sign | (((a + 0xFFFu + (a >> 13 & 1)) >> 13) - (112u << 10)));
}

}  // namespace warpweft::simt
