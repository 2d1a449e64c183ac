#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// Sizes of v are those of ids, then C.
inline void checkLookup(const Check& c, const char* argument, const View& v, const View& ids, int64_t C) {
  if (ids.rank >= kMaxRank) c.shape("ids", "is %s, expected at most %d dimensions", describe(ids).c_str(), kMaxRank - 1);
  bool same = v.rank == ids.rank + 1 && v.columns() == C;
  for (int d = 0; same && d < ids.rank; d++) same = v.sizes[d] == ids.sizes[d];
  if (!same)
    c.shape(argument, "is %s, expected the sizes of ids, which is %s, followed by %lld", describe(v).c_str(), describe(ids).c_str(), static_cast<long long>(C));
}

// y = scale * weight[id].   scale = sqrt(C) in Vaswani et al. 2017, section 3.4. An id outside [0, V) is an index fault and gives zeros.
struct Embedding {
  static constexpr auto name = "embedding";
  In ids;      // [..]     int32 or int64
  In weight;   // [V, C]
  Out y;       // [.., C]  any floating dtype
  double scale;

  static constexpr auto fields() {
    return warpweft::fields(arg("ids", &Embedding::ids), arg("weight", &Embedding::weight), arg("y", &Embedding::y), arg("scale", &Embedding::scale));
  }
  // Of the table only the rows that are looked up.
  double bytes() const {
    const double rows = static_cast<double>(ids.numel()), columns = static_cast<double>(weight.size(1));
    return rows * (static_cast<double>(sizeOf(ids.dtype)) + columns * static_cast<double>(sizeOf(weight.dtype) + sizeOf(y.dtype)));
  }
  void check(const Check& c) const {
    c.index("ids", ids);
    c.contiguous("ids", ids);
    c.rank("weight", weight, 2);
    c.floating("weight", weight);
    c.rows("weight", weight);
    checkLookup(c, "y", y, ids, weight.sizes[1]);
    c.floating("y", y);
    c.rows("y", y);
    c.writable("y", y);
  }
};

// dweight[v] = scale * sum of dy over the places where v was looked up, in their order; none for paddingIndex (-1: no padding).
struct EmbeddingBackward {
  static constexpr auto name = "embeddingBackward";
  In dy;          // [.., C]
  In ids;         // [..]     int32 or int64
  Grad dweight;   // [V, C]   float32; overwritten entirely (rows without a place get zeros), or accumulated into
  double scale;
  int64_t paddingIndex;

  static constexpr auto fields() {
    using B = EmbeddingBackward;
    return warpweft::fields(arg("dy", &B::dy), arg("ids", &B::ids), optional("dweight", &B::dweight), arg("scale", &B::scale),
                            arg("paddingIndex", &B::paddingIndex));
  }
  void check(const Check& c) const {
    c.index("ids", ids);
    c.contiguous("ids", ids);
    c.rank("dweight", dweight, 2);
    c.dtype("dweight", dweight, {DType::f32});
    c.rows("dweight", dweight);
    c.writable("dweight", dweight);
    checkLookup(c, "dy", dy, ids, dweight ? dweight.sizes[1] : dy.columns());
    c.floating("dy", dy);
    c.rows("dy", dy);
  }
};

}  // namespace warpweft
