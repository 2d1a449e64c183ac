#include "ops/dropout.hpp"

#include "cuda/kernel.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

// V elements a thread, of rows of C. Without dropout (p = 0) the factor is 1.
template <int V, class T>
__global__ void __launch_bounds__(kThreads) dropout(DropoutSetting setting, int64_t total, int64_t C, const T* x, int64_t xStride, T* y, int64_t yStride, bool accumulate) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
  if (i >= total) return;
  const int64_t row = i / C, column = i - row * C;
  float factors[V];
  if (setting) dropoutFactors(setting.read(), static_cast<uint64_t>(i), factors);
  else WW_UNROLL for (int j = 0; j < V; j++) factors[j] = 1.f;
  const auto in = load<V, Cache::streamed>(x + row * xStride + column);
  T* to = y + row * yStride + column;
  Vector<T, V> out;
  if (accumulate) out = load<V>(to);
  WW_UNROLL for (int j = 0; j < V; j++) out.set(j, accumulate ? fma(in[j], factors[j], out[j]) : in[j] * factors[j]);
  store(to, out);
}

}  // namespace

void run(const Dropout& a, Context& context) {
  const int64_t R = a.x.rows(), C = a.x.columns(), total = R * C;
  if (total == 0) return;
  const DropoutSetting setting = DropoutSetting::of(a.rng ? a.rng.as<const int64_t>() : nullptr, a.call, a.p);
  dispatchFloat(a.x.dtype, [&]<class T>() {
    const auto with = [&]<int V>() {
      launch<dropout<V, T>>(context.stream(), blocksFor(total / V, kThreads), kThreads, 0, setting, total, C, a.x.as<const T>(), a.x.rowStride(), a.y.as<T>(),
                            a.y.rowStride(), a.y.accumulate);
    };
    constexpr int V = kVector<T>;
    if (rowsOfVectors<T, V>(a.x) && rowsOfVectors<T, V>(a.y)) with.template operator()<V>();
    else with.template operator()<1>();
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Dropout)
