#pragma once
#include "ops/rows_like.hpp"

namespace warpweft {

// loss = lse - (1 - e) x_label - e / V * (sum of x) + zLoss * lse^2 of each row x of the logits, lse = log(sum of e^x), e = labelSmoothing.
// Szegedy et al. 2016, section 7 (the smoothing, as in torch.nn.functional.cross_entropy); Chowdhery et al. 2022 (PaLM), section 5 (zLoss).
// Rows whose label is ignoreIndex do not count: loss and lse are 0. A label outside [0, V) is an index fault, and its row does not count either.
struct CrossEntropy {
  static constexpr auto name = "crossEntropy";
  In logits;      // [R, V]
  In labels;      // [R]  int32 or int64
  Out loss, lse;  // [R]  float32
  Out counted;    // [1]  float32: the number of rows that count
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
    c.rank("logits", logits, 2);
    c.floating("logits", logits);
    c.rows("logits", logits);
    c.sizes("labels", labels, {logits.sizes[0]});
    c.index("labels", labels);
    c.contiguous("labels", labels);
    c.is("loss", loss, {logits.sizes[0]}, DType::f32);
    c.is("lse", lse, {logits.sizes[0]}, DType::f32);
    c.is("counted", counted, {1}, DType::f32);
    c.range("labelSmoothing", labelSmoothing, 0, 1);
    c.range("zLoss", zLoss, 0, 1e6);
  }
};

// dlogits_j = scale * ((1 + 2 zLoss lse) p_j - (1 - e) [j = label] - e / V), p = e^(x - lse); zeros for rows that do not count.
// dlogits may be the very memory of logits, where it is overwritten: the gradient then needs no memory of its own.
struct CrossEntropyBackward {
  static constexpr auto name = "crossEntropyBackward";
  static constexpr const char* mayAlias[][2] = {{"dlogits", "logits"}};
  In logits;      // [R, V]
  In labels;      // [R]
  In lse;         // [R]         float32
  In scale;       // [1] or [R]  float32: gradient of each row's loss
  Grad dlogits;   // [R, V]      dtype of logits
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
    c.rank("logits", logits, 2);
    c.floating("logits", logits);
    c.rows("logits", logits);
    c.sizes("labels", labels, {logits.sizes[0]});
    c.index("labels", labels);
    c.contiguous("labels", labels);
    c.is("lse", lse, {logits.sizes[0]}, DType::f32);
    c.rank("scale", scale, 1);
    if (scale.numel() != 1 && scale.numel() != logits.sizes[0])
      c.shape("scale", "is %s, expected [1] or [%lld]", describe(scale).c_str(), static_cast<long long>(logits.sizes[0]));
    c.dtype("scale", scale, {DType::f32});
    c.contiguous("scale", scale);
    checkWritableRowsLike(c, "dlogits", dlogits, "logits", logits);
    if (dlogits.accumulate && dlogits.data && dlogits.data == logits.data)
      c.fail("ERR_CONFIG", "dlogits", "is the memory of logits and cannot be accumulated into");
    c.range("labelSmoothing", labelSmoothing, 0, 1);
    c.range("zLoss", zLoss, 0, 1e6);
  }
};

}  // namespace warpweft
