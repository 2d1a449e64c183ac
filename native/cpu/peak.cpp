#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {

// Multiply-adds on registers alone, in as many independent chains as hide their latency (4 cycles, two a cycle): what the processor can do at most.
// Returns the floating-point operations that it did, of which a multiply-add is two.
double multiplyAdds(int64_t repeats) {
  constexpr int kChains = 12;
  F32 sums[kChains];
  for (int i = 0; i < kChains; i++) sums[i] = splat(static_cast<float>(i));
  F32 a = splat(0.999F), b = splat(1e-3F);
  for (int64_t r = 0; r < repeats; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; i++) sums[i] = fma(sums[i], a, b);
  }
  F32 total = sums[0];
  for (int i = 1; i < kChains; i++) total = total + sums[i];
  volatile float kept = sum(total);   // so that the loop is not taken out
  (void)kept;
  return 2.0 * static_cast<double>(kWidth) * kChains * static_cast<double>(repeats);
}

}  // namespace warpweft::cpu::WW_ISA
