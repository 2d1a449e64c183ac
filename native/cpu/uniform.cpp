#include "ops/uniform.hpp"

#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kGroups = 16;   // whose Philox rounds go side by side

void run(const Uniform& a, Context& c) {
  const DropoutStream stream = DropoutStream::from(a.state.as<const int64_t>(), a.call, 0);
  const double span = a.high - a.low;
  const int64_t n = a.y.numel();
  // The largest float below `high`: rounding low + u * span must not reach it.
  const float top = static_cast<float>(a.high);
  const float below = static_cast<double>(top) < a.high || span == 0 ? top : __builtin_nextafterf(top, -__builtin_inff());
  float* y = a.y.as<float>();
  c.parallelFor(ceilDiv(n, 4 * kGroups), 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t batch = begin; batch < end; batch++) {
      uint32_t word[4][kGroups];
      for (int g = 0; g < kGroups; g++) {
        const auto group = static_cast<uint64_t>(batch * kGroups + g);
        word[0][g] = static_cast<uint32_t>(group);
        word[1][g] = stream.call;
        word[2][g] = stream.step;
        word[3][g] = stream.rank ^ static_cast<uint32_t>(group >> 32) << 16;
      }
      for (int g = 0; g < kGroups; g++) stream.philox(word[0][g], word[1][g], word[2][g], word[3][g]);
      const int64_t first = batch * 4 * kGroups, count = minimum(n - first, 4 * kGroups);
      for (int64_t i = 0; i < count; i++) {
        const float v = static_cast<float>(a.low + static_cast<double>(word[i % 4][i / 4] >> 8) * 0x1p-24 * span);
        y[first + i] = v < top ? v : below;
      }
    }
  });
}

}  // namespace
WW_KERNEL(Uniform)
}  // namespace warpweft::cpu::WW_ISA
