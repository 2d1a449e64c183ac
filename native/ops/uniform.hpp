#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = low + u (high - low), u uniform in [0, 1) with 24 bits; low <= y < high, or y = low if they are equal. Philox, four elements a group: element i takes
// word i % 4 of group i / 4, counter and key as in DropoutStream.
struct Uniform {
  static constexpr auto name = "uniform";
  Out y;      // float32, contiguous
  In state;   // [3] int64: seed, micro-step, rank
  int64_t call;
  double low, high;
  static constexpr auto fields() {
    return warpweft::fields(arg("y", &Uniform::y), arg("state", &Uniform::state), arg("call", &Uniform::call), arg("low", &Uniform::low), arg("high", &Uniform::high));
  }
  void check(const Check& c) const {
    c.dtype("y", y, {DType::f32});
    c.contiguous("y", y);
    c.is("state", state, {3}, DType::i64);
    if (!(low <= high && high - low <= 3.4e38)) c.fail("ERR_CONFIG", "low", "is %g and high is %g, expected finite numbers, low <= high", low, high);
  }
};

}  // namespace warpweft
