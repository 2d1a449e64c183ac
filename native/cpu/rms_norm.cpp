#include "ops/rms_norm.hpp"

#include "cpu/norm.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

template <class T> WW_INLINE void forward(const RMSNorm& a, Context& c) {
  const int64_t R = a.x.rows(), C = a.x.columns(), stride = a.y.rowStride();
  const double share = C ? 1. / static_cast<double>(C) : 0.;
  const float* weight = a.weight.as<const float>();
  const F32 offset = splat(a.unitOffset ? 1.f : 0.f);
  c.parallelFor(R, rowGrain(C), [&](int64_t begin, int64_t end, int thread) {
    const SummedRows<T> rows(a, c, thread);
    for (int64_t r = begin; r < end; r++) {
      const T* s = rows[r];
      FourSums square;
      eachVectorOfFour(C, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
        const F32 v = load(s + i, lanes);
        square.addProduct(k, v, v);
      });
      const float rstd = static_cast<float>(1. / __builtin_sqrt(square.total() * share + a.eps));
      if (a.rstd) a.rstd.as<float>()[r] = rstd;
      T* y = a.y.as<T>() + r * stride;
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS {
        const F32 h = load(s + i, lanes) * splat(rstd);
        store(y + i, weight ? h * (load(weight + i, lanes) + offset) : h, lanes);
      });
    }
  });
}

static void run(const RMSNorm& a, Context& c) {
  dispatchFloat(a.x.dtype, [&]<class T>() { forward<T>(a, c); });
}

// Two passes over a row in cache: the sums, then the gradients.
template <class T> WW_INLINE void backward(const RMSNormBackward& a, Context& c) {
  const int64_t R = a.s.rows(), C = a.s.columns();
  const float share = C ? 1.f / static_cast<float>(C) : 0.f;
  const float* weight = a.weight.as<const float>();
  const F32 offset = splat(a.unitOffset ? 1.f : 0.f);
  const bool inputs = a.dx || a.dresidual, drop = a.dresidual && a.dropout > 0;
  const DropoutStream stream = dropoutStream(a.rng, a.call, a.dropout);
  const RowChunks chunks = RowChunks::of(R, C);
  c.parallelFor(R, a.dweight ? chunks.rows : rowGrain(C), [&](int64_t begin, int64_t end, int thread) {
    float* dweight = a.dweight ? chunks.begin(c, begin, 0) : nullptr;
    auto* bits = drop ? static_cast<uint8_t*>(c.threadScratch(thread, static_cast<size_t>(Factors::bytes(C)))) : nullptr;
    for (int64_t r = begin; r < end; r++) {
      const T* dy = a.dy.as<const T>() + r * a.dy.rowStride();
      const T* s = a.s.as<const T>() + r * a.s.rowStride();
      const F32 rstd = splat(a.rstd.as<const float>()[r]);
      FourSums gh1;
      eachVectorOfFour(C, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
        const F32 d = load(dy + i, lanes), h = load(s + i, lanes) * rstd;
        if (dweight) store(dweight + i, fma(d, h, load(dweight + i, lanes)), lanes);
        gh1.addProduct(k, weight ? d * (load(weight + i, lanes) + offset) : d, h);
      });
      if (!inputs) continue;
      const F32 gh0 = splat(gh1.total() * share);
      const T* dsum = a.dsum ? a.dsum.as<const T>() + r * a.dsum.rowStride() : nullptr;
      T* dx = a.dx ? a.dx.as<T>() + r * a.dx.rowStride() : nullptr;
      T* dresidual = a.dresidual ? a.dresidual.as<T>() + r * a.dresidual.rowStride() : nullptr;
      const Factors factors(stream, r * C, drop ? C : 0, bits);
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS {
        const F32 d = load(dy + i, lanes), h = load(s + i, lanes) * rstd;
        const F32 g = weight ? d * (load(weight + i, lanes) + offset) : d;
        F32 ds = fnma(h, gh0, g) * rstd;
        if (dsum) ds = ds + load(dsum + i, lanes);
        if (dx) storeGradient(dx + i, ds, a.dx.accumulate, lanes);
        if (dresidual) storeGradient(dresidual + i, drop ? ds * factors[i] : ds, a.dresidual.accumulate, lanes);
      });
    }
  });
  chunks.finish(c, 0, a.dweight);
}

static size_t workspace(const RMSNormBackward& a) {
  return a.dweight ? RowChunks::of(a.s.rows(), a.s.columns()).bytes(1) : 0;
}

static void run(const RMSNormBackward& a, Context& c) {
  dispatchFloat(a.s.dtype, [&]<class T>() { backward<T>(a, c); });
}

}  // namespace

WW_KERNEL(RMSNorm)
WW_KERNEL_WITH_WORKSPACE(RMSNormBackward)

}  // namespace warpweft::cpu::WW_ISA
