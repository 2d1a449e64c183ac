#pragma once
#include "cpu/attention/mask.hpp"

namespace warpweft::cpu::WW_ISA::attention {

// 2^x for x <= 0 (up to 127 is fine too): n = round(x), minimax polynomial of degree 6 for 2^r on |r| <= 1/2 (2e-9, relative), n added to the exponent. NaN stays,
// x <= -127 gives zero.
WW_INLINE F32 exp2(F32 x) {
  const F32 clamped = max(splat(-127.f), x), n = round(clamped), r = clamped - n;
  F32 p = splat(1.5353362e-4f);
  p = fma(p, r, splat(1.33988750e-3f));
  p = fma(p, r, splat(9.61843692e-3f));
  p = fma(p, r, splat(5.55033237e-2f));
  p = fma(p, r, splat(2.40226477e-1f));
  p = fma(p, r, splat(6.93147182e-1f));
  p = fma(p, r, splat(1.f));
  return asFloat(shiftLeft<23>(toInt(n)) + asInt(p));
}

// The state of a block of queries while keys go by (Milakov and Gimelshein 2018): the largest score so far, the sum of 2^(score - largest), and the
// factor by which earlier sums shrink.
struct Online { alignas(64) float largest[kTile], sum[kTile], shrink[kTile]; };

WW_INLINE void reset(Online& o) {
  for (int64_t i = 0; i < kTile; i += kWidth) {
    store(o.largest + i, splat(-__builtin_inff()));
    store(o.sum + i, zero());
  }
}

// Turns the scores of vector v into 2^(score - largest), zero where no query of the vector sees the key.
inline void onlineSoftmax(const Tile& t, int64_t v, float* scores, Online& o) {
  const int64_t low = t.low[v], high = t.high[v];
  const F32 before = load(o.largest + v * kWidth);
  F32 largest[4] = {before, before, before, before};
  int64_t j = low;
  for (; j + 4 <= high; j += 4)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) largest[u] = max(largest[u], load(scores + (j + u) * kPanel));
  for (; j < high; j++) largest[0] = max(largest[0], load(scores + j * kPanel));
  const F32 now = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
  const F32 base = select(eq(now, splat(-__builtin_inff())), zero(), now);   // a row that has seen nothing yet: all terms are zero
  const F32 shrink = exp2(before - base);
  F32 sum[4] = {load(o.sum + v * kWidth) * shrink, zero(), zero(), zero()};
  for (j = 0; j < low; j++) store(scores + j * kPanel, zero());
  for (; j + 4 <= high; j += 4)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
      const F32 p = exp2(load(scores + (j + u) * kPanel) - base);
      sum[u] = sum[u] + p;
      store(scores + (j + u) * kPanel, p);
    }
  for (; j < high; j++) {
    const F32 p = exp2(load(scores + j * kPanel) - base);
    sum[0] = sum[0] + p;
    store(scores + j * kPanel, p);
  }
  for (; j < t.keys; j++) store(scores + j * kPanel, zero());
  store(o.largest + v * kWidth, now);
  store(o.sum + v * kWidth, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  store(o.shrink + v * kWidth, shrink);
}

}  // namespace warpweft::cpu::WW_ISA::attention
