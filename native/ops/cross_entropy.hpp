#pragma once
#include "ops/rows_like.hpp"

namespace warpweft {

// `v` has one element for each of R rows, in whatever shape.
inline void checkOnePerRow(const Check& c, const char* argument, const View& v, int64_t R) {
  if (v && v.numel() != R) c.shape(argument, "is %s, expected %lld elements, one for each row of the logits", describe(v).c_str(), static_cast<long long>(R));
  c.contiguous(argument, v);
}

// loss = lse - (1 - e) x_label - e / V * (sum of x) + zLoss * lse^2 of each row x of the logits, lse = log(sum of e^x), e = labelSmoothing.
// Szegedy et al. 2016, section 7 (the smoothing, as in torch.nn.functional.cross_entropy); Chowdhery et al. 2022 (PaLM), section 5 (zLoss).
// Rows whose label is ignoreIndex do not count: loss and lse are 0. A label outside [0, V) is an index fault, and its row does not count either.
struct CrossEntropy {
  static constexpr auto name = "crossEntropy";
  In logits;      // [.., V]  R rows
  In labels;      // [..]     R elements, int32 or int64
  Out loss, lse;  // [..]     R elements, float32
  Out counted;    // one element, float32: the number of rows that count
  double labelSmoothing;
  int64_t ignoreIndex;
  double zLoss;

  static constexpr auto fields() {
    using E = CrossEntropy;
    return warpweft::fields(arg("logits", &E::logits), arg("labels", &E::labels), arg("loss", &E::loss), arg("lse", &E::lse),
                            optional("counted", &E::counted), arg("labelSmoothing", &E::labelSmoothing), arg("ignoreIndex", &E::ignoreIndex),
                            arg("zLoss", &E::zLoss));
  }
  void check(const Check& c) const {
    c.rankAtLeast("logits", logits, 1);
    c.floating("logits", logits);
    c.rows("logits", logits);
    checkOnePerRow(c, "labels", labels, logits.rows());
    c.index("labels", labels);
    checkOnePerRow(c, "loss", loss, logits.rows());
    c.dtype("loss", loss, {DType::f32});
    checkOnePerRow(c, "lse", lse, logits.rows());
    c.dtype("lse", lse, {DType::f32});
    if (counted && counted.numel() != 1) c.shape("counted", "is %s, expected one element", describe(counted).c_str());
    c.dtype("counted", counted, {DType::f32});
    c.range("labelSmoothing", labelSmoothing, 0, 1);
    c.range("zLoss", zLoss, 0, 1e6);
  }
};

// dlogits_j = scale * ((1 + 2 zLoss lse) p_j - (1 - e) [j = label] - e / V), p = e^(x - lse); zeros for rows that do not count.
// dlogits may be the very memory of logits, where it is overwritten: the gradient then needs no memory of its own.
struct CrossEntropyBackward {
  static constexpr auto name = "crossEntropyBackward";
  static constexpr const char* mayAlias[][2] = {{"dlogits", "logits"}};
  In logits;      // [.., V]  R rows
  In labels;      // [..]     R elements
  In lse;         // [..]     R elements, float32
  In scale;       // [..]     R elements or one, float32: gradient of each row's loss
  Grad dlogits;   // [.., V]  dtype of logits
  double labelSmoothing;
  int64_t ignoreIndex;
  double zLoss;

  static constexpr auto fields() {
    using B = CrossEntropyBackward;
    return warpweft::fields(arg("logits", &B::logits), arg("labels", &B::labels), arg("lse", &B::lse), arg("scale", &B::scale),
                            optional("dlogits", &B::dlogits), arg("labelSmoothing", &B::labelSmoothing), arg("ignoreIndex", &B::ignoreIndex),
                            arg("zLoss", &B::zLoss));
  }
  void check(const Check& c) const {
    c.rankAtLeast("logits", logits, 1);
    c.floating("logits", logits);
    c.rows("logits", logits);
    checkOnePerRow(c, "labels", labels, logits.rows());
    c.index("labels", labels);
    checkOnePerRow(c, "lse", lse, logits.rows());
    c.dtype("lse", lse, {DType::f32});
    if (scale.numel() != 1) checkOnePerRow(c, "scale", scale, logits.rows());
    c.dtype("scale", scale, {DType::f32});
    checkWritableRowsLike(c, "dlogits", dlogits, "logits", logits);
    if (dlogits.accumulate && dlogits.data && dlogits.data == logits.data)
      c.fail("ERR_CONFIG", "dlogits", "is the memory of logits and cannot be accumulated into");
    c.range("labelSmoothing", labelSmoothing, 0, 1);
    c.range("zLoss", zLoss, 0, 1e6);
  }
};

}  // namespace warpweft
