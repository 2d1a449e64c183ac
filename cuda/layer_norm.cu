#include "ops/layer_norm.hpp"

#include "cuda/norm.cuh"

namespace warpweft::cuda {

void run(const LayerNorm& a, Context& context) {
  const int64_t R = a.x.rows(), C = a.x.columns();
  dispatchFloat(a.x.dtype, [&]<class T>() {
    constexpr int V = kVector<T>;
    const bool vectors = rowsOfVectors<T, V>(a.x) && rowsOfVectors<T, V>(a.residual) && rowsOfVectors<T, V>(a.y) && rowsOfVectors<T, V>(a.sum) &&
                         rowsOfVectors<float, V>(a.weight) && rowsOfVectors<float, V>(a.bias);
    launchNorm<true>(NormForward<T>{Rows<const T>::of(a.x), Rows<const T>::of(a.residual), a.weight.as<const float>(), a.bias.as<const float>(), Rows<T>::of(a.y),
                                    Rows<T>::of(a.sum), a.mean.as<float>(), a.rstd.as<float>(),
                                    DropoutSetting::of(a.rng.as<const int64_t>(), a.call, a.dropout), R, C, static_cast<float>(a.eps),
                                    C ? 1.f / static_cast<float>(C) : 0.f, 0.f},
                     vectors, context.stream());
  });
}

size_t workspace(const LayerNormBackward& a, const DeviceInfo& info) {
  const int64_t sums = (a.dweight ? 1 : 0) + (a.dbias ? 1 : 0), C = a.s.columns();
  return static_cast<size_t>(sums * backwardBlocks(a.s.rows(), C, info) * C) * sizeof(float);
}

void run(const LayerNormBackward& a, Context& context) {
  const int64_t R = a.s.rows(), C = a.s.columns(), blocks = backwardBlocks(R, C, context.info());
  auto* partial = static_cast<float*>(context.workspace());
  float* dweight = a.dweight ? partial : nullptr;
  float* dbias = a.dbias ? partial + (a.dweight ? blocks * C : 0) : nullptr;
  dispatchFloat(a.s.dtype, [&]<class T>() {
    constexpr int V = kVector<T>;
    const bool vectors = rowsOfVectors<T, V>(a.dy) && rowsOfVectors<T, V>(a.dsum) && rowsOfVectors<T, V>(a.s) && rowsOfVectors<T, V>(a.dx) &&
                         rowsOfVectors<T, V>(a.dresidual) && rowsOfVectors<float, V>(a.weight);
    launchNormBackward<true>(NormBackward<T>{Rows<const T>::of(a.dy), Rows<const T>::of(a.dsum), Rows<const T>::of(a.s), a.weight.as<const float>(),
                                             a.mean.as<const float>(), a.rstd.as<const float>(), Rows<T>::of(a.dx), Rows<T>::of(a.dresidual), a.dx.accumulate,
                                             a.dresidual.accumulate, dweight, dbias, DropoutSetting::of(a.rng.as<const int64_t>(), a.call, a.dropout), R, C,
                                             C ? 1.f / static_cast<float>(C) : 0.f, 0.f},
                             vectors, blocks, context.stream());
  });
  if (a.dweight) launchSum(dweight, blocks, a.dweight, context.stream());
  if (a.dbias) launchSum(dbias, blocks, a.dbias, context.stream());
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(LayerNorm)
WW_CUDA_KERNEL_WITH_WORKSPACE(LayerNormBackward)
