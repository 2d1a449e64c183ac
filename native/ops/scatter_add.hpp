#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// dx[r, c] = the sum of dy[r, k] over all k with index[r, k] = c, added in float32 in the order of k: the gradient of gather.
struct ScatterAdd {
  static constexpr auto name = "scatterAdd";
  In dy;      // [..., K] floating, strided rows
  In index;   // [..., K] int32 or int64, contiguous
  Grad dx;    // [..., C] floating, strided rows
  static constexpr auto fields() { return warpweft::fields(arg("dy", &ScatterAdd::dy), arg("index", &ScatterAdd::index), optional("dx", &ScatterAdd::dx)); }
  void check(const Check& c) const {
    if (!dx) return;
    c.rankAtLeast("dy", dy, 1);
    c.floating("dy", dy);
    c.rows("dy", dy);
    c.index("index", index);
    c.sameSizes("index", index, "dy", dy);
    c.contiguous("index", index);
    c.rank("dx", dx, dy.rank);
    c.floating("dx", dx);
    c.rows("dx", dx);
    for (int d = 0; d + 1 < dy.rank; d++)
      if (dx.sizes[d] != dy.sizes[d]) c.shape("dx", "is %s, expected the sizes of dy (%s) but for the last", describe(dx).c_str(), describe(dy).c_str());
  }
};

}  // namespace warpweft
