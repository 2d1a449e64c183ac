#pragma once
// Packing: lines of an operand as panels in which the register tiles find their elements in order. Element (line l, depth k) of a panel of `height` lines lies at
// [k * height + l]; lines that do not exist are zero.
#include "cpu/attention/transpose.hpp"
#include "cpu/gemm/product.hpp"
#include "cpu/simd/lanes.hpp"
#include "cpu/simd/matrix.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Number of elements E that a depth of K takes.
template <class E> WW_INLINE int64_t elementsIn(int64_t K) { return (K + kSteps<E> - 1) / kSteps<E>; }

// How storage T of an operand becomes elements E. `across`: n lines at one depth; `along`: the next elements of one line, of which `left` values remain.
template <class E, class T> struct Reader;

template <class T> struct Reader<float, T> {
  static WW_INLINE F32 line(const T* p, int64_t stride, int64_t n) {
    if (stride == 1) return n >= kWidth ? load(p) : loadPartial(p, n);
    float values[kWidth] = {};
    for (int64_t i = 0; i < n && i < kWidth; i++) values[i] = toFloat(p[i * stride]);
    return load(values);
  }
  static WW_INLINE F32 across(const T* p, const Operand& x, int64_t n, int64_t) { return line(p, x.line, n); }
  static WW_INLINE F32 along(const T* p, int64_t left) { return left >= kWidth ? load(p) : loadPartial(p, left); }
  static WW_INLINE F32 values(F32 x) { return x; }
};

#if defined(__AVX512BF16__)
template <> struct Reader<Pair, bf16> {
  static WW_INLINE F32 across(const bf16* p, const Operand& x, int64_t n, int64_t left) {
    const F32 first = Reader<float, bf16>::line(p, x.line, n);
    return asFloat(pairsOf(first, left > 1 ? Reader<float, bf16>::line(p + x.depth, x.line, n) : zero()));
  }
  static WW_INLINE F32 along(const bf16* p, int64_t left) { return asFloat(left >= 2 * kWidth ? loadPairs(p) : loadPairsPartial(p, left)); }
  static WW_INLINE F32 values(F32 x) { return sumOfPairs({asInt(x).v}); }
};
#endif

// Lines of one vector within a panel, whose last line may be followed by the first lines of the next row of the panel: a whole vector may be stored there if
// those are written afterwards and lie in the panel.
struct Column {
  float* panel;
  int64_t lanes, size;   // lanes of this vector that belong to the panel; size of the panel from its first lane on
  WW_INLINE bool whole(int64_t at) const { return lanes == kWidth || at + kWidth <= size; }
  WW_INLINE void put(int64_t at, F32 v) const {
    if (whole(at)) store(panel + at, v);
    else storePartial(panel + at, v, lanes);
  }
};

// Vectors of a panel come last first, so that what a whole store writes beyond its lanes is written again.
template <class F> WW_INLINE void eachColumn(float* panel, int64_t height, int64_t elements, F&& f) {
  for (int64_t l = (height - 1) / kWidth * kWidth; l >= 0; l -= kWidth) f(l, Column{panel + l, minimum(kWidth, height - l), elements * height - l});
}

WW_INLINE void addSums(float* sums, F32 v, int64_t n, bool add) {
  if (n >= kWidth) store(sums, add ? v + load(sums) : v);
  else if (n > 0) storePartial(sums, add ? v + loadPartial(sums, n) : v, n);
}

// Neighbours in memory are neighbours in depth: squares are transposed in registers.
template <class E, class T>
static void packAlong(const T* source, const Operand& x, int64_t lines, int64_t K, int64_t height, float* panels, float* sums, bool add) {
  const int64_t elements = elementsIn<E>(K);
  for (int64_t first = 0; first < lines; first += height, panels += elements * height) {
    eachColumn(panels, height, elements, [&](int64_t l, Column column) {
      const int64_t n = minimum(minimum(kWidth, height - l), lines - first - l);   // lines that exist; may be negative
      const T* p = source + (first + l) * x.line;
      F32 total = zero();
      for (int64_t k = 0; k < elements; k += kWidth) {
        const int64_t left = K - k * kSteps<E>, rows = minimum(kWidth, elements - k);
        F32 square[kWidth];
        if (n >= kWidth && rows == kWidth && left >= kWidth * kSteps<E>) {
#pragma GCC unroll 16
          for (int i = 0; i < kWidth; i++) square[i] = Reader<E, T>::along(p + i * x.line + k * kSteps<E>, kWidth * kSteps<E>);
        } else {
          for (int i = 0; i < kWidth; i++) square[i] = i < n ? Reader<E, T>::along(p + i * x.line + k * kSteps<E>, left) : zero();
        }
        attention::transpose(square);
        if (rows == kWidth) {
#pragma GCC unroll 16
          for (int i = 0; i < kWidth; i++) column.put((k + i) * height, square[i]);
        } else {
          for (int64_t i = 0; i < rows; i++) column.put((k + i) * height, square[i]);
        }
        if (sums) {
          F32 part[4] = {zero(), zero(), zero(), zero()};
#pragma GCC unroll 16
          for (int i = 0; i < kWidth; i++) part[i % 4] = part[i % 4] + Reader<E, T>::values(square[i]);
          total = total + ((part[0] + part[1]) + (part[2] + part[3]));
        }
      }
      if (sums) addSums(sums + first + l, total, n, add);
    });
  }
}

// Neighbours in memory are lines, or nothing is: rows are copied. `available` lines may be read from the first one, at least `lines`.
template <class E, class T>
static void packAcross(const T* source, const Operand& x, int64_t lines, int64_t available, int64_t K, int64_t height, float* panels, float* sums, bool add) {
  // Rows that go through all panels together: no more than the first cache level has ways, for they may all lie in one of its sets.
  constexpr int64_t kRun = 8;
  const int64_t elements = elementsIn<E>(K), step = kSteps<E> * x.depth;
  for (int64_t begin = 0; begin < maximum(elements, 1); begin += kRun) {
    const int64_t end = minimum(begin + kRun, elements);
    float* panel = panels;
    for (int64_t first = 0; first < lines; first += height, panel += elements * height) {
      eachColumn(panel, height, elements, [&](int64_t l, Column column) WW_ALWAYS {
        const int64_t n = available - first - l;
        const T* p = source + (first + l) * x.line + begin * step;
        F32 total = zero();
        if (x.line == 1 && n >= kWidth && end - begin == kRun && end * kSteps<E> <= K && column.whole((end - 1) * height)) {
          F32 row[kRun];
#pragma GCC unroll 8
          for (int k = 0; k < kRun; k++) row[k] = Reader<E, T>::across(p + k * step, {nullptr, 1, x.depth}, kWidth, kSteps<E>);
#pragma GCC unroll 8
          for (int k = 0; k < kRun; k++) store(column.panel + (begin + k) * height, row[k]);
          if (sums) {
#pragma GCC unroll 8
            for (int k = 0; k < kRun; k++) total = total + Reader<E, T>::values(row[k]);
          }
        } else {
          for (int64_t k = begin; k < end; k++, p += step) {
            const F32 row = n > 0 ? Reader<E, T>::across(p, x, x.line == 1 ? n : minimum(n, kWidth), K - k * kSteps<E>) : zero();
            column.put(k * height, row);
            if (sums) total = total + Reader<E, T>::values(row);
          }
        }
        if (sums) addSums(sums + first + l, total, minimum(minimum(kWidth, height - l), lines - first - l), add || begin > 0);
      });
    }
  }
}

// Packs `lines` lines of x from line `first` on, into panels that follow each other. `total` is the number of lines that x has. If sums is not null, sums[l] becomes
// (or is increased by) the sum of line first + l over k.
template <class E, class T>
__attribute__((noinline)) static void pack(const Operand& x, int64_t total, int64_t K, int64_t first, int64_t lines, int64_t height, void* panels, float* sums, bool add) {
  const T* const source = reinterpret_cast<const T*>(x.data) + first * x.line;
  if (x.depth == 1 && x.line != 1) packAlong<E, T>(source, x, lines, K, height, static_cast<float*>(panels), sums, add);
  else packAcross<E, T>(source, x, lines, total - first, K, height, static_cast<float*>(panels), sums, add);
}

}  // namespace warpweft::cpu::WW_ISA::gemm
