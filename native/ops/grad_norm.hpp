#pragma once
#include "ops/loss_scale.hpp"

namespace warpweft {

// norm = scale / lossScale * sqrt(sum of the squares of all elements of all grads). NaN and infinities in the gradients show in it. Squares are added in float32 over
// short stretches, these in double.
struct GradNorm {
  static constexpr auto name = "gradNorm";
  InList grads;   // floating, contiguous
  In scale;       // [1] float32; absent: 1
  Out norm;       // [1] float32
  In lossScale = absent<In>();   // [3] float32, LossScale::State; absent: 1
  static constexpr auto fields() {
    return warpweft::fields(arg("grads", &GradNorm::grads), optional("scale", &GradNorm::scale), arg("norm", &GradNorm::norm), optional("lossScale", &GradNorm::lossScale));
  }
  void check(const Check& c) const {
    for (int64_t i = 0; i < grads.count; i++) {
      c.floating("grads", grads[i]);
      c.contiguous("grads", grads[i]);
    }
    c.is("scale", scale, {1}, DType::f32);
    c.is("norm", norm, {1}, DType::f32);
    c.is("lossScale", lossScale, {LossScale::stateCount}, DType::f32);
  }
};

}  // namespace warpweft
