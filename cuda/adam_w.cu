#include "ops/adam_w.hpp"

#include "cuda/elementwise/tensor_list.cuh"

namespace warpweft::cuda {
namespace {

enum Lists { kParam, kGrad, kM, kV, kLow };

struct Step {
  float factor, decayGrad, keep;   // of gradients; of L2 decay; 1 - learningRate * weightDecay
  float oneMinusBeta1, beta2, oneMinusBeta2, eps;
  float stepSize, rootCorrection2;   // learningRate / (1 - beta1^t), sqrt(1 - beta2^t)
  bool skip;
};

// In double, once a block: float32 holds 1 - beta2 and 1 - beta^t too poorly.
WW_DEVICE Step stepOf(const float* h, const Clipping& clipping, bool decoupled) {
  const GradientFactor f = gradientFactor(h[AdamW::gradientScale], clipping);
  const auto rate = static_cast<double>(h[AdamW::learningRate]), decay = static_cast<double>(h[AdamW::weightDecay]);
  const double skipped = clipping.lossScale ? static_cast<double>(clipping.lossScale[LossScale::skipped]) : 0;
  const auto correction = [&](int of, int oneMinusBeta) { return AdamW::correctionOf(static_cast<double>(h[of]), static_cast<double>(h[oneMinusBeta]), skipped); };
  return {f.factor, decoupled ? 0.f : h[AdamW::weightDecay], decoupled ? static_cast<float>(1.0 - rate * decay) : 1.f, h[AdamW::oneMinusBeta1],
          static_cast<float>(1.0 - static_cast<double>(h[AdamW::oneMinusBeta2])), h[AdamW::oneMinusBeta2], h[AdamW::eps],
          static_cast<float>(rate / correction(AdamW::correction1, AdamW::oneMinusBeta1)), static_cast<float>(sqrt(correction(AdamW::correction2, AdamW::oneMinusBeta2))), f.skip};
}

// Four reads and three writes of memory an element, and the low-precision copy; nothing returns to the host.
__global__ void __launch_bounds__(kListThreads) adamW(MemberList list, const float* hyper, Clipping clipping, bool decoupled) {
  WW_SHARED(Step, shared, [1]);
  if (threadIdx.x == 0) shared[0] = stepOf(hyper, clipping, decoupled);
  barrier();
  const Step s = shared[0];
  if (s.skip) return;
  const Member t = memberOf(list, blockIdx.x);
  auto *param = static_cast<float*>(t.data[kParam]), *first = static_cast<float*>(t.data[kM]), *second = static_cast<float*>(t.data[kV]);
  eachOfPiece(t, blockIdx.x, [&](int64_t i, auto width) {
    constexpr int V = decltype(width)::value;
    float p[V], g[V], m[V], v[V];
    readFloats(t.data[kGrad], t.grad, i, g);
    readFloats(param, DType::f32, i, p);
    readFloats(first, DType::f32, i, m);
    readFloats(second, DType::f32, i, v);
    WW_UNROLL for (int j = 0; j < V; j++) {
      const float grad = fma(s.decayGrad, p[j], g[j] * s.factor);
      m[j] = fma(s.oneMinusBeta1, grad - m[j], m[j]);
      v[j] = fma(v[j], s.beta2, s.oneMinusBeta2 * grad * grad);
      const float denominator = sqrt(v[j]) / s.rootCorrection2 + s.eps;
      p[j] = fma(-s.stepSize, m[j] / denominator, p[j] * s.keep);
    }
    writeFloats(param, i, p);
    writeFloats(first, i, m);
    writeFloats(second, i, v);
    if (t.data[kLow]) writeLow(t.data[kLow], t.low, i, p);
  });
}

}  // namespace

size_t workspace(const AdamW& a, const DeviceInfo&) { return memberBytes(a.params); }

void run(const AdamW& a, Context& context) {
  MemberListBuilder list;
  for (int64_t i = 0; i < a.params.count; i++) {
    Member& m = list.add(a.params[i].numel());
    MemberListBuilder::put(m, kParam, a.params[i]);
    MemberListBuilder::put(m, kGrad, a.grads[i]);
    MemberListBuilder::put(m, kM, a.m[i]);
    MemberListBuilder::put(m, kV, a.v[i]);
    m.grad = a.grads[i].dtype;
    if (!a.low.count) continue;
    MemberListBuilder::put(m, kLow, a.low[i]);
    m.low = a.low[i].dtype;
  }
  if (list.pieces() == 0) return;
  const Clipping clipping{a.lossScale ? a.lossScale.as<const float>() : nullptr, a.norm ? a.norm.as<const float>() : nullptr, context.faulty(), static_cast<float>(a.maxNorm), a.skipNonFinite};
  launch<adamW>(context.stream(), blocksFor(list.pieces(), 1), kListThreads, 0, list.upload(context), a.hyper.as<const float>(), clipping, a.decoupled);
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(AdamW)
