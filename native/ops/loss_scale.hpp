#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// The dynamic loss scale of float16 training (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2), which lives where the gradients are: nothing waits
// for the host. Losses are multiplied by it before the backward pass, so that small gradients are not lost in float16; gradNorm, adamW and sgd divide by it.
// This op, behind the update, is what becomes of it:
//   norm finite         good + 1; after `growthInterval` of them in a row scale = 2 scale, good = 0
//   norm NaN, infinite  scale = scale / 2, good = 0, skipped + 1: the update has left everything as it was
struct LossScale {
  static constexpr auto name = "lossScale";
  static constexpr bool skipsWhenFaulty = true;
  enum State { scale, good, skipped, stateCount };
  static constexpr float least = 0x1p-14f, most = 0x1p24f;   // powers of two, by which nothing is rounded
  InOut state;   // [3] float32, see State
  In norm;       // [1] float32, of all gradients
  int64_t growthInterval;
  static constexpr auto fields() {
    return warpweft::fields(arg("state", &LossScale::state), arg("norm", &LossScale::norm), arg("growthInterval", &LossScale::growthInterval));
  }
  void check(const Check& c) const {
    c.is("state", state, {stateCount}, DType::f32);
    c.is("norm", norm, {1}, DType::f32);
    c.range("growthInterval", static_cast<double>(growthInterval), 1, 1 << 24);   // beyond, float32 counts no further
  }
  // The state after a step whose gradients had this norm, on every device.
  static constexpr void update(float* s, float norm, int64_t growthInterval) {
    if (norm - norm != 0.f) {
      s[scale] = s[scale] * 0.5f > least ? s[scale] * 0.5f : least;
      s[good] = 0;
      s[skipped] += 1;
    } else if ((s[good] += 1) >= static_cast<float>(growthInterval)) {
      s[scale] = s[scale] * 2 < most ? s[scale] * 2 : most;
      s[good] = 0;
    }
  }
};

}  // namespace warpweft
