#pragma once
#include "ops/rows_like.hpp"

namespace warpweft {

// y_i = e^x_i / sum of e^x_j over the last dimension, or its logarithm. A row of -infinity alone (everything masked) gives zeros (-infinity with log).
struct Softmax {
  static constexpr auto name = "softmax";
  In x;    // [.., C]
  Out y;   // [.., C]  dtype of x
  bool log;

  static constexpr auto fields() { return warpweft::fields(arg("x", &Softmax::x), arg("y", &Softmax::y), arg("log", &Softmax::log)); }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.floating("x", x);
    c.rows("x", x);
    checkWritableRowsLike(c, "y", y, "x", x);
  }
};

// dx = y * (dy - sum of dy * y); with log:   dx = dy - e^y * sum of dy
struct SoftmaxBackward {
  static constexpr auto name = "softmaxBackward";
  In dy, y;   // [.., C]
  Grad dx;    // [.., C]  dtype of y
  bool log;

  static constexpr auto fields() {
    using B = SoftmaxBackward;
    return warpweft::fields(arg("dy", &B::dy), arg("y", &B::y), optional("dx", &B::dx), arg("log", &B::log));
  }
  void check(const Check& c) const {
    c.rankAtLeast("y", y, 1);
    c.floating("y", y);
    c.rows("y", y);
    checkRowsLike(c, "dy", dy, "y", y);
    checkWritableRowsLike(c, "dx", dx, "y", y);
  }
};

}  // namespace warpweft
