#include "ops/uniform.hpp"

#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

void run(const Uniform& a, Context& c) {
  const DropoutStream stream = DropoutStream::from(a.state.as<const int64_t>(), a.call, 0);
  const double span = a.high - a.low;
  const int64_t n = a.y.numel();
  // The largest float below `high`: rounding low + u * span must not reach it.
  const float top = static_cast<float>(a.high);
  const float below = static_cast<double>(top) < a.high || span == 0 ? top : __builtin_nextafterf(top, -__builtin_inff());
  float* y = a.y.as<float>();
  c.parallelFor(ceilDiv(n, 4), 1024, [&](int64_t begin, int64_t end, int) {
    for (int64_t group = begin; group < end; group++) {
      uint32_t word[4] = {static_cast<uint32_t>(group), stream.call, stream.step, stream.rank ^ static_cast<uint32_t>(group >> 32) << 16};
      stream.philox(word[0], word[1], word[2], word[3]);
      for (int64_t i = 4 * group, k = 0; k < 4 && i < n; i++, k++) {
        const float v = static_cast<float>(a.low + static_cast<double>(word[k] >> 8) * 0x1p-24 * span);
        y[i] = v < top ? v : below;
      }
    }
  });
}

}  // namespace
WW_KERNEL(Uniform)
}  // namespace warpweft::cpu::WW_ISA
