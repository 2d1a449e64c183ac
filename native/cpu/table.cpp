#include "cpu/kernel.hpp"
#include "ops/all.hpp"

namespace warpweft::cpu::WW_ISA {

#define X(Op) extern const Entry entry##Op;
WARPWEFT_OPS(X)
#undef X

const Entry* kernel(int op) {
  static const Entry* const table[] = {
#define X(Op) &entry##Op,
      WARPWEFT_OPS(X)
#undef X
  };
  return op >= 0 && op < kOpCount ? table[op] : nullptr;
}

}  // namespace warpweft::cpu::WW_ISA
