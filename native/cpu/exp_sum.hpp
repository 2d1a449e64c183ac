#pragma once
// The sum of exponentials that softmax and cross entropy divide by.
#include "cpu/kernel.hpp"
#include "cpu/simd/exp_non_positive.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {

// The largest of a row, -infinity where it is empty. A NaN may be passed over: the exponentials bring it back.
template <class T> WW_INLINE float rowMax(const T* x, int64_t n) {
  const F32 lowest = splat(-__builtin_inff());
  F32 part[4] = {lowest, lowest, lowest, lowest};
  eachVectorOfFour(n, [&](int64_t i, auto lanes, int k) WW_ALWAYS { part[k] = max(part[k], within(load(x + i, lanes), lowest, lanes)); });
  return maxOf(max(max(part[0], part[1]), max(part[2], part[3])));
}

// What is subtracted before exponentials: the maximum, or 0 in a row of -infinity alone, whose exponentials are then 0 and not NaN.
WW_INLINE float shiftOf(float max) { return max == -__builtin_inff() ? 0.f : max; }

// sum = sum of e^(x - shift), total = sum of x - shift (where wanted).
struct ExpSum { float shift; double sum, total; };

// One pass over memory: a block of the row is read twice from L1, and what was summed before is rescaled when the maximum rises (Milakov & Gimelshein 2018).
template <bool kTotal, class T> WW_INLINE ExpSum expSum(const T* x, int64_t n) {
  constexpr int64_t kBlock = 4096;
  float highest = -__builtin_inff();
  double sum = 0, total = 0;
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t length = minimum(kBlock, n - b);
    const float block = rowMax(x + b, length);
    if (block > highest) {
      const double change = static_cast<double>(shiftOf(highest)) - static_cast<double>(block);
      if (highest != -__builtin_inff()) sum *= __builtin_exp(change);   // else it is 0, or NaN
      if (kTotal && b > 0) total += change * static_cast<double>(b);
      highest = block;
    }
    const F32 shift = splat(shiftOf(highest));
    FourSums exponentials, distances;
    eachVectorOfFour(length, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
      const F32 d = load(x + b + i, lanes) - shift;
      exponentials.add(k, within(expNonPositive(d), zero(), lanes));
      if constexpr (kTotal) distances.add(k, within(d, zero(), lanes));
    });
    sum += static_cast<double>(exponentials.total());
    if (kTotal) total += static_cast<double>(distances.total());
  }
  return {shiftOf(highest), sum, total};
}

}  // namespace warpweft::cpu::WW_ISA
