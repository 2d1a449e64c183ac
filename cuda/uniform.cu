#include "ops/uniform.hpp"

#include <cmath>

#include "cuda/kernel.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

// Four elements a thread: the words of one Philox group.
__global__ void __launch_bounds__(kThreads) uniform(DropoutSetting setting, int64_t n, double low, double span, float top, float below, float* y) {
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (4 * group >= n) return;
  const DropoutStream s = setting.read();
  uint32_t w[4] = {static_cast<uint32_t>(group), s.call, s.step, s.rank ^ static_cast<uint32_t>(static_cast<uint64_t>(group) >> 32) << 16};
  s.philox(w[0], w[1], w[2], w[3]);
  WW_UNROLL for (int i = 0; i < 4; i++) {
    const auto v = static_cast<float>(low + static_cast<double>(w[i] >> 8) * 0x1p-24 * span);
    if (4 * group + i < n) y[4 * group + i] = v < top ? v : below;
  }
}

}  // namespace

void run(const Uniform& a, Context& context) {
  const int64_t n = a.y.numel();
  if (n == 0) return;
  DropoutSetting setting = DropoutSetting::of(a.state.as<const int64_t>(), a.call, 0);
  setting.state = a.state.as<const int64_t>();
  // The largest float below `high`: rounding low + u * span must not reach it.
  const double span = a.high - a.low;
  const auto top = static_cast<float>(a.high);
  const float below = static_cast<double>(top) < a.high || span == 0 ? top : std::nextafter(top, -HUGE_VALF);
  launch<uniform>(context.stream(), blocksFor(ceilDiv(n, 4), kThreads), kThreads, 0, setting, n, a.low, span, top, below, a.y.as<float>());
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Uniform)
