#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = value, converted to the dtype of y as `copy` converts float64.
struct Fill {
  static constexpr auto name = "fill";
  Out y;   // any sizes, dtype and strides
  double value;
  static constexpr auto fields() { return warpweft::fields(arg("y", &Fill::y), arg("value", &Fill::value)); }
  void check(const Check&) const {}
};

}  // namespace warpweft
