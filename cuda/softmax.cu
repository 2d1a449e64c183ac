#include "ops/softmax.hpp"

#include "cuda/row.cuh"

namespace warpweft::cuda {
namespace {

// Rows in registers, as those of the norms: memory is touched once. Columns beyond the row are -infinity, whose exponentials are 0.
template <class T, bool kLog, int kElements, unsigned kThreads>
__global__ void __launch_bounds__(kThreads == kWarp ? 128 : kThreads) softmaxRows(int64_t R, int64_t C, Rows<const T> x, Rows<T> y) {
  constexpr int V = kVector<T>, K = kElements / V;
  WW_SHARED(float, scratch, [kThreads / kWarp]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads == kWarp ? 128 / kWarp : 1) + threadIdx.x / kThreads;
  const unsigned t = threadIdx.x % kThreads;
  if (kThreads == kWarp && row >= R) return;   // the whole warp
  float v[K][V], max = -kInfinity;
  WW_UNROLL for (int k = 0; k < K; k++) {
    const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
    Vector<T, V> in;
    if (column < C) in = load<V, Cache::streamed>(x.at(row, column));
    WW_UNROLL for (int j = 0; j < V; j++) {
      v[k][j] = column < C ? in[j] : -kInfinity;
      max = maximum(max, v[k][j]);
    }
  }
  max = blockReduce<kThreads>(max, scratch, [](float a, float b) { return maximum(a, b); });
  const float shift = shiftOf(max);
  float sum[1] = {0};
  WW_UNROLL for (int k = 0; k < K; k++)
    WW_UNROLL for (int j = 0; j < V; j++) {
      const float e = expBelow(v[k][j] - shift);
      sum[0] += e;
      v[k][j] = kLog ? v[k][j] - shift : e;
    }
  blockSums<kThreads>(sum, scratch);
  const float scale = sum[0] == 0.f ? 0.f : kLog ? log(sum[0]) : 1.f / sum[0];
  WW_UNROLL for (int k = 0; k < K; k++) {
    const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
    if (column >= C) continue;
    Vector<T, V> out;
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, kLog ? v[k][j] - scale : v[k][j] * scale);
    store(y.at(row, column), out);
  }
}

constexpr unsigned kWideThreads = 512;

// Any row: one pass for maximum and sum, one for the results.
template <class T, bool kLog> __global__ void __launch_bounds__(kWideThreads) softmaxWide(int64_t C, Rows<const T> x, Rows<T> y) {
  WW_SHARED(float, scratch, [kWideThreads / kWarp]);
  const T* from = x.at(blockIdx.x, 0);
  T* to = y.at(blockIdx.x, 0);
  ExpSum s;
  eachOfRow<kWideThreads, Cache::usual>(from, C, [&](int64_t, const auto& in) { s.add(in); });
  s.share<kWideThreads>(scratch);
  const float shift = shiftOf(s.max), scale = s.sum == 0.f ? 0.f : kLog ? log(s.sum) : 1.f / s.sum;
  eachOfRow<kWideThreads, Cache::streamed>(from, C, [&]<int V>(int64_t column, const Vector<T, V>& in) {
    Vector<T, V> out;
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, kLog ? in[j] - shift - scale : expBelow(in[j] - shift) * scale);
    storeAnywhere(to + column, out);
  });
}

template <bool kLog> WW_DEVICE float gradient(float dy, float y, float sum) { return kLog ? fma(-expBelow(y), sum, dy) : y * (dy - sum); }

template <class T, bool kLog, int kElements, unsigned kThreads>
__global__ void __launch_bounds__(kThreads == kWarp ? 128 : kThreads) backwardRows(int64_t R, int64_t C, Rows<const T> dy, Rows<const T> y, Rows<T> dx, bool accumulate) {
  constexpr int V = kVector<T>, K = kElements / V;
  WW_SHARED(float, scratch, [kThreads / kWarp]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads == kWarp ? 128 / kWarp : 1) + threadIdx.x / kThreads;
  const unsigned t = threadIdx.x % kThreads;
  if (kThreads == kWarp && row >= R) return;   // the whole warp
  Vector<T, V> d[K], p[K];
  float sum[1] = {0};
  WW_UNROLL for (int k = 0; k < K; k++) {
    const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
    if (column >= C) continue;
    d[k] = load<V, Cache::streamed>(dy.at(row, column));
    p[k] = load<V, Cache::streamed>(y.at(row, column));
    WW_UNROLL for (int j = 0; j < V; j++) sum[0] = kLog ? sum[0] + d[k][j] : fma(d[k][j], p[k][j], sum[0]);
  }
  blockSums<kThreads>(sum, scratch);
  WW_UNROLL for (int k = 0; k < K; k++) {
    const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
    if (column >= C) continue;
    Vector<T, V> out;
    if (accumulate) out = load<V>(dx.at(row, column));
    WW_UNROLL for (int j = 0; j < V; j++) {
      const float g = gradient<kLog>(d[k][j], p[k][j], sum[0]);
      out.set(j, accumulate ? out[j] + g : g);
    }
    store(dx.at(row, column), out);
  }
}

template <class T, bool kLog> __global__ void __launch_bounds__(kWideThreads) backwardWide(int64_t C, Rows<const T> dy, Rows<const T> y, Rows<T> dx, bool accumulate) {
  WW_SHARED(float, scratch, [kWideThreads / kWarp]);
  const T *from = dy.at(blockIdx.x, 0), *of = y.at(blockIdx.x, 0);
  T* to = dx.at(blockIdx.x, 0);
  float sum[1] = {0};
  eachOfRow<kWideThreads, Cache::usual>(from, C, [&]<int V>(int64_t column, const Vector<T, V>& d) {
    const auto p = loadAnywhere<V>(of + column);
    WW_UNROLL for (int j = 0; j < V; j++) sum[0] = kLog ? sum[0] + d[j] : fma(d[j], p[j], sum[0]);
  });
  blockSums<kWideThreads>(sum, scratch);
  eachOfRow<kWideThreads, Cache::usual>(from, C, [&]<int V>(int64_t column, const Vector<T, V>& d) {
    const auto p = loadAnywhere<V>(of + column);
    Vector<T, V> out;
    if (accumulate) out = loadAnywhere<V>(static_cast<const T*>(to + column));
    WW_UNROLL for (int j = 0; j < V; j++) {
      const float g = gradient<kLog>(d[j], p[j], sum[0]);
      out.set(j, accumulate ? out[j] + g : g);
    }
    storeAnywhere(to + column, out);
  });
}

template <class T, bool kLog> void forward(const Softmax& a, Stream stream) {
  const int64_t R = a.x.rows(), C = a.x.columns();
  const auto x = Rows<const T>::of(a.x);
  const auto y = Rows<T>::of(a.y);
  const auto rows = [&]<int kElements, unsigned kThreads>() {
    constexpr unsigned kBlock = kThreads == kWarp ? 128 : kThreads;
    launch<softmaxRows<T, kLog, kElements, kThreads>>(stream, blocksFor(R, kBlock / kThreads), kBlock, 0, R, C, x, y);
  };
  if (rowsOfVectors<T, kVector<T>>(a.x) && rowsOfVectors<T, kVector<T>>(a.y) && dispatchRow(C, rows)) return;
  launch<softmaxWide<T, kLog>>(stream, blocksFor(R, 1), kWideThreads, 0, C, x, y);
}

template <class T, bool kLog> void backward(const SoftmaxBackward& a, Stream stream) {
  const int64_t R = a.y.rows(), C = a.y.columns();
  const auto dy = Rows<const T>::of(a.dy), y = Rows<const T>::of(a.y);
  const auto dx = Rows<T>::of(a.dx);
  const auto rows = [&]<int kElements, unsigned kThreads>() {
    constexpr unsigned kBlock = kThreads == kWarp ? 128 : kThreads;
    launch<backwardRows<T, kLog, kElements, kThreads>>(stream, blocksFor(R, kBlock / kThreads), kBlock, 0, R, C, dy, y, dx, a.dx.accumulate);
  };
  constexpr int V = kVector<T>;
  if (rowsOfVectors<T, V>(a.dy) && rowsOfVectors<T, V>(a.y) && rowsOfVectors<T, V>(a.dx) && dispatchRow(C, rows)) return;
  launch<backwardWide<T, kLog>>(stream, blocksFor(R, 1), kWideThreads, 0, C, dy, y, dx, a.dx.accumulate);
}

}  // namespace

void run(const Softmax& a, Context& context) {
  if (a.x.numel() == 0) return;
  dispatchFloat(a.x.dtype, [&]<class T>() {
    if (a.log) forward<T, true>(a, context.stream());
    else forward<T, false>(a, context.stream());
  });
}

void run(const SoftmaxBackward& a, Context& context) {
  if (!a.dx || a.y.numel() == 0) return;
  dispatchFloat(a.y.dtype, [&]<class T>() {
    if (a.log) backward<T, true>(a, context.stream());
    else backward<T, false>(a, context.stream());
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Softmax)
WW_CUDA_KERNEL(SoftmaxBackward)
