#include "ops/top_k.hpp"

#include "cuda/elementwise/convert.cuh"
#include "cuda/kernel.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 512;

// A number in the order of ops/top_k.hpp: NaN largest, -0 equal to 0. The key in the upper half, the index below it turned round: the larger number comes first.
WW_DEVICE int64_t rankOf(float x, int64_t index) {
  int32_t key = INT32_MAX;
  if (x == x) {
    const auto bits = static_cast<int32_t>(bitsOf(x + 0.f));
    key = bits ^ (bits >> 31 & INT32_MAX);
  }
  return static_cast<int64_t>(static_cast<uint64_t>(static_cast<uint32_t>(key)) << 32 | static_cast<uint32_t>(~static_cast<uint32_t>(index)));
}

// A block a row, a pass over it for each of the K: the largest below the last one. Each thread keeps the best of its elements and goes over them again only when it
// was taken, so that a pass costs one thread's share.
template <class T> __global__ void __launch_bounds__(kThreads) topK(int64_t V, int64_t K, const T* x, int64_t stride, void* values, DType valueType, void* indices, DType indexType) {
  WW_SHARED(int64_t, scratch, [kThreads / kWarp]);
  const T* row = x + blockIdx.x * stride;
  int64_t last = INT64_MAX, mine = 0;
  bool stale = true;
  for (int64_t k = 0; k < K; k++) {
    if (stale) {
      mine = INT64_MIN;
      for (int64_t i = threadIdx.x; i < V; i += kThreads) {
        const int64_t r = rankOf(toFloat(row[i]), i);
        if ((k == 0 || r < last) && (r > mine || mine == INT64_MIN)) mine = r;
      }
    }
    const int64_t best = blockReduce<kThreads>(mine, scratch, [](int64_t a, int64_t b) { return a > b ? a : b; });
    stale = best == mine;
    last = best;
    if (threadIdx.x != 0) continue;
    const int64_t at = static_cast<uint32_t>(~static_cast<uint32_t>(best)), to = blockIdx.x * K + k;
    writeFloat(values, valueType, to, toFloat(row[at]));
    writeInteger(indices, indexType, to, at);
  }
}

}  // namespace

void run(const TopK& a, Context& context) {
  const int64_t R = a.x.rows(), V = a.x.columns(), K = a.values.columns();
  if (R == 0 || K == 0) return;
  dispatchFloat(a.x.dtype, [&]<class T>() {
    launch<topK<T>>(context.stream(), blocksFor(R, 1), kThreads, 0, V, K, a.x.as<const T>(), a.x.rowStride(), a.values.data, a.values.dtype, a.indices.data, a.indices.dtype);
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(TopK)
