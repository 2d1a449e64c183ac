#pragma once
// What layerNorm and rmsNorm share: the row that is normalised, and gradients of the weights that are sums over all rows.
#include "cpu/kernel.hpp"
#include "cpu/simd/lanes.hpp"
#include "cpu/simd/philox.hpp"

namespace warpweft::cpu::WW_ISA {

WW_INLINE int64_t rowGrain(int64_t columns) { return maximum(1, 16384 / maximum(1, columns)); }

WW_INLINE DropoutStream dropoutStream(const View& rng, int64_t call, double p) {
  constexpr int64_t none[3] = {};
  return DropoutStream::from(rng ? rng.as<const int64_t>() : none, call, p);
}

// s = x + dropout(residual), row by row: written to `sum` where the op wants it, else to scratch; x itself where there is no residual and no sum.
template <class T> class SummedRows {
 public:
  template <class Op> WW_INLINE SummedRows(const Op& a, Context& c, int thread)
      : columns_(a.x.columns()), x_(a.x.template as<const T>()), xStride_(a.x.rowStride()), drop_(a.residual && a.dropout > 0),
        stream_(dropoutStream(a.rng, a.call, a.dropout)) {
    if (a.residual) {
      residual_ = a.residual.template as<const T>();
      residualStride_ = a.residual.rowStride();
    }
    if (!a.residual && !a.sum) return;
    auto* scratch = static_cast<uint8_t*>(c.threadScratch(thread, static_cast<size_t>(columns_) * sizeof(T) + static_cast<size_t>(Factors::bytes(columns_))));
    sum_ = a.sum ? a.sum.template as<T>() : reinterpret_cast<T*>(scratch);
    sumStride_ = a.sum ? a.sum.rowStride() : 0;
    bits_ = scratch + static_cast<size_t>(columns_) * sizeof(T);
  }

  WW_INLINE const T* operator[](int64_t r) const {
    const T* x = x_ + r * xStride_;
    if (!sum_) return x;
    T* s = sum_ + r * sumStride_;
    if (!residual_) {
      eachVector(columns_, [&](int64_t i, auto lanes) WW_ALWAYS { store(s + i, load(x + i, lanes), lanes); });
      return s;
    }
    const T* residual = residual_ + r * residualStride_;
    if (drop_) {
      const Factors factors(stream_, r * columns_, columns_, bits_);
      eachVector(columns_, [&](int64_t i, auto lanes) WW_ALWAYS { store(s + i, fma(load(residual + i, lanes), factors[i], load(x + i, lanes)), lanes); });
    } else {
      eachVector(columns_, [&](int64_t i, auto lanes) WW_ALWAYS { store(s + i, load(x + i, lanes) + load(residual + i, lanes), lanes); });
    }
    return s;
  }

 private:
  int64_t columns_;
  const T* x_;
  int64_t xStride_;
  bool drop_;
  DropoutStream stream_;
  const T* residual_ = nullptr;
  int64_t residualStride_ = 0;
  T* sum_ = nullptr;
  int64_t sumStride_ = 0;
  uint8_t* bits_ = nullptr;
};

// A gradient of a row, overwritten or accumulated. `factors` may be null.
template <class T, class L> WW_INLINE void storeGradient(T* p, F32 v, bool accumulate, L lanes) {
  store(p, accumulate ? load(p, lanes) + v : v, lanes);
}

// Sums over rows without atomics: each chunk of rows has its own partial sums in the workspace, which are then added in the order of the chunks. The chunks
// depend on the shape alone.
struct RowChunks {
  int64_t rows, count, columns;   // rows a chunk, chunks, columns padded to whole cache lines

  static WW_INLINE RowChunks of(int64_t R, int64_t C) {
    const int64_t rows = maximum(rowGrain(C), ceilDiv(R, 128));
    return {rows, ceilDiv(R, rows), (C + 15) / 16 * 16};
  }
  WW_INLINE size_t bytes(int64_t sums) const { return static_cast<size_t>(count * sums * columns) * sizeof(float); }
  // The partial sums of the chunk that begins with row `begin`, set to zero.
  WW_INLINE float* begin(Context& c, int64_t begin, int64_t sum) const {
    float* p = at(c, begin / rows, sum);
    __builtin_memset(p, 0, static_cast<size_t>(columns) * sizeof(float));
    return p;
  }
  WW_INLINE void finish(Context& c, int64_t sum, const Grad& to) const {
    if (!to) return;
    float* out = to.as<float>();
    c.parallelFor(to.numel(), maximum(64, 65536 / maximum(1, count) / 64 * 64), [&](int64_t from, int64_t end, int) {
      eachVector(end - from, [&](int64_t i, auto lanes) WW_ALWAYS {
        F32 total = zero();
        for (int64_t k = 0; k < count; k++) total = total + load(at(c, k, sum) + from + i, lanes);
        storeGradient(out + from + i, total, to.accumulate, lanes);
      });
    });
  }

 private:
  WW_INLINE float* at(Context& c, int64_t chunk, int64_t sum) const {
    return static_cast<float*>(c.workspace()) + (sum * count + chunk) * columns;
  }
};

}  // namespace warpweft::cpu::WW_ISA
