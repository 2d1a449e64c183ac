#include "ops/grad_norm.hpp"

#include "cuda/elementwise/tensor_list.cuh"

namespace warpweft::cuda {
namespace {

// The squares of a piece: float32 over the 32 elements of a thread, double over these; a partial sum a block, added by one block in a fixed order.
__global__ void __launch_bounds__(kListThreads) squares(MemberList list, double* partial) {
  WW_SHARED(double, scratch, [kListThreads / kWarp]);
  const Member t = memberOf(list, blockIdx.x);
  float sums[4] = {0, 0, 0, 0};
  eachOfPiece(t, blockIdx.x, [&](int64_t i, auto width) {
    constexpr int V = decltype(width)::value;
    float x[V];
    readFloats(t.data[0], t.grad, i, x);
    WW_UNROLL for (int j = 0; j < V; j++) sums[j] = fma(x[j], x[j], sums[j]);
  });
  const double sum = static_cast<double>(sums[0]) + static_cast<double>(sums[1]) + static_cast<double>(sums[2]) + static_cast<double>(sums[3]);
  const double total = blockReduce<kListThreads>(sum, scratch, [](double a, double b) { return a + b; });
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kListThreads) finish(const double* partial, int64_t pieces, const float* scale, const float* lossScale, float* norm) {
  WW_SHARED(double, scratch, [kListThreads / kWarp]);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < pieces; i += kListThreads) sum += partial[i];
  const double total = blockReduce<kListThreads>(sum, scratch, [](double a, double b) { return a + b; });
  if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(total) * (scale ? static_cast<double>(*scale) : 1.0) / (lossScale ? static_cast<double>(*lossScale) : 1.0));
}

}  // namespace

size_t workspace(const GradNorm& a, const DeviceInfo&) {
  int64_t pieces = 0;
  for (int64_t i = 0; i < a.grads.count; i++) pieces += ceilDiv(a.grads[i].numel(), kPiece);
  return memberBytes(a.grads) + static_cast<size_t>(pieces) * sizeof(double);
}

void run(const GradNorm& a, Context& context) {
  MemberListBuilder list;
  for (int64_t i = 0; i < a.grads.count; i++) {
    Member& m = list.add(a.grads[i].numel());
    MemberListBuilder::put(m, 0, a.grads[i]);
    m.grad = a.grads[i].dtype;
  }
  const int64_t pieces = list.pieces();
  auto* partial = reinterpret_cast<double*>(static_cast<char*>(context.workspace()) + memberBytes(a.grads));
  if (pieces > 0) launch<squares>(context.stream(), blocksFor(pieces, 1), kListThreads, 0, list.upload(context), partial);
  launch<finish>(context.stream(), 1, kListThreads, 0, partial, pieces, a.scale ? a.scale.as<const float>() : nullptr,
                 a.lossScale ? a.lossScale.as<const float>() : nullptr, a.norm.as<float>());
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(GradNorm)
