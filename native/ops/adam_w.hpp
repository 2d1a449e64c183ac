#pragma once
#include "ops/loss_scale.hpp"
#include "ops/parameter_lists.hpp"

namespace warpweft {

// AdamW (Loshchilov, Hutter 2019) and Adam with L2 decay (Kingma, Ba 2015) over all parameters, in the order of operations of torch.optim:
//   g = grad * gradientScale / lossScale * min(1, maxNorm / (norm + 1e-6))
//   p = p (1 - learningRate weightDecay) if decoupled, else g = g + weightDecay p
//   m = m + (1 - beta1) (g - m)          v = beta2 v + (1 - beta2) g^2
//   p = p - learningRate / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
// What may change from step to step is read from `hyper`, so that a recorded step can be replayed. It holds 1 - beta because float32 holds 0.001 to 8 digits
// and 1 - 0.999f to 5.
// With a loss scale, t counts the steps that were taken: those that it left out are taken off by correctionOf.
struct AdamW {
  static constexpr auto name = "adamW";
  static constexpr bool skipsWhenFaulty = true;
  enum Hyper { learningRate, oneMinusBeta1, oneMinusBeta2, eps, correction1, correction2, gradientScale, weightDecay, hyperCount };   // correction: 1 - beta^t
  InOutList params;   // float32, contiguous
  InList grads;       // floating, contiguous, the sizes of params
  InOutList m, v;     // float32, the same
  InOutList low;      // bfloat16 or float16 copies of params, written in the same pass; or none
  In hyper;           // [8] float32, see Hyper
  In norm;            // [1] float32, the norm of all grads * gradientScale / lossScale; absent: no clipping
  double maxNorm;     // infinity: no clipping
  bool decoupled;
  bool skipNonFinite;   // leave everything as it is if the norm is NaN or infinite
  In lossScale = absent<In>();   // [3] float32, LossScale::State; absent: 1
  static constexpr auto fields() {
    return warpweft::fields(arg("params", &AdamW::params), arg("grads", &AdamW::grads), arg("m", &AdamW::m), arg("v", &AdamW::v), optional("low", &AdamW::low),
                            arg("hyper", &AdamW::hyper), optional("norm", &AdamW::norm), arg("maxNorm", &AdamW::maxNorm), arg("decoupled", &AdamW::decoupled),
                            arg("skipNonFinite", &AdamW::skipNonFinite), optional("lossScale", &AdamW::lossScale));
  }
  // 1 - beta^(t - skipped), of 1 - beta^t and 1 - beta.
  static constexpr double correctionOf(double correction, double oneMinusBeta, double skipped) {
    double power = 1, base = 1 - oneMinusBeta;   // beta^skipped, by squaring
    for (auto n = static_cast<int64_t>(skipped); n > 0; n /= 2) {
      if (n % 2 == 1) power *= base;
      base *= base;
    }
    const double rest = 1 - correction;
    return rest < power ? 1 - rest / power : correction;   // not smaller: rounded, where hardly a step was taken
  }
  void check(const Check& c) const {
    checkParameters(c, params, grads, low);
    checkStates(c, "m", m, params);
    checkStates(c, "v", v, params);
    c.is("hyper", hyper, {hyperCount}, DType::f32);
    c.is("norm", norm, {1}, DType::f32);
    c.is("lossScale", lossScale, {LossScale::stateCount}, DType::f32);
    if (!(maxNorm > 0)) c.fail("ERR_CONFIG", "maxNorm", "is %g, expected a positive number; infinity for no clipping", maxNorm);
  }
};

}  // namespace warpweft
