#pragma once
#include "ops/parameter_lists.hpp"

namespace warpweft {

// y = y + weight (x - y) for each pair: an exponential moving average with decay 1 - weight.
struct Lerp {
  static constexpr auto name = "lerp";
  static constexpr bool skipsWhenFaulty = true;
  InOutList y;   // float32, contiguous
  InList x;      // floating, contiguous, the sizes of y
  In weight;     // [1] float32
  static constexpr auto fields() { return warpweft::fields(arg("y", &Lerp::y), arg("x", &Lerp::x), arg("weight", &Lerp::weight)); }
  void check(const Check& c) const {
    checkStates(c, "y", y, y);
    if (x.count != y.count) c.shape("x", "has %lld tensors, expected as many as y, %lld", static_cast<long long>(x.count), static_cast<long long>(y.count));
    for (int64_t i = 0; i < x.count; i++) {
      c.sameSizes("x", x[i], "y", y[i]);
      c.floating("x", x[i]);
      c.contiguous("x", x[i]);
    }
    c.is("weight", weight, {1}, DType::f32);
  }
};

}  // namespace warpweft
