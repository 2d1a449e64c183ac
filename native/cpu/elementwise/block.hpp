#pragma once
// Blocks of a tensor as floats or as int64, whatever its dtype and strides: an op is written once, for adjacent float32 (or int64), and conversion costs a pass
// through L1 where a tensor is something else, nothing where it is that already.
#include "cpu/elementwise/loop.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {

// Functions of a block are not inlined: a call costs little beside a block, and there are many ops.

// Calls body.template operator()<T>() with the storage type of an integer or bool dtype; uint8 and bool are both bytes.
template <class F> WW_INLINE void dispatchInteger(DType t, F&& body) {
  switch (t) {
    case DType::i32: body.template operator()<int32_t>(); break;
    case DType::i64: body.template operator()<int64_t>(); break;
    case DType::i8: body.template operator()<int8_t>(); break;
    default: body.template operator()<uint8_t>(); break;
  }
}

// Between n adjacent elements and floats.
template <class T> WW_INLINE void widen(const T* p, int64_t n, float* y) {
  eachVector(n, [&](int64_t i, auto lanes) { store(y + i, load(p + i, lanes), lanes); });
}
template <class T> WW_INLINE void narrow(const float* x, int64_t n, T* p) {
  eachVector(n, [&](int64_t i, auto lanes) { store(p + i, load(x + i, lanes), lanes); });
}

inline constexpr int64_t kBatch = 64;   // elements with gaps between them are collected first: half types are converted by vectors only

// n floats from a run with the given stride.
template <class T> __attribute__((noinline)) static void gatherFloats(const T* p, int64_t stride, int64_t n, float* y) {
  if (stride == 1) return widen(p, n, y);
  if (stride == 0) {
    const float x = toFloat(*p);
    for (int64_t i = 0; i < n; i++) y[i] = x;
    return;
  }
  for (int64_t begin = 0; begin < n; begin += kBatch) {
    T batch[kBatch];
    const int64_t count = minimum(kBatch, n - begin);
    for (int64_t i = 0; i < count; i++) batch[i] = p[(begin + i) * stride];
    widen(batch, count, y + begin);
  }
}

template <class T> __attribute__((noinline)) static void scatterFloats(const float* x, T* p, int64_t stride, int64_t n) {
  if (stride == 1) return narrow(x, n, p);
  for (int64_t begin = 0; begin < n; begin += kBatch) {
    T batch[kBatch];
    const int64_t count = minimum(kBatch, n - begin);
    narrow(x + begin, count, batch);
    for (int64_t i = 0; i < count; i++) p[(begin + i) * stride] = batch[i];
  }
}

template <class T> __attribute__((noinline)) static void addFloats(const float* x, T* p, int64_t stride, int64_t n) {
  for (int64_t begin = 0; begin < n; begin += kBatch) {
    T batch[kBatch];
    const int64_t count = minimum(kBatch, n - begin);
    T* y = stride == 1 ? p + begin : batch;
    if (y == batch) for (int64_t i = 0; i < count; i++) batch[i] = p[(begin + i) * stride];
    eachVector(count, [&](int64_t i, auto lanes) { store(y + i, load(y + i, lanes) + load(x + begin + i, lanes), lanes); });
    if (y == batch) for (int64_t i = 0; i < count; i++) p[(begin + i) * stride] = batch[i];
  }
}

// The block of tensor k, floating, as floats: where it lies, or converted into `buffer` (kBlock floats).
template <int N> static const float* readFloats(const Loop<N>& l, int k, const View& v, const Block& b, float* buffer) {
  if (v.dtype == DType::f32 && isAdjacent(l, k, b)) return v.as<const float>() + offsetOf(l, k, b);
  dispatchFloat(v.dtype, [&]<class T>() {
    if (isTurned(l, k, b)) {
      T tile[kBlock];
      turnTile(v.as<const T>() + offsetOf(l, k, b), l.strides[k][b.tile], l.innerStride(k), b, tile);
      return widen(tile, b.count, buffer);
    }
    forEachRun(l, k, b, [&](int64_t offset, int64_t n, int64_t done) { gatherFloats(v.as<const T>() + offset, l.innerStride(k), n, buffer + done); });
  });
  return buffer;
}

// Where the block of tensor k may be computed: in place, or in `buffer` if writeFloats must convert or add it afterwards.
template <int N> static float* floatsFor(const Loop<N>& l, int k, const View& v, bool accumulate, const Block& b, float* buffer) {
  return v.dtype == DType::f32 && !accumulate && isAdjacent(l, k, b) ? v.as<float>() + offsetOf(l, k, b) : buffer;
}

// Brings what was computed at `values` = floatsFor(…) to the tensor, if it is not there already.
template <int N> static void writeFloats(const Loop<N>& l, int k, const View& v, bool accumulate, const Block& b, const float* values, const float* buffer) {
  if (values != buffer) return;
  dispatchFloat(v.dtype, [&]<class T>() {
    forEachRun(l, k, b, [&](int64_t offset, int64_t n, int64_t done) {
      if (accumulate) addFloats(values + done, v.as<T>() + offset, l.innerStride(k), n);
      else scatterFloats(values + done, v.as<T>() + offset, l.innerStride(k), n);
    });
  });
}

// The same for integers and bool.
template <int N> static const int64_t* readInts(const Loop<N>& l, int k, const View& v, const Block& b, int64_t* buffer) {
  if (v.dtype == DType::i64 && isAdjacent(l, k, b)) return v.as<const int64_t>() + offsetOf(l, k, b);
  dispatchInteger(v.dtype, [&]<class T>() {
    forEachRun(l, k, b, [&](int64_t offset, int64_t n, int64_t done) {
      const T* p = v.as<const T>() + offset;
      int64_t* y = buffer + done;
      const int64_t stride = l.innerStride(k);
      if (stride == 1) for (int64_t i = 0; i < n; i++) y[i] = p[i];
      else for (int64_t i = 0; i < n; i++) y[i] = p[i * stride];
    });
  });
  return buffer;
}

// Narrower integers wrap; bool is value != 0.
template <int N> static void writeInts(const Loop<N>& l, int k, const View& v, const Block& b, const int64_t* values) {
  dispatchInteger(v.dtype, [&]<class T>() {
    const bool isBool = v.dtype == DType::b8;
    forEachRun(l, k, b, [&](int64_t offset, int64_t n, int64_t done) {
      T* p = v.as<T>() + offset;
      const int64_t* x = values + done;
      const int64_t stride = l.innerStride(k);
      if (isBool) for (int64_t i = 0; i < n; i++) p[i * stride] = x[i] != 0;
      else if (stride == 1) for (int64_t i = 0; i < n; i++) p[i] = static_cast<T>(x[i]);
      else for (int64_t i = 0; i < n; i++) p[i * stride] = static_cast<T>(x[i]);
    });
  });
}

// 1 where the float is not 0 (NaN is not 0), else 0: how comparisons and predicates, computed as floats, become bool.
template <int N> static void writeTruth(const Loop<N>& l, int k, const View& v, const Block& b, const float* values) {
  forEachRun(l, k, b, [&](int64_t offset, int64_t n, int64_t done) {
    uint8_t* p = v.as<uint8_t>() + offset;
    const float* x = values + done;
    const int64_t stride = l.innerStride(k);
    if (stride == 1) for (int64_t i = 0; i < n; i++) p[i] = x[i] != 0.f;
    else for (int64_t i = 0; i < n; i++) p[i * stride] = x[i] != 0.f;
  });
}

// y = f(x) and y = f(a, b) over n adjacent floats; y may be x or a.
template <class F> WW_INLINE void map(const float* x, float* y, int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, f(load(x + i)));
  if (i < n) storePartial(y + i, f(loadPartial(x + i, n - i)), n - i);
}
template <class F> WW_INLINE void map(const float* a, const float* b, float* y, int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, f(load(a + i), load(b + i)));
  if (i < n) storePartial(y + i, f(loadPartial(a + i, n - i), loadPartial(b + i, n - i)), n - i);
}

}  // namespace warpweft::cpu::WW_ISA
