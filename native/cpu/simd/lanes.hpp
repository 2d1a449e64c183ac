#pragma once
// A row as whole vectors and one partial vector: the loop is written once, for both.
#include "cpu/simd/simd.hpp"

namespace warpweft::cpu::WW_ISA {

// On the lambdas that the loops below are given: the accumulators they capture must live in registers.
#define WW_ALWAYS __attribute__((always_inline))

struct Whole {};
struct Part { int64_t n; };   // the first n lanes, 0 < n < kWidth

template <class T> WW_INLINE F32 load(const T* p, Whole) { return load(p); }
template <class T> WW_INLINE F32 load(const T* p, Part lanes) { return loadPartial(p, lanes.n); }   // the rest zero
template <class T> WW_INLINE void store(T* p, F32 v, Whole) { store(p, v); }
template <class T> WW_INLINE void store(T* p, F32 v, Part lanes) { storePartial(p, v, lanes.n); }

// v in the lanes of the row, `other` in the rest.
WW_INLINE F32 within(F32 v, F32, Whole) { return v; }
WW_INLINE F32 within(F32 v, F32 other, Part lanes) { return select(lt(iota(), splat(static_cast<float>(lanes.n))), v, other); }

// f(i, lanes) for each vector of n elements.
template <class F> WW_INLINE void eachVector(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, Whole{});
  if (i < n) f(i, Part{n - i});
}

// The same for reductions: f(i, lanes, k), where k in 0 … 3 says which of four accumulators to use, so that additions need not wait for each other.
template <class F> WW_INLINE void eachVectorOfFour(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    f(i, Whole{}, 0);
    f(i + kWidth, Whole{}, 1);
    f(i + 2 * kWidth, Whole{}, 2);
    f(i + 3 * kWidth, Whole{}, 3);
  }
  for (; i + kWidth <= n; i += kWidth) f(i, Whole{}, 0);
  if (i < n) f(i, Part{n - i}, 1);
}

struct FourSums {
  F32 part[4] = {zero(), zero(), zero(), zero()};
  WW_INLINE void add(int k, F32 v) { part[k] = part[k] + v; }
  WW_INLINE void addProduct(int k, F32 a, F32 b) { part[k] = fma(a, b, part[k]); }
  WW_INLINE float total() const { return sum((part[0] + part[1]) + (part[2] + part[3])); }
};

}  // namespace warpweft::cpu::WW_ISA
