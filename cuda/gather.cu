#include "ops/gather.hpp"

#include "cuda/kernel.cuh"
#include "cuda/runtime/fault.hpp"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class T> __global__ void __launch_bounds__(kThreads) gather(int64_t total, int64_t K, int64_t C, const T* x, int64_t stride, Indices index, T* y, FaultWord* word) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t column = index[i];
  const bool valid = column >= 0 && column < C;
  if (!valid) reportIndexFault(word, i, column, C);
  y[i] = valid ? x[i / K * stride + column] : T{0};
}

}  // namespace

void run(const Gather& a, Context& context) {
  const int64_t K = a.index.columns(), total = a.index.numel();
  if (total == 0) return;
  dispatchBytes(a.x.dtype, [&]<class T>() {
    launch<gather<T>>(context.stream(), blocksFor(total, kThreads), kThreads, 0, total, K, a.x.columns(), a.x.as<const T>(), a.x.rowStride(), Indices::of(a.index),
                      a.y.as<T>(), context.faultWord());
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Gather)
