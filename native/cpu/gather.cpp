#include "ops/gather.hpp"

#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

template <class T> void gather(const Gather& a, Context& c) {
  const int64_t R = a.x.rows(), C = a.x.columns(), K = a.index.columns(), stride = a.x.rowStride();
  if (R == 0 || K == 0) return;
  c.parallelFor(R, ceilDiv(16384, K), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin * K; i < end * K; i++) {
      const int64_t column = indexAt(a.index, i);
      const bool valid = column >= 0 && column < C;
      if (!valid) c.indexFault(i, column, C);
      a.y.as<T>()[i] = valid ? a.x.as<const T>()[i / K * stride + column] : T(0);
    }
  });
}

void run(const Gather& a, Context& c) {
  switch (sizeOf(a.x.dtype)) {
    case 1: return gather<uint8_t>(a, c);
    case 2: return gather<uint16_t>(a, c);
    case 4: return gather<uint32_t>(a, c);
    default: return gather<uint64_t>(a, c);
  }
}

}  // namespace
WW_KERNEL(Gather)
}  // namespace warpweft::cpu::WW_ISA
