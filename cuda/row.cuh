#pragma once
// Rows: held in the registers of a warp or a block, or gone over by a block whatever their length and alignment.
#include "cuda/kernel.cuh"

namespace warpweft::cuda {

inline constexpr unsigned kRowThreads = 256;
inline constexpr int kMostElements = 32;   // of a row, in the registers of a thread

template <class T> struct Rows {
  T* data;
  int64_t stride;
  template <class V> static Rows of(const V& v) { return v ? Rows{v.template as<T>(), v.rowStride()} : Rows{nullptr, 0}; }
  WW_DEVICE explicit operator bool() const { return data != nullptr; }
  WW_DEVICE T* at(int64_t row, int64_t column) const { return data + row * stride + column; }
};

// Calls body.template operator()<kElements, kThreads>() for rows of C columns in registers; false where they do not fit.
template <class F> bool dispatchRow(int64_t C, F&& body) {
  if (C <= 8 * kWarp) body.template operator()<8, kWarp>();
  else if (C <= 16 * kWarp) body.template operator()<16, kWarp>();
  else if (C <= 32 * kWarp) body.template operator()<32, kWarp>();
  else if (C <= 8 * kRowThreads) body.template operator()<8, kRowThreads>();
  else if (C <= 16 * kRowThreads) body.template operator()<16, kRowThreads>();
  else if (C <= kMostElements * kRowThreads) body.template operator()<kMostElements, kRowThreads>();
  else return false;
  return true;
}

inline constexpr float kInfinity = __builtin_huge_valf();

// Single elements before the first vector of x.
template <class T> WW_DEVICE int64_t headOf(const T* x, int64_t n) {
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(x) % 16 / sizeof(T));
  return least(past ? kVector<T> - past : 0, n);
}

// A block goes over a row: single elements up to the first whole vector, vectors, single elements after the last. Calls f(column, vector) with Vector<T, kVector<T>> or Vector<T, 1>; vectors in turn to the threads, so that a warp reads whole lines.
template <unsigned kThreads, Cache kCache, class T, class F> WW_DEVICE void eachOfRow(const T* x, int64_t n, F&& f) {
  constexpr int V = kVector<T>;
  const int64_t head = headOf(x, n), vectors = (n - head) / V, tail = head + vectors * V;
  if (threadIdx.x < head) f(static_cast<int64_t>(threadIdx.x), load<1>(x + threadIdx.x));
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) f(head + i * V, load<V, kCache>(x + head + i * V));
  if (tail + threadIdx.x < n) f(tail + static_cast<int64_t>(threadIdx.x), load<1>(x + tail + threadIdx.x));
}

// Writes a vector whose place was found in another row: at once if it is aligned there too.
template <class T, int V> WW_DEVICE void storeAnywhere(T* to, const Vector<T, V>& v) {
  if (reinterpret_cast<uintptr_t>(to) % alignof(Vector<T, V>) == 0) return store(to, v);
  if constexpr (V > 1) WW_UNROLL for (int i = 0; i < V; i++) to[i] = v.v[i];
}
template <int V, class T> WW_DEVICE Vector<T, V> loadAnywhere(const T* from) {
  if constexpr (V == 1) {
    return load<1>(from);
  } else {
    if (reinterpret_cast<uintptr_t>(from) % alignof(Vector<T, V>) == 0) return load<V>(from);
    Vector<T, V> v;
    WW_UNROLL for (int i = 0; i < V; i++) v.v[i] = from[i];
    return v;
  }
}

// e^d for d <= 0 to within (2 + |d|) units: what is far below counts for nothing anyway. Below 2^-126 it is 0.
WW_DEVICE float expBelow(float d) { return exp2Fast(d * kLog2e); }

// What is subtracted before exponentials: the maximum, or 0 in a row of -infinity alone, whose exponentials are then 0 and not NaN.
WW_DEVICE float shiftOf(float max) { return max == -kInfinity ? 0.f : max; }

// The maximum of what a thread has seen and the sum of e^(x - shiftOf(maximum)), in one pass: what was summed is rescaled when the maximum rises (Milakov,
// Gimelshein 2018). NaN makes both NaN.
struct ExpSum {
  float max = -kInfinity, sum = 0;
  template <class T, int V> WW_DEVICE void add(const Vector<T, V>& x) {
    float m = max;
    WW_UNROLL for (int j = 0; j < V; j++) m = maximum(m, x[j]);
    const float shift = shiftOf(m);
    if (m != max) sum = max == -kInfinity ? 0.f : sum * expBelow(max - m);
    max = m;
    WW_UNROLL for (int j = 0; j < V; j++) sum += expBelow(x[j] - shift);
  }
  // The same for the whole block, in every thread.
  template <unsigned kThreads> WW_DEVICE void share(float* scratch WW_AT) {
    const float m = blockReduce<kThreads>(max, scratch, [](float a, float b) { return maximum(a, b); } WW_PASS);
    float total[1] = {max == -kInfinity ? 0.f : sum * expBelow(max - m)};
    blockSums<kThreads>(total, scratch WW_PASS);
    max = m;
    sum = total[0];
  }
};

}  // namespace warpweft::cuda
