#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = the index of the largest element of each row: the first of equals; NaN counts as the largest, as in PyTorch.
struct ArgMax {
  static constexpr auto name = "argmax";
  In x;    // [..., C] strided rows, any dtype but bool
  Out y;   // [...] int32 or int64, contiguous
  static constexpr auto fields() { return warpweft::fields(arg("x", &ArgMax::x), arg("y", &ArgMax::y)); }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.dtype("x", x, {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8, DType::i8});
    c.rows("x", x);
    c.index("y", y);
    c.contiguous("y", y);
    bool same = y.rank == x.rank - 1;
    for (int d = 0; same && d < y.rank; d++) same = y.sizes[d] == x.sizes[d];
    if (!same) c.shape("y", "is %s, expected the sizes of x (%s) without the last", describe(y).c_str(), describe(x).c_str());
    if (x.columns() == 0 && y.numel() != 0) c.shape("x", "is %s: rows without elements have no largest one", describe(x).c_str());
  }
};

}  // namespace warpweft
