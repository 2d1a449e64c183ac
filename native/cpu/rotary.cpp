#include "ops/rotary.hpp"

#include "cpu/kernel.hpp"
#include "cpu/simd/pairs.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

template <class T, class Lanes> WW_INLINE void put(T* y, F32 v, bool accumulate, Lanes lanes) { store(y, accumulate ? v + load(y, lanes) : v, lanes); }

// One head whose halves turn against each other.
template <class T> WW_INLINE void turnHalves(const T* x, T* y, const float* cos, const float* sin, int64_t half, bool inverse, bool accumulate) {
  eachVector(half, [&](int64_t i, auto lanes) WW_ALWAYS {
    const F32 a = load(x + i, lanes), b = load(x + half + i, lanes), c = load(cos + i, lanes), positive = load(sin + i, lanes);
    const F32 s = inverse ? zero() - positive : positive;
    put(y + i, fma(a, c, zero() - b * s), accumulate, lanes);
    put(y + half + i, fma(b, c, a * s), accumulate, lanes);
  });
}

// One head whose neighbours turn against each other.
template <class T> WW_INLINE void turnNeighbours(const T* x, T* y, const float* cos, const float* sin, int64_t half, bool inverse, bool accumulate) {
  const F32 signs = inverse ? zero() - alternating() : alternating();
  eachVector(2 * half, [&](int64_t i, auto lanes) WW_ALWAYS {
    const F32 v = load(x + i, lanes), c = forPairs(cos + i / 2, lanes), s = forPairs(sin + i / 2, lanes) * signs;
    put(y + i, fma(v, c, swapped(v) * s), accumulate, lanes);
  });
}

template <class T> void turn(const Rotary& a, Context& c) {
  const int64_t T_ = a.x.sizes[1], H = a.x.sizes[2], D = a.x.sizes[3], P = a.cos.sizes[0], half = a.cos.sizes[1];
  c.parallelFor(a.x.sizes[0] * T_, maximum(1, 8192 / maximum(1, H * D)), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; n++) {
      const int64_t b = n / T_, t = n % T_, position = a.positions ? indexAt(a.positions, n) : a.start + t;
      const bool known = position >= 0 && position < P;
      if (!known) c.indexFault(n, position, P);
      const float* const cos = a.cos.as<const float>() + (known ? position * half : 0);
      const float* const sin = a.sin.as<const float>() + (known ? position * half : 0);
      for (int64_t h = 0; h < H; h++) {
        const T* const x = a.x.as<const T>() + b * a.x.strides[0] + t * a.x.strides[1] + h * a.x.strides[2];
        T* const y = a.y.as<T>() + b * a.y.strides[0] + t * a.y.strides[1] + h * a.y.strides[2];
        if (!known) {
          if (!a.y.accumulate) eachVector(D, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, zero(), lanes); });
          continue;
        }
        if (a.interleaved) turnNeighbours(x, y, cos, sin, half, a.inverse, a.y.accumulate);
        else turnHalves(x, y, cos, sin, half, a.inverse, a.y.accumulate);
        eachVector(D - 2 * half, [&](int64_t i, auto lanes) WW_ALWAYS { put(y + 2 * half + i, load(x + 2 * half + i, lanes), a.y.accumulate, lanes); });
      }
    }
  });
}

void run(const Rotary& a, Context& c) {
  dispatchFloat(a.x.dtype, [&]<class T>() { turn<T>(a, c); });
}

}  // namespace
WW_KERNEL(Rotary)
}  // namespace warpweft::cpu::WW_ISA
