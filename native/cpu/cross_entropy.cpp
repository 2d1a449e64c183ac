#include "ops/cross_entropy.hpp"

#include "cpu/exp_sum.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

WW_INLINE int64_t rowGrain(int64_t classes) { return maximum(1, 8192 / maximum(1, classes)); }

// The label of a row, or -1 where the row does not count.
WW_INLINE int64_t labelOf(const View& labels, int64_t row, int64_t classes, int64_t ignoreIndex, Context& c) {
  const int64_t label = indexAt(labels, row);
  if (label == ignoreIndex) return -1;
  if (label >= 0 && label < classes) return label;
  c.indexFault(row, label, classes);
  return -1;
}

template <bool kSmooth, class T> WW_INLINE void forward(const CrossEntropy& a, Context& c) {
  const int64_t R = a.logits.rows(), V = a.logits.columns();
  float* loss = a.loss.as<float>();
  float* lse = a.lse.as<float>();
  c.parallelFor(R, rowGrain(V), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; r++) {
      loss[r] = lse[r] = 0;
      const int64_t label = labelOf(a.labels, r, V, a.ignoreIndex, c);
      if (label < 0) continue;
      const T* x = a.logits.as<const T>() + r * a.logits.rowStride();
      // All relative to the shift, so that large logits cost no digits of the loss.
      const ExpSum s = expSum<kSmooth>(x, V);
      const double log = __builtin_log(s.sum), all = log + static_cast<double>(s.shift);
      double l = log - (1 - a.labelSmoothing) * (static_cast<double>(toFloat(x[label])) - static_cast<double>(s.shift));
      if (kSmooth) l -= a.labelSmoothing / static_cast<double>(V) * s.total;
      if (a.zLoss != 0) l += a.zLoss * all * all;
      loss[r] = static_cast<float>(l);
      lse[r] = static_cast<float>(all);
    }
  });
}

static void run(const CrossEntropy& a, Context& c) {
  dispatchFloat(a.logits.dtype, [&]<class T>() {
    if (a.labelSmoothing > 0) forward<true, T>(a, c);
    else forward<false, T>(a, c);
  });
  if (!a.counted) return;
  const int64_t R = a.logits.rows(), V = a.logits.columns();
  int64_t counted = 0;
  for (int64_t r = 0; r < R; r++) {
    const int64_t label = indexAt(a.labels, r);
    counted += label != a.ignoreIndex && label >= 0 && label < V;
  }
  a.counted.as<float>()[0] = static_cast<float>(counted);
}

// Each element is read before it is written, so that dlogits may lie on logits.
template <class T> WW_INLINE void backward(const CrossEntropyBackward& a, Context& c) {
  const int64_t R = a.logits.rows(), V = a.logits.columns();
  const float* scales = a.scale.as<const float>();
  const bool each = a.scale.numel() != 1, accumulate = a.dlogits.accumulate;
  c.parallelFor(R, rowGrain(V), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; r++) {
      const T* x = a.logits.as<const T>() + r * a.logits.rowStride();
      T* dx = a.dlogits.as<T>() + r * a.dlogits.rowStride();
      const int64_t label = labelOf(a.labels, r, V, a.ignoreIndex, c);
      if (label < 0) {
        if (!accumulate) eachVector(V, [&](int64_t i, auto lanes) WW_ALWAYS { store(dx + i, zero(), lanes); });
        continue;
      }
      const float lse = a.lse.as<const float>()[r], scale = scales[each ? r : 0];
      const float slope = scale * static_cast<float>(1 + 2 * a.zLoss * lse);
      const F32 uniform = splat(static_cast<float>(a.labelSmoothing / static_cast<double>(V)) * scale);
      const auto gradient = [&](F32 v, F32 old) WW_ALWAYS {
        const F32 g = fma(expNonPositive(v - splat(lse)), splat(slope), zero() - uniform);
        return accumulate ? g + old : g;
      };
      // The label's own element, rounded once.
      const F32 own = gradient(splat(toFloat(x[label])), splat(accumulate ? toFloat(dx[label]) : 0.f)) - splat(scale * static_cast<float>(1 - a.labelSmoothing));
      eachVector(V, [&](int64_t i, auto lanes) WW_ALWAYS { store(dx + i, gradient(load(x + i, lanes), accumulate ? load(dx + i, lanes) : zero()), lanes); });
      storePartial(dx + label, own, 1);
    }
  });
}

static void run(const CrossEntropyBackward& a, Context& c) {
  if (a.dlogits) dispatchFloat(a.logits.dtype, [&]<class T>() { backward<T>(a, c); });
}

}  // namespace

WW_KERNEL(CrossEntropy)
WW_KERNEL(CrossEntropyBackward)

}  // namespace warpweft::cpu::WW_ISA
