#pragma once
#include "ops/loss_scale.hpp"
#include "ops/parameter_lists.hpp"

namespace warpweft {

// Stochastic gradient descent with momentum as torch.optim.SGD (Sutskever, Martens, Dahl, Hinton 2013, with the learning rate outside of the momentum):
//   g = grad * gradientScale / lossScale * min(1, maxNorm / (norm + 1e-6)) + weightDecay p
//   momentum b: first step b = g, then b = momentum b + (1 - dampening) g;   g = g + momentum b if nesterov, else b
//   p = p - learningRate g
struct Sgd {
  static constexpr auto name = "sgd";
  static constexpr bool skipsWhenFaulty = true;
  enum Hyper { learningRate, momentum, dampening, weightDecay, gradientScale, first, hyperCount };   // first: 1 in the first step, else 0
  InOutList params;   // float32, contiguous
  InList grads;       // floating, contiguous, the sizes of params
  InOutList momenta;  // float32, the same; or none, for plain descent
  InOutList low;      // bfloat16 or float16 copies of params, written in the same pass; or none
  In hyper;           // [6] float32, see Hyper
  In norm;            // [1] float32, the norm of all grads * gradientScale / lossScale; absent: no clipping
  double maxNorm;     // infinity: no clipping
  bool nesterov;
  bool skipNonFinite;   // leave everything as it is if the norm is NaN or infinite
  In lossScale = absent<In>();   // [3] float32, LossScale::State; absent: 1
  static constexpr auto fields() {
    return warpweft::fields(arg("params", &Sgd::params), arg("grads", &Sgd::grads), optional("momenta", &Sgd::momenta), optional("low", &Sgd::low),
                            arg("hyper", &Sgd::hyper), optional("norm", &Sgd::norm), arg("maxNorm", &Sgd::maxNorm), arg("nesterov", &Sgd::nesterov),
                            arg("skipNonFinite", &Sgd::skipNonFinite), optional("lossScale", &Sgd::lossScale));
  }
  void check(const Check& c) const {
    checkParameters(c, params, grads, low);
    if (momenta.count) checkStates(c, "momenta", momenta, params);
    c.is("hyper", hyper, {hyperCount}, DType::f32);
    c.is("norm", norm, {1}, DType::f32);
    c.is("lossScale", lossScale, {LossScale::stateCount}, DType::f32);
    if (!(maxNorm > 0)) c.fail("ERR_CONFIG", "maxNorm", "is %g, expected a positive number; infinity for no clipping", maxNorm);
  }
};

}  // namespace warpweft
