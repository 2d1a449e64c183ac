#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y[r, k] = x[r, index[r, k]]. A bad index gives 0.
struct Gather {
  static constexpr auto name = "gather";
  In x;       // [..., C] strided rows, any dtype
  In index;   // [..., K] int32 or int64, contiguous
  Out y;      // [..., K] dtype of x, contiguous
  static constexpr auto fields() { return warpweft::fields(arg("x", &Gather::x), arg("index", &Gather::index), arg("y", &Gather::y)); }
  // Of x only what is taken.
  double bytes() const { return static_cast<double>(y.numel() * (sizeOf(index.dtype) + 2 * sizeOf(y.dtype))); }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.rows("x", x);
    c.index("index", index);
    c.contiguous("index", index);
    c.rank("index", index, x.rank);
    for (int d = 0; d + 1 < x.rank; d++)
      if (index.sizes[d] != x.sizes[d]) c.shape("index", "is %s, expected the sizes of x (%s) but for the last", describe(index).c_str(), describe(x).c_str());
    c.sameSizes("y", y, "index", index);
    c.sameDtype("y", y, "x", x);
    c.contiguous("y", y);
  }
};

}  // namespace warpweft
