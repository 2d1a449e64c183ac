#include "ops/argmax.hpp"

#include "cuda/elementwise/convert.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

// A value and where it is. The larger one wins, NaN over all, the first of equals.
template <class V> struct Best {
  V value;
  int64_t at;   // -1: none
  WW_DEVICE void offer(V v, int64_t i) {
    const bool nan = v != v, held = value != value;
    if (at < 0 || (nan && !held) || (!held && v > value) || ((v == value || (nan && held)) && i < at)) value = v, at = i;
  }
};

// A block a row.
template <class T> __global__ void __launch_bounds__(kThreads) largest(int64_t C, const T* x, int64_t stride, void* y, DType to) {
  using V = decltype(decoded(T{}));
  WW_SHARED(V, values, [kThreads / kWarp]);
  WW_SHARED(int64_t, places, [kThreads / kWarp]);
  const T* row = x + blockIdx.x * stride;
  Best<V> best{V{}, -1};
  for (int64_t i = threadIdx.x; i < C; i += kThreads) best.offer(decoded(row[i]), i);
  const auto meet = [&](unsigned flip) {
    V v;
    if constexpr (sizeof(V) >= 4) v = shuffleXor(best.value, flip);
    else v = static_cast<V>(shuffleXor(static_cast<int32_t>(best.value), flip));
    const int64_t at = shuffleXor(best.at, flip);
    if (at >= 0) best.offer(v, at);
  };
  for (unsigned flip = kWarp / 2; flip > 0; flip /= 2) meet(flip);
  if (lane() == 0) values[warpOfBlock()] = best.value, places[warpOfBlock()] = best.at;
  barrier();
  if (threadIdx.x != 0) return;
  for (unsigned w = 1; w < kThreads / kWarp; w++)
    if (places[w] >= 0) best.offer(values[w], places[w]);
  writeInteger(y, to, blockIdx.x, best.at);
}

}  // namespace

void run(const ArgMax& a, Context& context) {
  const int64_t R = a.x.rows(), C = a.x.columns();
  if (R == 0 || C == 0) return;
  const auto with = [&]<class T>() {
    launch<largest<T>>(context.stream(), blocksFor(R, 1), kThreads, 0, C, a.x.as<const T>(), a.x.rowStride(), a.y.data, a.y.dtype);
  };
  switch (a.x.dtype) {
    case DType::i32: return with.template operator()<int32_t>();
    case DType::i64: return with.template operator()<int64_t>();
    case DType::i8: return with.template operator()<int8_t>();
    case DType::u8: return with.template operator()<uint8_t>();
    default: dispatchFloat(a.x.dtype, with);
  }
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(ArgMax)
