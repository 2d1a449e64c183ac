#include "ops/dropout.hpp"

#include "cpu/kernel.hpp"
#include "cpu/simd/lanes.hpp"
#include "cpu/simd/philox.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kBlock = 4096;   // elements whose mask is drawn at a time

template <class T> WW_INLINE void span(const DropoutStream& stream, const T* x, T* y, int64_t firstElement, int64_t n, bool accumulate) {
  uint8_t bits[Factors::bytes(kBlock)];
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t length = minimum(kBlock, n - b);
    const Factors factors(stream, firstElement + b, length, bits);
    eachVector(length, [&](int64_t i, auto lanes) WW_ALWAYS {
      const F32 v = load(x + b + i, lanes), m = factors[i];
      store(y + b + i, accumulate ? fma(v, m, load(y + b + i, lanes)) : v * m, lanes);
    });
  }
}

template <class T> WW_INLINE void dropout(const Dropout& a, Context& c) {
  const int64_t R = a.x.rows(), C = a.x.columns(), xStride = a.x.rowStride(), yStride = a.y.rowStride();
  const T* x = a.x.as<const T>();
  T* y = a.y.as<T>();
  const bool accumulate = a.y.accumulate;
  constexpr int64_t none[3] = {};
  const DropoutStream stream = DropoutStream::from(a.rng ? a.rng.as<const int64_t>() : none, a.call, a.p);
  if (xStride == C && yStride == C) {
    c.parallelFor(R * C, 4 * kBlock, [&](int64_t begin, int64_t end, int) { span(stream, x + begin, y + begin, begin, end - begin, accumulate); });
    return;
  }
  c.parallelFor(R, maximum(1, 4 * kBlock / maximum(1, C)), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; r++) span(stream, x + r * xStride, y + r * yStride, r * C, C, accumulate);
  });
}

static void run(const Dropout& a, Context& c) {
  dispatchFloat(a.x.dtype, [&]<class T>() { dropout<T>(a, c); });
}

}  // namespace

WW_KERNEL(Dropout)

}  // namespace warpweft::cpu::WW_ISA
