#pragma once
// A block goes over one row of any length and any alignment: single elements up to the first whole vector, vectors, single elements after the last.
#include "cuda/kernel.cuh"

namespace warpweft::cuda {

inline constexpr float kInfinity = __builtin_huge_valf();

// Single elements before the first vector of x.
template <class T> WW_DEVICE int64_t headOf(const T* x, int64_t n) {
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(x) % 16 / sizeof(T));
  return least(past ? kVector<T> - past : 0, n);
}

// Calls f(column, vector) with Vector<T, kVector<T>> or Vector<T, 1>; vectors in turn to the threads, so that a warp reads whole lines.
template <unsigned kThreads, Cache kCache, class T, class F> WW_DEVICE void eachOfRow(const T* x, int64_t n, F&& f) {
  constexpr int V = kVector<T>;
  const int64_t head = headOf(x, n), vectors = (n - head) / V, tail = head + vectors * V;
  if (threadIdx.x < head) f(static_cast<int64_t>(threadIdx.x), load<1>(x + threadIdx.x));
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) f(head + i * V, load<V, kCache>(x + head + i * V));
  if (tail + threadIdx.x < n) f(tail + static_cast<int64_t>(threadIdx.x), load<1>(x + tail + threadIdx.x));
}

// Writes a vector whose place was found in another row: at once if it is aligned there too.
template <class T, int V> WW_DEVICE void storeAnywhere(T* to, const Vector<T, V>& v) {
  if (V == 1 || reinterpret_cast<uintptr_t>(to) % alignof(Vector<T, V>) == 0) return store(to, v);
  WW_UNROLL for (int i = 0; i < V; i++) to[i] = v.v[i];
}
template <int V, class T> WW_DEVICE Vector<T, V> loadAnywhere(const T* from) {
  if (V == 1 || reinterpret_cast<uintptr_t>(from) % alignof(Vector<T, V>) == 0) return load<V>(from);
  Vector<T, V> v;
  WW_UNROLL for (int i = 0; i < V; i++) v.v[i] = from[i];
  return v;
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
