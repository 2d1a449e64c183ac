#include "ops/scatter_add.hpp"

#include "cuda/kernel.cuh"
#include "cuda/runtime/fault.hpp"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kTile = 1024;   // indices in shared memory at a time

// A thread an element of dx: it goes over the indices of its row, in their order, and adds what is its own. Rows have few indices where this is used; the work
// is C times K a row and no atomic's order shows in the sums.
template <class S, class T>
__global__ void __launch_bounds__(kThreads) scatterAdd(int64_t C, int64_t K, const S* dy, int64_t dyStride, Indices index, T* dx, int64_t dxStride, bool accumulate, FaultWord* word) {
  WW_SHARED(int64_t, tile, [kTile]);
  const int64_t row = blockIdx.x, column = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  float sum = 0;
  for (int64_t begin = 0; begin < K; begin += kTile) {
    const int64_t count = least(kTile, K - begin);
    barrier();
    for (int64_t k = threadIdx.x; k < count; k += kThreads) {
      const int64_t at = row * K + begin + k, to = index[at];
      if (blockIdx.y == 0 && (to < 0 || to >= C)) reportIndexFault(word, at, to, C);
      tile[k] = to;
    }
    barrier();
    for (int64_t k = 0; k < count; k++)
      if (tile[k] == column) sum += toFloat(dy[row * dyStride + begin + k]);
  }
  if (column >= C) return;
  T& to = dx[row * dxStride + column];
  to = fromFloat<T>(accumulate ? toFloat(to) + sum : sum);
}

}  // namespace

void run(const ScatterAdd& a, Context& context) {
  if (!a.dx) return;
  const int64_t R = a.dx.rows(), C = a.dx.columns(), K = a.dy.columns();
  if (R == 0) return;
  dispatchFloat(a.dy.dtype, [&]<class S>() {
    dispatchFloat(a.dx.dtype, [&]<class T>() {
      const dim3 grid(static_cast<unsigned>(R), static_cast<unsigned>(most(1, ceilDiv(C, kThreads))));
      launch<scatterAdd<S, T>>(context.stream(), grid, kThreads, 0, C, K, a.dy.as<const S>(), a.dy.rowStride(), Indices::of(a.index), a.dx.as<T>(), a.dx.rowStride(),
                               a.dx.accumulate, context.faultWord());
    });
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(ScatterAdd)
