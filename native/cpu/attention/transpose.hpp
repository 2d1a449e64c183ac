#pragma once
// A square of kWidth x kWidth floats transposed in registers. The compilers' generic shuffle, so that one text serves every width: squares of 4 x 4 inside the
// 128-bit lanes first (interleaving), then lanes are exchanged in doubling distances.
#include "cpu/simd/simd.hpp"

namespace warpweft::cpu::WW_ISA::attention {

template <int... I> struct Lanes {};
// Lane l of the result is F::at(l), counted over both operands (0 .. 2 kWidth - 1).
template <class F, int... I> WW_INLINE F32 shuffled(F32 a, F32 b, Lanes<I...>) { return {__builtin_shufflevector(a.v, b.v, F::at(I)...)}; }
template <int N, int... I> struct LanesTo : LanesTo<N - 1, N - 1, I...> {};
template <int... I> struct LanesTo<0, I...> { using type = Lanes<I...>; };
template <class F> WW_INLINE F32 shuffle(F32 a, F32 b) { return shuffled<F>(a, b, typename LanesTo<kWidth>::type{}); }

struct InterleaveLow { static constexpr int at(int l) { return l / 4 * 4 + l % 4 / 2 + (l % 2 ? kWidth : 0); } };          // a0 b0 a1 b1 of each four
struct InterleaveHigh { static constexpr int at(int l) { return l / 4 * 4 + 2 + l % 4 / 2 + (l % 2 ? kWidth : 0); } };     // a2 b2 a3 b3
struct LowPairs { static constexpr int at(int l) { return l % 4 < 2 ? l : kWidth + l - 2; } };                             // a0 a1 b0 b1
struct HighPairs { static constexpr int at(int l) { return l % 4 < 2 ? l + 2 : kWidth + l; } };                            // a2 a3 b2 b3
// Groups of `Distance` lanes: the even ones of a and b, or the odd ones.
template <int Distance> struct EvenGroups { static constexpr int at(int l) { return l & Distance ? kWidth + l - Distance : l; } };
template <int Distance> struct OddGroups { static constexpr int at(int l) { return l & Distance ? kWidth + l : l + Distance; } };

template <int Distance> WW_INLINE void exchange(F32 (&x)[kWidth]) {
  if constexpr (Distance < kWidth) {
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++) {
      if (i & Distance) continue;
      const F32 a = x[i], b = x[i + Distance];
      x[i] = shuffle<EvenGroups<Distance>>(a, b);
      x[i + Distance] = shuffle<OddGroups<Distance>>(a, b);
    }
    exchange<2 * Distance>(x);
  }
}

WW_INLINE void transpose(F32 (&x)[kWidth]) {
#pragma GCC unroll 4
  for (int i = 0; i < kWidth; i += 4) {
    const F32 a = shuffle<InterleaveLow>(x[i], x[i + 1]), b = shuffle<InterleaveHigh>(x[i], x[i + 1]);
    const F32 c = shuffle<InterleaveLow>(x[i + 2], x[i + 3]), d = shuffle<InterleaveHigh>(x[i + 2], x[i + 3]);
    x[i] = shuffle<LowPairs>(a, c);
    x[i + 1] = shuffle<HighPairs>(a, c);
    x[i + 2] = shuffle<LowPairs>(b, d);
    x[i + 3] = shuffle<HighPairs>(b, d);
  }
  exchange<4>(x);
}

// Lane l is the sum of the lanes of x[l], always added in the same order.
WW_INLINE F32 sumOfEach(F32 (&x)[kWidth]) {
  transpose(x);
#pragma GCC unroll 4
  for (int step = kWidth / 2; step > 0; step /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < step; i++) x[i] = x[i] + x[i + step];
  return x[0];
}

}  // namespace warpweft::cpu::WW_ISA::attention
