#pragma once
#include "ops/dropout.hpp"
#include "ops/rows_like.hpp"

namespace warpweft {

// y = (s - mean) * rstd * weight + bias over the last dimension, rstd = 1 / sqrt(variance + eps).   Ba, Kiros, Hinton 2016, eq. 4
// s = x + dropout(residual), or x where there is no residual: x is the residual stream, `residual` the output of the sublayer before it.
struct LayerNorm {
  static constexpr auto name = "layerNorm";
  In x, residual;     // [.., C]
  In weight, bias;    // [C]      float32
  In rng;             // [3]      int64: seed, micro-step, rank
  Out y, sum;         // [.., C]  dtype of x; sum = s, rounded to that dtype before it is normalised
  Out mean, rstd;     // [R]      float32, R the number of rows
  double eps, dropout;
  int64_t call;

  static constexpr auto fields() {
    return warpweft::fields(arg("x", &LayerNorm::x), optional("residual", &LayerNorm::residual), optional("weight", &LayerNorm::weight),
                            optional("bias", &LayerNorm::bias), optional("rng", &LayerNorm::rng), arg("y", &LayerNorm::y),
                            optional("sum", &LayerNorm::sum), optional("mean", &LayerNorm::mean), optional("rstd", &LayerNorm::rstd),
                            arg("eps", &LayerNorm::eps), arg("dropout", &LayerNorm::dropout), arg("call", &LayerNorm::call));
  }
  void check(const Check& c) const {
    c.rankAtLeast("x", x, 1);
    c.floating("x", x);
    c.rows("x", x);
    checkRowsLike(c, "residual", residual, "x", x);
    checkWritableRowsLike(c, "y", y, "x", x);
    checkWritableRowsLike(c, "sum", sum, "x", x);
    c.is("weight", weight, {x.columns()}, DType::f32);
    c.is("bias", bias, {x.columns()}, DType::f32);
    c.is("mean", mean, {x.rows()}, DType::f32);
    c.is("rstd", rstd, {x.rows()}, DType::f32);
    c.range("eps", eps, 0, 1e6);
    checkDropout(c, "dropout", dropout, rng);
    if (dropout > 0 && !residual) c.fail("ERR_CONFIG", "dropout", "is %g without a residual, which it would apply to", dropout);
  }
};

// With h = (s - mean) * rstd and g = dy * weight:
//   ds = rstd * (g - mean(g) - h * mean(g * h)) + dsum,   dx = ds,   dresidual = dropout(ds),   dweight = sum of dy * h,   dbias = sum of dy
struct LayerNormBackward {
  static constexpr auto name = "layerNormBackward";
  In dy, dsum, s;        // [.., C]  dsum: gradient that reaches s by another way (the residual stream)
  In weight;             // [C]      float32
  In mean, rstd;         // [R]      float32
  In rng;                // [3]      int64
  Grad dx, dresidual;    // [.., C]  dtype of s
  Grad dweight, dbias;   // [C]      float32
  double dropout;
  int64_t call;

  static constexpr auto fields() {
    using B = LayerNormBackward;
    return warpweft::fields(arg("dy", &B::dy), optional("dsum", &B::dsum), arg("s", &B::s), optional("weight", &B::weight), arg("mean", &B::mean),
                            arg("rstd", &B::rstd), optional("rng", &B::rng), optional("dx", &B::dx), optional("dresidual", &B::dresidual),
                            optional("dweight", &B::dweight), optional("dbias", &B::dbias), arg("dropout", &B::dropout), arg("call", &B::call));
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
    c.is("mean", mean, {s.rows()}, DType::f32);
    c.is("rstd", rstd, {s.rows()}, DType::f32);
    c.is("dweight", dweight, {s.columns()}, DType::f32);
    c.is("dbias", dbias, {s.columns()}, DType::f32);
    checkDropout(c, "dropout", dropout, rng);
  }
};

}  // namespace warpweft
