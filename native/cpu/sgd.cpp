#include "ops/sgd.hpp"

#include "cpu/elementwise/tensor_list.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

struct Step {
  float factor, rate, decay;
  float momentum, fresh;   // what a gradient adds to the momentum: 1 - dampening
  bool first, nesterov;
};

template <class G, class L> void update(const Step& s, const G* grad, float* param, float* momentum, L* low, int64_t n) {
  eachVector(n, [&](int64_t i, auto lanes) {
    const F32 p = load(param + i, lanes);
    F32 g = fma(splat(s.decay), p, load(grad + i, lanes) * splat(s.factor));
    if (momentum) {
      const F32 b = s.first ? g : fma(load(momentum + i, lanes), splat(s.momentum), g * splat(s.fresh));
      store(momentum + i, b, lanes);
      g = s.nesterov ? fma(splat(s.momentum), b, g) : b;
    }
    const F32 p1 = fnma(splat(s.rate), g, p);
    store(param + i, p1, lanes);
    if (low) store(low + i, p1, lanes);
  });
}

void run(const Sgd& a, Context& c) {
  if (c.faulty()) return;
  const float* h = a.hyper.as<const float>();
  const GradientFactor f = gradientFactor(h[Sgd::gradientScale], a.lossScale, a.norm, a.maxNorm, a.skipNonFinite);
  if (f.skip) return;
  const Step s{f.factor, h[Sgd::learningRate], h[Sgd::weightDecay], h[Sgd::momentum], 1.f - h[Sgd::dampening], h[Sgd::first] != 0.f, a.nesterov};
  auto* starts = static_cast<int64_t*>(c.workspace());
  countPieces(a.params, starts);
  forEachPiece(a.params, starts, c, [&](int64_t t, int64_t begin, int64_t end, int64_t) {
    float* momentum = a.momenta.count ? a.momenta[t].as<float>() + begin : nullptr;
    dispatchFloat(a.grads[t].dtype, [&]<class G>() {
      const auto with = [&]<class L>(L* low) { update(s, a.grads[t].as<const G>() + begin, a.params[t].as<float>() + begin, momentum, low, end - begin); };
      if (!a.low.count) with(static_cast<bf16*>(nullptr));
      else if (a.low[t].dtype == DType::bf16) with(a.low[t].as<bf16>() + begin);
      else with(a.low[t].as<f16>() + begin);
    });
  });
}

size_t workspace(const Sgd& a) { return startBytes(a.params); }

}  // namespace
WW_KERNEL_WITH_WORKSPACE(Sgd)
}  // namespace warpweft::cpu::WW_ISA
