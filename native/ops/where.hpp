#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = condition ? a : b. Broadcasting comes as views with stride 0.
struct Where {
  static constexpr auto name = "where";
  In condition;   // bool, any strides
  In a, b;        // the same sizes, one dtype, any strides
  Grad y;         // the same sizes and dtype; accumulating for floating dtypes
  static constexpr auto fields() {
    return warpweft::fields(arg("condition", &Where::condition), arg("a", &Where::a), arg("b", &Where::b), arg("y", &Where::y));
  }
  void check(const Check& c) const {
    c.dtype("condition", condition, {DType::b8});
    c.sameSizes("a", a, "condition", condition);
    c.sameSizes("b", b, "condition", condition);
    c.sameSizes("y", y, "condition", condition);
    c.sameDtype("b", b, "a", a);
    c.sameDtype("y", y, "a", a);
    if (y.accumulate) c.floating("y", y);
  }
};

}  // namespace warpweft
