#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// The part of a tensor behind its first dimension, one "row" of it.
inline View rowOf(const View& v) {
  View r = v;
  r.rank = v.rank - 1;
  for (int d = 0; d < r.rank; d++) {
    r.sizes[d] = v.sizes[d + 1];
    r.strides[d] = v.strides[d + 1];
  }
  return r;
}

// y[m] = x[ids[m]]: rows of the first dimension. Reorders key and value caches by beam. A bad id gives a row of zeros.
struct IndexSelect {
  static constexpr auto name = "indexSelect";
  In x;     // [N, ...] any dtype; each row contiguous, rows any distance apart
  In ids;   // [M] int32 or int64, contiguous
  Out y;    // [M, ...] dtype of x; each row contiguous
  static constexpr auto fields() { return warpweft::fields(arg("x", &IndexSelect::x), arg("ids", &IndexSelect::ids), arg("y", &IndexSelect::y)); }
  // Of x only the rows that are taken.
  double bytes() const { return static_cast<double>(ids.numel() * sizeOf(ids.dtype)) + 2.0 * static_cast<double>(y.numel() * sizeOf(y.dtype)); }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.rank("ids", ids, 1);
    c.index("ids", ids);
    c.contiguous("ids", ids);
    c.rank("y", y, x.rank);
    c.sameDtype("y", y, "x", x);
    c.sameSizes("y (without its first dimension)", rowOf(y), "x", rowOf(x));
    c.contiguous("x (without its first dimension)", rowOf(x));
    c.contiguous("y (without its first dimension)", rowOf(y));
    if (y.sizes[0] != ids.sizes[0]) c.shape("y", "is %s, expected as many rows as ids, which is %s", describe(y).c_str(), describe(ids).c_str());
  }
};

// dx[n] = the sum of dy[m] over all m with ids[m] = n, added in float32 in the order of m: the gradient of indexSelect.
struct IndexAdd {
  static constexpr auto name = "indexAdd";
  In dy;    // [M, ...] floating; each row contiguous
  In ids;   // [M] int32 or int64, contiguous
  Grad dx;  // [N, ...] floating; each row contiguous
  static constexpr auto fields() { return warpweft::fields(arg("dy", &IndexAdd::dy), arg("ids", &IndexAdd::ids), optional("dx", &IndexAdd::dx)); }
  void check(const Check& c) const {
    if (!dx) return;
    c.rankAtLeast("dy", dy, 1);
    c.floating("dy", dy);
    c.rank("ids", ids, 1);
    c.index("ids", ids);
    c.contiguous("ids", ids);
    c.rank("dx", dx, dy.rank);
    c.floating("dx", dx);
    c.sameSizes("dx (without its first dimension)", rowOf(dx), "dy", rowOf(dy));
    c.contiguous("dy (without its first dimension)", rowOf(dy));
    c.contiguous("dx (without its first dimension)", rowOf(dx));
    if (dy.sizes[0] != ids.sizes[0]) c.shape("dy", "is %s, expected as many rows as ids, which is %s", describe(dy).c_str(), describe(ids).c_str());
  }
};

}  // namespace warpweft
