#include "ops/dequantize.hpp"

#include "cuda/row.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kCodes = 8;   // that a thread decodes at a time

// Writes up to kCodes elements from y on. An aligned y of whole groups takes vectors.
template <class T> WW_DEVICE void put(T* y, const float (&v)[kCodes], int64_t count, bool vectors) {
  if (vectors && count == kCodes) {
    Vector<T, kCodes> out;
    WW_UNROLL for (int j = 0; j < kCodes; j++) out.set(j, v[j]);
    store<Cache::streamed>(y, out);
  } else {
    WW_UNROLL for (int j = 0; j < kCodes; j++)
      if (j < count) y[j] = fromFloat<T>(v[j]);
  }
}

// A thread takes kCodes elements of all N K; where rows are not made of whole groups these may belong to several of them.
template <class T> __global__ void __launch_bounds__(kThreads) int8Codes(const int8_t* codes, const float* scale, int64_t total, int64_t K, T* y, bool vectors) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kCodes, count = least(kCodes, total - first);
  if (count <= 0) return;
  float v[kCodes];
  if (vectors) {   // K is a multiple of kCodes
    const float s = scale[first / K];
    const auto in = load<kCodes / 4>(reinterpret_cast<const uint32_t*>(codes + first));
    WW_UNROLL for (int j = 0; j < kCodes; j++) v[j] = static_cast<float>(static_cast<int8_t>(in.v[j / 4] >> 8 * (j % 4))) * s;
  } else {
    int64_t row = first / K, left = (row + 1) * K - first;
    WW_UNROLL for (int j = 0; j < kCodes; j++) {
      if (j >= count) {
        v[j] = 0;
        continue;
      }
      if (left == 0) row++, left = K;
      left--;
      v[j] = static_cast<float>(codes[first + j]) * scale[row];
    }
  }
  put(y + first, v, count, vectors);
}

// The 16 values of NormalFloat: quantiles of a normal distribution with a zero among them, scaled to [-1, 1].   Dettmers et al. 2023, appendix E
struct NormalFloat {
  float v[16] = {-1.f,          -0.69619280099868774f, -0.52507305145263672f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
                 -0.091050036251544952f, 0.f,          0.079580299556255341f, 0.16093020141124725f,  0.24611230194568634f,  0.33791524171829224f,
                 0.44070982933044434f,   0.56261700391769409f, 0.72295683622360229f, 1.f};
};

struct Absmax {
  const void* data;
  const float* groups;   // null: data is float32, else int8
  float mean;
  WW_DEVICE float operator[](int64_t block) const {
    if (!groups) return static_cast<const float*>(data)[block];
    return fma(groups[block / DequantizeNF4::kGroup], static_cast<float>(static_cast<const int8_t*>(data)[block]), mean);
  }
};

// A thread takes kCodes elements, of one block of 64 and of kCodes / 2 bytes. The values come from shared memory, where lanes that want the same one share it.
template <class T> __global__ void __launch_bounds__(kThreads) nf4Codes(const uint8_t* codes, Absmax absmax, NormalFloat values, int64_t total, T* y, bool vectors) {
  WW_SHARED(float, table, [16]);
  WW_UNROLL for (unsigned i = 0; i < 16; i++)
    if (threadIdx.x == i) table[i] = values.v[i];
  barrier();
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kCodes, count = least(kCodes, total - first);
  if (count <= 0) return;
  const float scale = absmax[first / DequantizeNF4::kBlock];
  float v[kCodes];
  if (vectors && count == kCodes) {
    const auto in = load<1>(reinterpret_cast<const uint32_t*>(codes + first / 2));
    WW_UNROLL for (int j = 0; j < kCodes; j++) v[j] = table[in.v[0] >> (8 * (j / 2) + (j % 2 ? 0 : 4)) & 15] * scale;
  } else {
    WW_UNROLL for (int j = 0; j < kCodes; j++) v[j] = j < count ? table[codes[(first + j) / 2] >> (j % 2 ? 0 : 4) & 15] * scale : 0.f;
  }
  put(y + first, v, count, vectors);
}

template <class T> bool vectorsOf(const View& y) { return aligned(y.data, alignof(Vector<T, kCodes>)); }

}  // namespace

void run(const DequantizeInt8& a, Context& context) {
  const int64_t total = a.codes.numel(), K = a.codes.sizes[1];
  if (total == 0) return;
  dispatchFloat(a.y.dtype, [&]<class T>() {
    launch<int8Codes<T>>(context.stream(), blocksFor(total, int64_t{kThreads} * kCodes), kThreads, 0, a.codes.as<const int8_t>(), a.scale.as<const float>(), total, K, a.y.as<T>(),
                         vectorsOf<T>(a.y) && K % kCodes == 0 && aligned(a.codes.data, kCodes));
  });
}

void run(const DequantizeNF4& a, Context& context) {
  const int64_t total = a.y.numel();
  if (total == 0) return;
  dispatchFloat(a.y.dtype, [&]<class T>() {
    launch<nf4Codes<T>>(context.stream(), blocksFor(total, int64_t{kThreads} * kCodes), kThreads, 0, a.codes.as<const uint8_t>(),
                        Absmax{a.absmax.data, a.groups ? a.groups.as<const float>() : nullptr, static_cast<float>(a.mean)}, NormalFloat{}, total, a.y.as<T>(),
                        vectorsOf<T>(a.y) && aligned(a.codes.data, kCodes / 2));
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(DequantizeInt8)
WW_CUDA_KERNEL(DequantizeNF4)
