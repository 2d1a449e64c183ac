#include "ops/argmax.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kGrainElements = 16384;

// The largest first, then the first place that holds it: both passes run at the speed of loads, and the second ends early.
template <class T> int64_t largestFloat(const T* x, int64_t n) {
  F32 most[4] = {splat(-kInfinity), splat(-kInfinity), splat(-kInfinity), splat(-kInfinity)}, nans[4] = {zero(), zero(), zero(), zero()};
  eachVectorOfFour(n, [&](int64_t i, auto lanes, int k) {
    const F32 v = load(x + i, lanes);
    nans[k] = select(isNan(v), splat(1.f), nans[k]);
    most[k] = max(most[k], within(v, splat(-kInfinity), lanes));
  });
  if (any(gt((nans[0] + nans[1]) + (nans[2] + nans[3]), zero())))
    for (int64_t i = 0; i < n; i++) {
      const float v = toFloat(x[i]);
      if (v != v) return i;
    }
  const F32 largest = splat(maxOf(max(max(most[0], most[1]), max(most[2], most[3]))));
  int64_t i = 0;
  while (i + kWidth <= n && !any(eq(load(x + i), largest))) i += kWidth;
  const float target = maxOf(largest);
  while (i < n && !(toFloat(x[i]) == target)) i++;
  return i;
}

template <class T> int64_t largestInteger(const T* x, int64_t n) {
  int64_t at = 0;
  for (int64_t i = 1; i < n; i++)
    if (x[i] > x[at]) at = i;
  return at;
}

void run(const ArgMax& a, Context& c) {
  const int64_t R = a.x.rows(), C = a.x.columns(), stride = a.x.rowStride();
  if (R == 0 || C == 0) return;
  const auto rows = [&]<class T>(int64_t (*largest)(const T*, int64_t)) {
    c.parallelFor(R, ceilDiv(kGrainElements, C), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; r++) {
        const int64_t at = largest(a.x.as<const T>() + r * stride, C);
        if (a.y.dtype == DType::i64) a.y.as<int64_t>()[r] = at;
        else a.y.as<int32_t>()[r] = static_cast<int32_t>(at);
      }
    });
  };
  if (isFloat(a.x.dtype)) dispatchFloat(a.x.dtype, [&]<class T>() { rows(largestFloat<T>); });
  else dispatchInteger(a.x.dtype, [&]<class T>() { rows(largestInteger<T>); });
}

}  // namespace
WW_KERNEL(ArgMax)
}  // namespace warpweft::cpu::WW_ISA
