#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// The K largest elements of each row in descending order, ties by lower index; NaN counts as the largest.
struct TopK {
  static constexpr auto name = "topK";
  In x;          // [..., V] strided rows, floating
  Out values;    // [..., K] float32 or the dtype of x, contiguous; K <= V
  Out indices;   // [..., K] int32 or int64, contiguous
  static constexpr auto fields() { return warpweft::fields(arg("x", &TopK::x), arg("values", &TopK::values), arg("indices", &TopK::indices)); }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.floating("x", x);
    c.rows("x", x);
    c.rank("values", values, x.rank);
    for (int d = 0; d < x.rank; d++)
      if (d + 1 < x.rank ? values.sizes[d] != x.sizes[d] : values.sizes[d] > x.sizes[d])
        c.shape("values", "is %s, expected the sizes of x (%s) with at most as many columns", describe(values).c_str(), describe(x).c_str());
    if (values.dtype != DType::f32) c.sameDtype("values", values, "x", x);
    c.contiguous("values", values);
    c.sameSizes("indices", indices, "values", values);
    c.index("indices", indices);
    c.contiguous("indices", indices);
  }
};

}  // namespace warpweft
