#include "ops/lerp.hpp"

#include "cuda/elementwise/tensor_list.cuh"

namespace warpweft::cuda {
namespace {

enum Lists { kY, kX };

__global__ void __launch_bounds__(kListThreads) lerp(MemberList list, const float* weight, const uint32_t* faulty) {
  if (faulty && *faulty) return;
  const float w = *weight;
  const Member t = memberOf(list, blockIdx.x);
  auto* to = static_cast<float*>(t.data[kY]);
  eachOfPiece(t, blockIdx.x, [&](int64_t i, auto width) {
    constexpr int V = decltype(width)::value;
    float y[V], x[V];
    readFloats(to, DType::f32, i, y);
    readFloats(t.data[kX], t.grad, i, x);
    WW_UNROLL for (int j = 0; j < V; j++) y[j] = fma(w, x[j] - y[j], y[j]);
    writeFloats(to, i, y);
  });
}

}  // namespace

size_t workspace(const Lerp& a, const DeviceInfo&) { return memberBytes(a.y); }

void run(const Lerp& a, Context& context) {
  MemberListBuilder list;
  for (int64_t i = 0; i < a.y.count; i++) {
    Member& m = list.add(a.y[i].numel());
    MemberListBuilder::put(m, kY, a.y[i]);
    MemberListBuilder::put(m, kX, a.x[i]);
    m.grad = a.x[i].dtype;
  }
  if (list.pieces() == 0) return;
  launch<lerp>(context.stream(), blocksFor(list.pieces(), 1), kListThreads, 0, list.upload(context), a.weight.as<const float>(), context.faulty());
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(Lerp)
