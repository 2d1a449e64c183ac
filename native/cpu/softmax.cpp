#include "ops/softmax.hpp"

#include "cpu/exp_sum.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

// Exponentials cost more than reading: smaller chunks than for plain streams.
WW_INLINE int64_t rowGrain(int64_t columns) { return maximum(1, 8192 / maximum(1, columns)); }

// Three passes over a row in cache: maximum, exponentials and their sum, division. The exponentials wait in y, or in float32 scratch where y is narrower.
template <class T> WW_INLINE void softmax(const Softmax& a, Context& c) {
  constexpr bool kWide = sizeof(T) == sizeof(float);
  const int64_t C = a.x.columns();
  c.parallelFor(a.x.rows(), rowGrain(C), [&](int64_t begin, int64_t end, int thread) {
    float* scratch = kWide ? nullptr : static_cast<float*>(c.threadScratch(thread, static_cast<size_t>(C) * sizeof(float)));
    for (int64_t r = begin; r < end; r++) {
      const T* x = a.x.as<const T>() + r * a.x.rowStride();
      T* y = a.y.as<T>() + r * a.y.rowStride();
      float* e = scratch;
      if constexpr (kWide) e = y;
      const F32 shift = splat(shiftOf(rowMax(x, C)));
      FourSums exponentials;
      eachVectorOfFour(C, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
        const F32 v = expNonPositive(load(x + i, lanes) - shift);
        store(e + i, v, lanes);
        exponentials.add(k, within(v, zero(), lanes));
      });
      const float sum = exponentials.total();
      const F32 scale = splat(sum == 0 ? 0.f : 1.f / sum);
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, load(e + i, lanes) * scale, lanes); });
    }
  });
}

template <class T> WW_INLINE void logSoftmax(const Softmax& a, Context& c) {
  const int64_t C = a.x.columns();
  c.parallelFor(a.x.rows(), rowGrain(C), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; r++) {
      const T* x = a.x.as<const T>() + r * a.x.rowStride();
      T* y = a.y.as<T>() + r * a.y.rowStride();
      const ExpSum s = expSum<false>(x, C);
      const F32 shift = splat(s.shift), log = splat(s.sum == 0 ? 0.f : static_cast<float>(__builtin_log(s.sum)));
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, load(x + i, lanes) - shift - log, lanes); });
    }
  });
}

static void run(const Softmax& a, Context& c) {
  dispatchFloat(a.x.dtype, [&]<class T>() {
    if (a.log) logSoftmax<T>(a, c);
    else softmax<T>(a, c);
  });
}

template <bool kLog, class T> WW_INLINE void backward(const SoftmaxBackward& a, Context& c) {
  const int64_t C = a.y.columns();
  c.parallelFor(a.y.rows(), rowGrain(C), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; r++) {
      const T* dy = a.dy.as<const T>() + r * a.dy.rowStride();
      const T* y = a.y.as<const T>() + r * a.y.rowStride();
      T* dx = a.dx.as<T>() + r * a.dx.rowStride();
      FourSums s;
      eachVectorOfFour(C, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
        const F32 d = load(dy + i, lanes);
        if constexpr (kLog) s.add(k, d);
        else s.addProduct(k, d, load(y + i, lanes));
      });
      const F32 total = splat(s.total());
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS {
        const F32 d = load(dy + i, lanes), v = load(y + i, lanes);
        F32 g = kLog ? fnma(expNonPositive(v), total, d) : v * (d - total);
        if (a.dx.accumulate) g = g + load(dx + i, lanes);
        store(dx + i, g, lanes);
      });
    }
  });
}

static void run(const SoftmaxBackward& a, Context& c) {
  if (!a.dx) return;
  dispatchFloat(a.y.dtype, [&]<class T>() {
    if (a.log) backward<true, T>(a, c);
    else backward<false, T>(a, c);
  });
}

}  // namespace

WW_KERNEL(Softmax)
WW_KERNEL(SoftmaxBackward)

}  // namespace warpweft::cpu::WW_ISA
