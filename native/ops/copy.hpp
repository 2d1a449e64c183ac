#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = x, or y += x, with conversion between dtypes and any strides on both sides: the op behind .to(dtype), .contiguous(), and gradients of views.
// float -> integer truncates toward zero and saturates, NaN becomes 0; integer -> narrower integer wraps; anything -> bool is x != 0.
struct Copy {
  static constexpr auto name = "copy";
  In x;     // any sizes, dtype and strides (0: broadcast)
  Grad y;   // the sizes of x; accumulating needs floats on both sides
  static constexpr auto fields() { return warpweft::fields(arg("x", &Copy::x), arg("y", &Copy::y)); }
  void check(const Check& c) const {
    c.sameSizes("y", y, "x", x);
    if (y.accumulate) {
      c.floating("x", x);
      c.floating("y", y);
    }
  }
};

}  // namespace warpweft
