#include "ops/sgd.hpp"

#include "cuda/elementwise/tensor_list.cuh"

namespace warpweft::cuda {
namespace {

enum Lists { kParam, kGrad, kMomentum, kLow };

__global__ void __launch_bounds__(kListThreads) sgd(MemberList list, const float* h, Clipping clipping, bool nesterov) {
  const GradientFactor f = gradientFactor(h[Sgd::gradientScale], clipping);
  if (f.skip) return;
  const float rate = h[Sgd::learningRate], decay = h[Sgd::weightDecay], momentum = h[Sgd::momentum], fresh = 1.f - h[Sgd::dampening];
  const bool first = h[Sgd::first] != 0.f;
  const Member t = memberOf(list, blockIdx.x);
  auto *param = static_cast<float*>(t.data[kParam]), *moments = static_cast<float*>(t.data[kMomentum]);
  eachOfPiece(t, blockIdx.x, [&](int64_t i, auto width) {
    constexpr int V = decltype(width)::value;
    float p[V], g[V], b[V];
    readFloats(t.data[kGrad], t.grad, i, g);
    readFloats(param, DType::f32, i, p);
    WW_UNROLL for (int j = 0; j < V; j++) g[j] = fma(decay, p[j], g[j] * f.factor);
    if (moments) {
      if (!first) readFloats(moments, DType::f32, i, b);
      WW_UNROLL for (int j = 0; j < V; j++) {
        b[j] = first ? g[j] : fma(b[j], momentum, g[j] * fresh);
        g[j] = nesterov ? fma(momentum, b[j], g[j]) : b[j];
      }
      writeFloats(moments, i, b);
    }
    WW_UNROLL for (int j = 0; j < V; j++) p[j] = fma(-rate, g[j], p[j]);
    writeFloats(param, i, p);
    if (t.data[kLow]) writeLow(t.data[kLow], t.low, i, p);
  });
}

}  // namespace

size_t workspace(const Sgd& a, const DeviceInfo&) { return memberBytes(a.params); }

void run(const Sgd& a, Context& context) {
  MemberListBuilder list;
  for (int64_t i = 0; i < a.params.count; i++) {
    Member& m = list.add(a.params[i].numel());
    MemberListBuilder::put(m, kParam, a.params[i]);
    MemberListBuilder::put(m, kGrad, a.grads[i]);
    m.grad = a.grads[i].dtype;
    if (a.momenta.count) MemberListBuilder::put(m, kMomentum, a.momenta[i]);
    if (!a.low.count) continue;
    MemberListBuilder::put(m, kLow, a.low[i]);
    m.low = a.low[i].dtype;
  }
  if (list.pieces() == 0) return;
  const Clipping clipping{a.lossScale ? a.lossScale.as<const float>() : nullptr, a.norm ? a.norm.as<const float>() : nullptr, context.faulty(), static_cast<float>(a.maxNorm), a.skipNonFinite};
  launch<sgd>(context.stream(), blocksFor(list.pieces(), 1), kListThreads, 0, list.upload(context), a.hyper.as<const float>(), clipping, a.nesterov);
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(Sgd)
