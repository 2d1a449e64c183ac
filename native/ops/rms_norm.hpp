#pragma once
#include "ops/dropout.hpp"
#include "ops/rows_like.hpp"

namespace warpweft {

// y = s * rstd * w over the last dimension, rstd = 1 / sqrt(mean(s^2) + eps).   Zhang & Sennrich 2019, eq. 4; w = weight, or 1 + weight with
// unitOffset (Gemma). s = x + dropout(residual), or x where there is no residual, as in layerNorm.
struct RMSNorm {
  static constexpr auto name = "rmsNorm";
  In x, residual;   // [.., C]
  In weight;        // [C]      float32
  In rng;           // [3]      int64: seed, micro-step, rank
  Out y, sum;       // [.., C]  dtype of x; sum = s, rounded to that dtype before it is normalised
  Out rstd;         // [R]      float32, R the number of rows
  double eps, dropout;
  int64_t call;
  bool unitOffset;

  static constexpr auto fields() {
    return warpweft::fields(arg("x", &RMSNorm::x), optional("residual", &RMSNorm::residual), optional("weight", &RMSNorm::weight),
                            optional("rng", &RMSNorm::rng), arg("y", &RMSNorm::y), optional("sum", &RMSNorm::sum), optional("rstd", &RMSNorm::rstd),
                            arg("eps", &RMSNorm::eps), arg("dropout", &RMSNorm::dropout), arg("call", &RMSNorm::call),
                            arg("unitOffset", &RMSNorm::unitOffset));
  }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.floating("x", x);
    c.rows("x", x);
    checkRowsLike(c, "residual", residual, "x", x);
    checkWritableRowsLike(c, "y", y, "x", x);
    checkWritableRowsLike(c, "sum", sum, "x", x);
    c.is("weight", weight, {x.columns()}, DType::f32);
    c.is("rstd", rstd, {x.rows()}, DType::f32);
    c.range("eps", eps, 0, 1e6);
    checkDropout(c, "dropout", dropout, rng);
    if (dropout > 0 && !residual) c.fail("ERR_CONFIG", "dropout", "is %g without a residual, which it would apply to", dropout);
    if (unitOffset && !weight) c.fail("ERR_CONFIG", "unitOffset", "is set without a weight, which it would shift");
  }
};

// With h = s * rstd and g = dy * w:   ds = rstd * (g - h * mean(g * h)) + dsum,   dx = ds,   dresidual = dropout(ds),   dweight = sum of dy * h
struct RMSNormBackward {
  static constexpr auto name = "rmsNormBackward";
  In dy, dsum, s;       // [.., C]  dsum: gradient that reaches s by another way (the residual stream)
  In weight;            // [C]      float32
  In rstd;              // [R]      float32
  In rng;               // [3]      int64
  Grad dx, dresidual;   // [.., C]  dtype of s
  Grad dweight;         // [C]      float32
  double dropout;
  int64_t call;
  bool unitOffset;

  static constexpr auto fields() {
    using B = RMSNormBackward;
    return warpweft::fields(arg("dy", &B::dy), optional("dsum", &B::dsum), arg("s", &B::s), optional("weight", &B::weight), arg("rstd", &B::rstd),
                            optional("rng", &B::rng), optional("dx", &B::dx), optional("dresidual", &B::dresidual), optional("dweight", &B::dweight),
                            arg("dropout", &B::dropout), arg("call", &B::call), arg("unitOffset", &B::unitOffset));
  }
  void check(const Check& c) const {
    c.rankAtLeast("s", s, 1);
    c.floating("s", s);
    c.rows("s", s);
    checkRowsLike(c, "dy", dy, "s", s);
    checkRowsLike(c, "dsum", dsum, "s", s);
    checkWritableRowsLike(c, "dx", dx, "s", s);
    checkWritableRowsLike(c, "dresidual", dresidual, "s", s);
    c.is("weight", weight, {s.columns()}, DType::f32);
    c.is("rstd", rstd, {s.rows()}, DType::f32);
    c.is("dweight", dweight, {s.columns()}, DType::f32);
    checkDropout(c, "dropout", dropout, rng);
  }
};

}  // namespace warpweft
