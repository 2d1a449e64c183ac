#include "ops/loss_scale.hpp"

#include "cuda/kernel.cuh"

namespace warpweft::cuda {
namespace {

// Three numbers: what counts is that they never leave the device.
__global__ void __launch_bounds__(1) lossScale(float* state, const float* norm, int64_t growthInterval, const uint32_t* faulty) {
  if (!faulty || !*faulty) LossScale::update(state, *norm, growthInterval);
}

}  // namespace

void run(const LossScale& a, Context& context) {
  launch<lossScale>(context.stream(), 1, 1, 0, a.state.as<float>(), a.norm.as<const float>(), a.growthInterval, context.faulty());
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(LossScale)
