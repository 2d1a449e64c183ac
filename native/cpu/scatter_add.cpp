#include "ops/scatter_add.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

// A row is summed in float32: in place if it is, else in scratch.
template <class S, class T> void scatterRows(const ScatterAdd& a, Context& c) {
  const int64_t R = a.dx.rows(), C = a.dx.columns(), K = a.dy.columns(), yStride = a.dy.rowStride(), xStride = a.dx.rowStride();
  if (R == 0) return;
  constexpr bool direct = __is_same(T, float);
  c.parallelFor(R, ceilDiv(kGrain, maximum(C + K, 16)), [&](int64_t begin, int64_t end, int thread) {
    for (int64_t r = begin; r < end; r++) {
      T* dx = a.dx.as<T>() + r * xStride;
      float* sum;
      if constexpr (direct) sum = dx;
      else sum = static_cast<float*>(c.threadScratch(thread, static_cast<size_t>(maximum(C, 1)) * sizeof(float)));
      if (!direct || !a.dx.accumulate)
        for (int64_t i = 0; i < C; i++) sum[i] = 0.f;
      const S* dy = a.dy.as<const S>() + r * yStride;
      for (int64_t k = 0; k < K; k++) {
        const int64_t column = indexAt(a.index, r * K + k);
        if (column >= 0 && column < C) sum[column] += toFloat(dy[k]);
        else c.indexFault(r * K + k, column, C);
      }
      if constexpr (!direct) {
        if (a.dx.accumulate) addFloats(sum, dx, 1, C);
        else scatterFloats(sum, dx, 1, C);
      }
    }
  });
}

void run(const ScatterAdd& a, Context& c) {
  if (!a.dx) return;
  dispatchFloat(a.dy.dtype, [&]<class S>() { dispatchFloat(a.dx.dtype, [&]<class T>() { scatterRows<S, T>(a, c); }); });
}

}  // namespace
WW_KERNEL(ScatterAdd)
}  // namespace warpweft::cpu::WW_ISA
