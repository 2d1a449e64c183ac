#include "ops/cumsum.hpp"

#include "cuda/elementwise/convert.cuh"
#include "cuda/kernel.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

// A block a row: 256 elements at a time, in double or int64, and what came before them.
template <class A> __global__ void __launch_bounds__(kThreads) cumsum(int64_t C, const void* x, DType from, int64_t xStride, void* y, DType to, int64_t yStride, bool accumulate, bool reversed) {
  WW_SHARED(A, warps, [kThreads / kWarp]);
  A carry = 0;
  for (int64_t begin = 0; begin < C; begin += kThreads) {
    const int64_t k = begin + threadIdx.x, i = reversed ? C - 1 - k : k;
    A v = 0;
    if (k < C) {
      if constexpr (std::is_same_v<A, double>) v = static_cast<double>(readFloat(x, from, blockIdx.x * xStride + i));
      else v = static_cast<A>(readInteger(x, from, blockIdx.x * xStride + i));
    }
    for (unsigned distance = 1; distance < kWarp; distance *= 2) {
      const A before = shuffleUp(v, distance);
      if (lane() >= distance) v += before;
    }
    if (lane() == kWarp - 1) warps[warpOfBlock()] = v;
    barrier();
    A before = carry;
    for (unsigned w = 0; w < kThreads / kWarp; w++) {
      if (w == warpOfBlock()) v += before;
      before += warps[w];
    }
    carry = before;
    barrier();
    if (k >= C) continue;
    const int64_t at = blockIdx.x * yStride + i;
    if constexpr (std::is_same_v<A, double>) writeFloat(y, to, at, static_cast<float>(v) + (accumulate ? readFloat(y, to, at) : 0.f));
    else writeInteger(y, to, at, static_cast<int64_t>(v));
  }
}

}  // namespace

void run(const Cumsum& a, Context& context) {
  const int64_t R = a.x.rows(), C = a.x.columns();
  if (R == 0 || C == 0) return;
  const auto with = [&]<class A>() {
    launch<cumsum<A>>(context.stream(), blocksFor(R, 1), kThreads, 0, C, a.x.data, a.x.dtype, a.x.rowStride(), a.y.data, a.y.dtype, a.y.rowStride(), a.y.accumulate, a.reversed);
  };
  if (isFloat(a.x.dtype)) with.template operator()<double>();
  else with.template operator()<unsigned long long>();   // wraps
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Cumsum)
