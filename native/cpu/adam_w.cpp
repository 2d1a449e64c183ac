#include "ops/adam_w.hpp"

#include "cpu/elementwise/tensor_list.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

struct Step {
  float factor, decayGrad, keep;                     // of gradients; of L2 decay; 1 - learningRate * weightDecay
  float oneMinusBeta1, beta2, oneMinusBeta2, eps;
  float stepSize, rootCorrection2;                   // learningRate / (1 - beta1^t), sqrt(1 - beta2^t)
};

Step stepOf(const AdamW& a, float factor) {
  const float* h = a.hyper.as<const float>();
  const double rate = static_cast<double>(h[AdamW::learningRate]), decay = static_cast<double>(h[AdamW::weightDecay]);
  const double skipped = a.lossScale ? static_cast<double>(a.lossScale.as<const float>()[LossScale::skipped]) : 0;
  const auto correction = [&](int of, int oneMinusBeta) { return AdamW::correctionOf(static_cast<double>(h[of]), static_cast<double>(h[oneMinusBeta]), skipped); };
  return {factor,
          a.decoupled ? 0.f : h[AdamW::weightDecay],
          a.decoupled ? static_cast<float>(1.0 - rate * decay) : 1.f,
          h[AdamW::oneMinusBeta1],
          static_cast<float>(1.0 - static_cast<double>(h[AdamW::oneMinusBeta2])),
          h[AdamW::oneMinusBeta2],
          h[AdamW::eps],
          static_cast<float>(rate / correction(AdamW::correction1, AdamW::oneMinusBeta1)),
          static_cast<float>(__builtin_sqrt(correction(AdamW::correction2, AdamW::oneMinusBeta2)))};
}

// One pass: 4 reads and 3 writes of memory an element, and the low-precision copy.
template <class G, class L> void update(const Step& s, const G* grad, float* param, float* m, float* v, L* low, int64_t n) {
  eachVector(n, [&](int64_t i, auto lanes) {
    const F32 p = load(param + i, lanes);
    const F32 g = fma(splat(s.decayGrad), p, load(grad + i, lanes) * splat(s.factor));
    const F32 m0 = load(m + i, lanes);
    const F32 m1 = fma(splat(s.oneMinusBeta1), g - m0, m0);
    const F32 v1 = fma(load(v + i, lanes), splat(s.beta2), splat(s.oneMinusBeta2) * g * g);
    const F32 denominator = sqrt(v1) / splat(s.rootCorrection2) + splat(s.eps);
    const F32 p1 = fnma(splat(s.stepSize), m1 / denominator, p * splat(s.keep));
    store(m + i, m1, lanes);
    store(v + i, v1, lanes);
    store(param + i, p1, lanes);
    if (low) store(low + i, p1, lanes);
  });
}

void run(const AdamW& a, Context& c) {
  if (c.faulty()) return;
  const GradientFactor f = gradientFactor(a.hyper.as<const float>()[AdamW::gradientScale], a.lossScale, a.norm, a.maxNorm, a.skipNonFinite);
  if (f.skip) return;
  const Step s = stepOf(a, f.factor);
  auto* starts = static_cast<int64_t*>(c.workspace());
  countPieces(a.params, starts);
  forEachPiece(a.params, starts, c, [&](int64_t t, int64_t begin, int64_t end, int64_t) {
    dispatchFloat(a.grads[t].dtype, [&]<class G>() {
      const auto with = [&]<class L>(L* low) {
        update(s, a.grads[t].as<const G>() + begin, a.params[t].as<float>() + begin, a.m[t].as<float>() + begin, a.v[t].as<float>() + begin, low, end - begin);
      };
      if (!a.low.count) with(static_cast<bf16*>(nullptr));
      else if (a.low[t].dtype == DType::bf16) with(a.low[t].as<bf16>() + begin);
      else with(a.low[t].as<f16>() + begin);
    });
  });
}

size_t workspace(const AdamW& a) { return startBytes(a.params); }

}  // namespace
WW_KERNEL_WITH_WORKSPACE(AdamW)
}  // namespace warpweft::cpu::WW_ISA
