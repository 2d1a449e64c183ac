#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = op over the dimensions in which y has size 1.
//   max, min   NaN is returned if there is one; of nothing: -infinity, infinity
//   sum, mean, prod, sumOfSquares   of nothing: 0, NaN, 1, 0
// Floats are added in float32 vectors over short stretches and in double over these; integers in int64. How the work is split depends on the sizes alone.
enum class ReduceOp : int64_t { sum, mean, max, min, prod, sumOfSquares };
inline constexpr int64_t kReduceOps = 6;

struct Reduce {
  static constexpr auto name = "reduce";
  In x;     // any strides
  Grad y;   // the sizes of x with 1 at the reduced dimensions; the dtype of x, float32 for floating x, int64 for integers; accumulating for floats
  int64_t op;
  static constexpr auto fields() { return warpweft::fields(arg("x", &Reduce::x), arg("y", &Reduce::y), arg("op", &Reduce::op)); }
  void check(const Check& c) const {
    c.range("op", static_cast<double>(op), 0, kReduceOps - 1);
    c.rank("y", y, x.rank);
    for (int d = 0; d < x.rank; d++)
      if (y.sizes[d] != x.sizes[d] && y.sizes[d] != 1) c.shape("y", "is %s, expected the sizes of x (%s) or 1", describe(y).c_str(), describe(x).c_str());
    if (isFloat(x.dtype)) {
      if (y.dtype != DType::f32) c.sameDtype("y", y, "x", x);
    } else {
      if (op == static_cast<int64_t>(ReduceOp::mean) || op == static_cast<int64_t>(ReduceOp::sumOfSquares)) c.floating("x", x);
      if (y.dtype != DType::i64) c.sameDtype("y", y, "x", x);
    }
    if (y.accumulate) c.floating("y", y);
  }
};

}  // namespace warpweft
