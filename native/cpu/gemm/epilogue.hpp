#pragma once
// What happens to sums on their way into c, while they are in L1: scale, bias, activation (or its slope), accumulation.
#include "cpu/elementwise/activation.hpp"
#include "cpu/gemm/product.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

struct Identity {
  static WW_INLINE F32 value(F32 x) { return x; }
  static WW_INLINE ValueAndSlope both(F32 x) { return {x, splat(1.f)}; }
};

template <class F> WW_INLINE void dispatchActivation(Activation activation, F&& f) {
  switch (activation) {
    case Activation::relu: return f(Relu{});
    case Activation::gelu: return f(Gelu{});
    case Activation::geluTanh: return f(GeluTanh{});
    case Activation::silu: return f(Silu{});
    default: return f(Identity{});
  }
}

template <class T> WW_INLINE T* elementOf(const Plane& p, int64_t row, int64_t column) {
  return reinterpret_cast<T*>(p.data) + row * p.row + column * p.column;
}

WW_INLINE int64_t countOf(Whole) { return kWidth; }
WW_INLINE int64_t countOf(Part lanes) { return lanes.n; }

// The elements of a vector at a stride other than 1: right, not fast.
template <class T> __attribute__((noinline)) static void gather(const T* p, int64_t stride, int64_t n, float* values) {
  for (int64_t i = 0; i < n; i++) values[i] = toFloat(p[i * stride]);
}
template <class T> __attribute__((noinline)) static void scatter(const float* values, int64_t n, T* p, int64_t stride) {
  for (int64_t i = 0; i < n; i++) p[i * stride] = fromFloat<T>(values[i]);
}
template <class T, class Lanes> WW_INLINE F32 loadStrided(const T* p, int64_t stride, Lanes lanes) {
  if (stride == 1) return load(p, lanes);
  float values[kWidth] = {};
  gather(p, stride, countOf(lanes), values);
  return load(values);
}
template <class T, class Lanes> WW_INLINE void storeStrided(T* p, int64_t stride, F32 v, Lanes lanes) {
  if (stride == 1) return store(p, v, lanes);
  float values[kWidth];
  store(values, v);
  scatter(values, countOf(lanes), p, stride);
}

template <class T, class A> static void finishRows(const Product& p, A activation, const float* sums, int64_t sumsRow, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  const F32 alpha = splat(p.alpha);
  for (int64_t i = 0; i < rows; i++) {
    T* const c = elementOf<T>(p.c, row + i, column);
    T* const kept = elementOf<T>(p.preactivation, row + i, column);
    const T* const derivative = elementOf<const T>(p.derivative, row + i, column);
    const F32 rowBias = splat(p.bias && p.exchanged ? p.bias[row + i] : 0.f);
    eachVector(columns, [&](int64_t j, auto lanes) WW_ALWAYS {
      F32 v = load(sums + i * sumsRow + j, lanes) * alpha;
      if (p.bias) v = v + (p.exchanged ? rowBias : load(p.bias + column + j, lanes));
      if (p.preactivation.data) storeStrided(kept + j * p.preactivation.column, p.preactivation.column, v, lanes);
      if (p.derivative.data) v = v * activation.both(loadStrided(derivative + j * p.derivative.column, p.derivative.column, lanes)).slope;
      else v = activation.value(v);
      if (p.accumulate) v = v + loadStrided(c + j * p.c.column, p.c.column, lanes);
      storeStrided(c + j * p.c.column, p.c.column, v, lanes);
    });
  }
}

// Brings a block of sums, `sumsRow` floats between its rows, to rows and columns of c.
static void finish(const Product& p, const float* sums, int64_t sumsRow, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  dispatchFloat(p.outType, [&]<class T>() {
    dispatchActivation(p.activation, [&](auto activation) { finishRows<T>(p, activation, sums, sumsRow, row, rows, column, columns); });
  });
}

}  // namespace warpweft::cpu::WW_ISA::gemm
