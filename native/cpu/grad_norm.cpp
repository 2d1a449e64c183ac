#include "ops/grad_norm.hpp"

#include "cpu/elementwise/tensor_list.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kStretch = 1024;   // elements whose squares are added in float32

template <class T> double sumOfSquares(const T* x, int64_t n) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    const T* p = x + begin;
    FourSums sums;
    eachVectorOfFour(minimum(kStretch, n - begin), [&](int64_t i, auto lanes, int k) {
      const F32 v = load(p + i, lanes);
      sums.addProduct(k, v, v);
    });
    total += static_cast<double>(sums.total());
  }
  return total;
}

void run(const GradNorm& a, Context& c) {
  auto* starts = static_cast<int64_t*>(c.workspace());
  auto* partial = reinterpret_cast<double*>(starts + a.grads.count + 1);
  const int64_t pieces = countPieces(a.grads, starts);
  forEachPiece(a.grads, starts, c, [&](int64_t t, int64_t begin, int64_t end, int64_t piece) {
    dispatchFloat(a.grads[t].dtype, [&]<class T>() { partial[piece] = sumOfSquares(a.grads[t].as<const T>() + begin, end - begin); });
  });
  double total = 0;
  for (int64_t i = 0; i < pieces; i++) total += partial[i];
  double scale = a.scale ? static_cast<double>(*a.scale.as<const float>()) : 1.0;
  if (a.lossScale) scale /= static_cast<double>(*a.lossScale.as<const float>());
  *a.norm.as<float>() = static_cast<float>(__builtin_sqrt(total) * scale);
}

size_t workspace(const GradNorm& a) {
  int64_t pieces = 0;
  for (int64_t i = 0; i < a.grads.count; i++) pieces += ceilDiv(a.grads[i].numel(), kListPiece);
  return startBytes(a.grads) + static_cast<size_t>(pieces) * sizeof(double);
}

}  // namespace
WW_KERNEL_WITH_WORKSPACE(GradNorm)
}  // namespace warpweft::cpu::WW_ISA
