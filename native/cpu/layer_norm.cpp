#include "ops/layer_norm.hpp"

#include "cpu/norm.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

// Mean and variance in two passes over a row that is in cache after the first, so that a mean far from zero costs no digits. `centre` is the float32 nearest
// to the mean and `offset` what it lacks: (s - centre) - offset keeps the digits that s - mean would round away.
struct Moments { float centre, offset, variance; };

template <class T> WW_INLINE Moments moments(const T* s, int64_t n) {
  const double share = n ? 1. / static_cast<double>(n) : 0.;
  FourSums total;
  eachVectorOfFour(n, [&](int64_t i, auto lanes, int k) WW_ALWAYS { total.add(k, load(s + i, lanes)); });
  const float centre = static_cast<float>(total.total() * share);
  FourSums distance, square;
  eachVectorOfFour(n, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
    const F32 d = within(load(s + i, lanes) - splat(centre), zero(), lanes);
    distance.add(k, d);
    square.addProduct(k, d, d);
  });
  const double offset = distance.total() * share, variance = square.total() * share - offset * offset;
  return {centre, static_cast<float>(offset), static_cast<float>(variance < 0 ? 0 : variance)};
}

template <class T> WW_INLINE void forward(const LayerNorm& a, Context& c) {
  const int64_t R = a.x.rows(), C = a.x.columns(), stride = a.y.rowStride();
  const float* weight = a.weight.as<const float>();
  const float* bias = a.bias.as<const float>();
  c.parallelFor(R, rowGrain(C), [&](int64_t begin, int64_t end, int thread) {
    const SummedRows<T> rows(a, c, thread);
    for (int64_t r = begin; r < end; r++) {
      const T* s = rows[r];
      const Moments m = moments(s, C);
      const double rstd = 1. / __builtin_sqrt(static_cast<double>(m.variance) + a.eps);
      if (a.mean) a.mean.as<float>()[r] = m.centre + m.offset;
      if (a.rstd) a.rstd.as<float>()[r] = static_cast<float>(rstd);
      const F32 centre = splat(m.centre), scale = splat(static_cast<float>(rstd)), shift = splat(static_cast<float>(-m.offset * rstd));
      T* y = a.y.as<T>() + r * stride;
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS {
        F32 h = fma(load(s + i, lanes) - centre, scale, shift);
        if (weight) h = h * load(weight + i, lanes);
        if (bias) h = h + load(bias + i, lanes);
        store(y + i, h, lanes);
      });
    }
  });
}

static void run(const LayerNorm& a, Context& c) {
  dispatchFloat(a.x.dtype, [&]<class T>() { forward<T>(a, c); });
}

// Two passes over a row in cache: the sums, then the gradients.
template <class T> WW_INLINE void backward(const LayerNormBackward& a, Context& c) {
  const int64_t R = a.s.rows(), C = a.s.columns();
  const float share = C ? 1.f / static_cast<float>(C) : 0.f;
  const float* weight = a.weight.as<const float>();
  const bool sums = a.dweight || a.dbias, inputs = a.dx || a.dresidual, drop = a.dresidual && a.dropout > 0;
  const DropoutStream stream = dropoutStream(a.rng, a.call, a.dropout);
  const RowChunks chunks = RowChunks::of(R, C);
  c.parallelFor(R, sums ? chunks.rows : rowGrain(C), [&](int64_t begin, int64_t end, int thread) {
    float* dweight = a.dweight ? chunks.begin(c, begin, 0) : nullptr;
    float* dbias = a.dbias ? chunks.begin(c, begin, a.dweight ? 1 : 0) : nullptr;
    auto* bits = drop ? static_cast<uint8_t*>(c.threadScratch(thread, static_cast<size_t>(Factors::bytes(C)))) : nullptr;
    for (int64_t r = begin; r < end; r++) {
      const T* dy = a.dy.as<const T>() + r * a.dy.rowStride();
      const T* s = a.s.as<const T>() + r * a.s.rowStride();
      const F32 mean = splat(a.mean.as<const float>()[r]), rstd = splat(a.rstd.as<const float>()[r]);
      FourSums g1, gh1;
      eachVectorOfFour(C, [&](int64_t i, auto lanes, int k) WW_ALWAYS {
        const F32 d = load(dy + i, lanes), h = (load(s + i, lanes) - mean) * rstd;
        if (dweight) store(dweight + i, fma(d, h, load(dweight + i, lanes)), lanes);
        if (dbias) store(dbias + i, d + load(dbias + i, lanes), lanes);
        const F32 g = weight ? d * load(weight + i, lanes) : d;
        g1.add(k, g);
        gh1.addProduct(k, g, h);
      });
      if (!inputs) continue;
      const F32 g0 = splat(g1.total() * share), gh0 = splat(gh1.total() * share);
      const T* dsum = a.dsum ? a.dsum.as<const T>() + r * a.dsum.rowStride() : nullptr;
      T* dx = a.dx ? a.dx.as<T>() + r * a.dx.rowStride() : nullptr;
      T* dresidual = a.dresidual ? a.dresidual.as<T>() + r * a.dresidual.rowStride() : nullptr;
      const Factors factors(stream, r * C, drop ? C : 0, bits);
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS {
        const F32 d = load(dy + i, lanes), h = (load(s + i, lanes) - mean) * rstd;
        const F32 g = weight ? d * load(weight + i, lanes) : d;
        F32 ds = (fnma(h, gh0, g) - g0) * rstd;
        if (dsum) ds = ds + load(dsum + i, lanes);
        if (dx) storeGradient(dx + i, ds, a.dx.accumulate, lanes);
        if (dresidual) storeGradient(dresidual + i, drop ? ds * factors[i] : ds, a.dresidual.accumulate, lanes);
      });
    }
  });
  chunks.finish(c, 0, a.dweight);
  chunks.finish(c, a.dweight ? 1 : 0, a.dbias);
}

static size_t workspace(const LayerNormBackward& a) {
  return RowChunks::of(a.s.rows(), a.s.columns()).bytes((a.dweight ? 1 : 0) + (a.dbias ? 1 : 0));
}

static void run(const LayerNormBackward& a, Context& c) {
  dispatchFloat(a.s.dtype, [&]<class T>() { backward<T>(a, c); });
}

}  // namespace

WW_KERNEL(LayerNorm)
WW_KERNEL_WITH_WORKSPACE(LayerNormBackward)

}  // namespace warpweft::cpu::WW_ISA
