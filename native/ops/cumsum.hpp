#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y_i = x_0 + … + x_i along the last dimension, or from the end if reversed: y_i = x_i + … + x_(C-1), which is its gradient. Added in double and int64.
struct Cumsum {
  static constexpr auto name = "cumsum";
  In x;     // [..., C] strided rows
  Grad y;   // [..., C] strided rows; the dtype of x, float32 for floating x, int64 for integers; accumulating for floats
  bool reversed;
  static constexpr auto fields() { return warpweft::fields(arg("x", &Cumsum::x), arg("y", &Cumsum::y), arg("reversed", &Cumsum::reversed)); }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.rows("x", x);
    c.sameSizes("y", y, "x", x);
    c.rows("y", y);
    if (isFloat(x.dtype)) {
      if (y.dtype != DType::f32) c.sameDtype("y", y, "x", x);
    } else if (y.dtype != DType::i64) {
      c.sameDtype("y", y, "x", x);
    }
    if (y.accumulate) c.floating("y", y);
  }
};

}  // namespace warpweft
