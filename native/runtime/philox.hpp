#pragma once
#include "runtime/dtype.hpp"

namespace warpweft {

// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
struct Philox {
  uint32_t key0, key1;

  WW_INLINE void operator()(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3) const {
    uint32_t k0 = key0, k1 = key1;
    for (int round = 0; round < 10; round++) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1); c3 = static_cast<uint32_t>(p0); c0 = n0; c2 = n2;
      k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
  }
};

// Keep or drop, from 16 random bits an element. The random state is a tensor int64 [3] = {seed, micro-step, rank} plus the id of the call, so that the mask
// depends on these and on the element's place alone: never on tiling, threads or device. Group: eight elements.
struct DropoutStream {
  Philox philox;
  uint32_t call, step, rank;
  uint32_t threshold;   // drop below it
  float scale;          // 1 / keep rate, of the keep rate that 16 bits can express

  static WW_INLINE DropoutStream from(const int64_t* state, int64_t call, double p) {
    const auto seed = static_cast<uint64_t>(state[0]);
    uint32_t threshold = static_cast<uint32_t>(p * 65536.0 + 0.5);
    if (threshold > 65536u) threshold = 65536u;
    return {{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}, static_cast<uint32_t>(call), static_cast<uint32_t>(state[1]),
            static_cast<uint32_t>(state[2]), threshold, threshold == 65536u ? 0.f : 65536.f / static_cast<float>(65536u - threshold)};
  }
  // The eight 16-bit numbers of a group, in order.
  WW_INLINE void draw(uint64_t group, uint16_t out[8]) const {
    uint32_t c0 = static_cast<uint32_t>(group), c1 = call, c2 = step, c3 = rank ^ (static_cast<uint32_t>(group >> 32) << 16);
    philox(c0, c1, c2, c3);
    const uint32_t c[4] = {c0, c1, c2, c3};
    for (int i = 0; i < 4; i++) { out[2 * i] = static_cast<uint16_t>(c[i]); out[2 * i + 1] = static_cast<uint16_t>(c[i] >> 16); }
  }
  // Factors (0 or scale) of a group.
  WW_INLINE void factors(uint64_t group, float out[8]) const {
    uint16_t bits[8];
    draw(group, bits);
    for (int i = 0; i < 8; i++) out[i] = bits[i] >= threshold ? scale : 0.f;
  }
};

}  // namespace warpweft
