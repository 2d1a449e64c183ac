#pragma once
#include <cstring>

#include "runtime/dtype.hpp"

namespace warpweft::cpu::WW_ISA {

WW_INLINE uint32_t bitsOf(float x) { uint32_t u; std::memcpy(&u, &x, 4); return u; }
WW_INLINE float floatOf(uint32_t u) { float x; std::memcpy(&x, &u, 4); return x; }

WW_INLINE float toFloat(float x) { return x; }
WW_INLINE float toFloat(bf16 x) { return floatOf(static_cast<uint32_t>(x.bits) << 16); }
WW_INLINE float toFloat(f16 h) {
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, rest = h.bits & 0x7FFFu;
  if (rest >= 0x7C00u) return floatOf(sign | 0x7F800000u | (rest & 0x3FFu) << 13);          // infinity, NaN
  if (rest < 0x400u) return floatOf(sign | bitsOf(static_cast<float>(rest) * 0x1p-24f));    // zero, subnormal
  return floatOf(sign | ((rest << 13) + 0x38000000u));
}

template <class T> T fromFloat(float x);
template <> WW_INLINE float fromFloat<float>(float x) { return x; }
template <> WW_INLINE bf16 fromFloat<bf16>(float x) {
  const uint32_t u = bitsOf(x);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u) return {static_cast<uint16_t>(u >> 16 | 0x40u)};
  return {static_cast<uint16_t>((u + 0x7FFFu + (u >> 16 & 1u)) >> 16)};
}
template <> WW_INLINE f16 fromFloat<f16>(float x) {
  const uint32_t u = bitsOf(x), sign = u >> 16 & 0x8000u, a = u & 0x7FFFFFFFu;
  if (a > 0x7F800000u) return {static_cast<uint16_t>(sign | 0x7E00u)};
  if (a >= 0x477FF000u) return {static_cast<uint16_t>(sign | 0x7C00u)};                      // rounds to infinity
  if (a < 0x38800000u) {                                                                     // subnormal: let the adder round
    const float magic = floatOf(a) + 0.5f;
    return {static_cast<uint16_t>(sign | (bitsOf(magic) - 0x3F000000u))};
  }
  return {static_cast<uint16_t>(sign | (a - 0x38000000u + 0xFFFu + (a >> 13 & 1u)) >> 13)};
}

}  // namespace warpweft::cpu::WW_ISA
