#include "ops/dequantize.hpp"

#include "cpu/kernel.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kChunk = DequantizeNF4::kBlock;   // elements that go through a buffer on the way to the dtype of y

template <class T> WW_INLINE void put(T* y, const float* buffer, int64_t n, F32 scale) {
  eachVector(n, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, load(buffer + i, lanes) * scale, lanes); });
}

template <class T> WW_INLINE void rows(const DequantizeInt8& a, Context& c) {
  const int64_t K = a.codes.sizes[1];
  c.parallelFor(a.codes.sizes[0], maximum(1, 16384 / maximum(1, K)), [&](int64_t begin, int64_t end, int) {
    alignas(64) float buffer[kChunk];
    for (int64_t n = begin; n < end; n++) {
      const int8_t* codes = a.codes.as<const int8_t>() + n * K;
      T* y = a.y.as<T>() + n * K;
      const F32 scale = splat(a.scale.as<const float>()[n]);
      for (int64_t k = 0; k < K; k += kChunk) {
        const int64_t count = minimum(kChunk, K - k);
        for (int64_t i = 0; i < count; i++) buffer[i] = static_cast<float>(codes[k + i]);
        put(y + k, buffer, count, scale);
      }
    }
  });
}

static void run(const DequantizeInt8& a, Context& c) {
  dispatchFloat(a.y.dtype, [&]<class T>() { rows<T>(a, c); });
}

// The 16 values of NormalFloat: quantiles of a normal distribution with a zero among them, scaled to [-1, 1].   Dettmers et al. 2023, appendix E
constexpr float kNormalFloat[16] = {-1.f,          -0.69619280099868774f, -0.52507305145263672f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
                                    -0.091050036251544952f, 0.f,          0.079580299556255341f, 0.16093020141124725f,  0.24611230194568634f,  0.33791524171829224f,
                                    0.44070982933044434f,   0.56261700391769409f, 0.72295683622360229f, 1.f};

WW_INLINE float absmaxOf(const DequantizeNF4& a, int64_t block) {
  if (!a.groups) return a.absmax.as<const float>()[block];
  return static_cast<float>(a.mean) + a.groups.as<const float>()[block / DequantizeNF4::kGroup] * static_cast<float>(a.absmax.as<const int8_t>()[block]);
}

template <class T> WW_INLINE void blocks(const DequantizeNF4& a, Context& c) {
  const int64_t N = a.y.numel();
  c.parallelFor(ceilDiv(N, kChunk), 256, [&](int64_t begin, int64_t end, int) {
    alignas(64) float buffer[kChunk];
    for (int64_t b = begin; b < end; b++) {
      const int64_t first = b * kChunk, count = minimum(kChunk, N - first);
      const uint8_t* codes = a.codes.as<const uint8_t>() + first / 2;
      for (int64_t i = 0; i + 1 < count; i += 2) {
        buffer[i] = kNormalFloat[codes[i / 2] >> 4];
        buffer[i + 1] = kNormalFloat[codes[i / 2] & 15];
      }
      if (count % 2) buffer[count - 1] = kNormalFloat[codes[count / 2] >> 4];
      put(a.y.as<T>() + first, buffer, count, splat(absmaxOf(a, b)));
    }
  });
}

static void run(const DequantizeNF4& a, Context& c) {
  dispatchFloat(a.y.dtype, [&]<class T>() { blocks<T>(a, c); });
}

}  // namespace

WW_KERNEL(DequantizeInt8)
WW_KERNEL(DequantizeNF4)

}  // namespace warpweft::cpu::WW_ISA
