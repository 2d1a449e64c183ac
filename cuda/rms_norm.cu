#include "ops/rms_norm.hpp"

#include "cuda/norm.cuh"

namespace warpweft::cuda {

void run(const RMSNorm& a, Context& context) {
  const int64_t R = a.x.rows(), C = a.x.columns();
  dispatchFloat(a.x.dtype, [&]<class T>() {
    constexpr int V = kVector<T>;
    const bool vectors = rowsOfVectors<T, V>(a.x) && rowsOfVectors<T, V>(a.residual) && rowsOfVectors<T, V>(a.y) && rowsOfVectors<T, V>(a.sum) &&
                         rowsOfVectors<float, V>(a.weight);
    launchNorm<false>(NormForward<T>{Rows<const T>::of(a.x), Rows<const T>::of(a.residual), a.weight.as<const float>(), nullptr, Rows<T>::of(a.y), Rows<T>::of(a.sum),
                                     nullptr, a.rstd.as<float>(), DropoutSetting::of(a.rng.as<const int64_t>(), a.call, a.dropout), R, C,
                                     static_cast<float>(a.eps), C ? 1.f / static_cast<float>(C) : 0.f, a.unitOffset ? 1.f : 0.f},
                      vectors, context.stream());
  });
}

size_t workspace(const RMSNormBackward& a, const DeviceInfo& info) {
  return a.dweight ? static_cast<size_t>(backwardBlocks(a.s.rows(), a.s.columns(), info) * a.s.columns()) * sizeof(float) : 0;
}

void run(const RMSNormBackward& a, Context& context) {
  const int64_t R = a.s.rows(), C = a.s.columns(), blocks = backwardBlocks(R, C, context.info());
  float* dweight = a.dweight ? static_cast<float*>(context.workspace()) : nullptr;
  dispatchFloat(a.s.dtype, [&]<class T>() {
    constexpr int V = kVector<T>;
    const bool vectors = rowsOfVectors<T, V>(a.dy) && rowsOfVectors<T, V>(a.dsum) && rowsOfVectors<T, V>(a.s) && rowsOfVectors<T, V>(a.dx) &&
                         rowsOfVectors<T, V>(a.dresidual) && rowsOfVectors<float, V>(a.weight);
    launchNormBackward<false>(NormBackward<T>{Rows<const T>::of(a.dy), Rows<const T>::of(a.dsum), Rows<const T>::of(a.s), a.weight.as<const float>(), nullptr,
                                              a.rstd.as<const float>(), Rows<T>::of(a.dx), Rows<T>::of(a.dresidual), a.dx.accumulate, a.dresidual.accumulate,
                                              dweight, nullptr, DropoutSetting::of(a.rng.as<const int64_t>(), a.call, a.dropout), R, C,
                                              C ? 1.f / static_cast<float>(C) : 0.f, a.unitOffset ? 1.f : 0.f},
                              vectors, blocks, context.stream());
  });
  if (a.dweight) launchSum(dweight, blocks, a.dweight, context.stream());
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(RMSNorm)
WW_CUDA_KERNEL_WITH_WORKSPACE(RMSNormBackward)
