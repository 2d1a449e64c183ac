#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y = activation(gate) * up, the gated units of Shazeer 2020 ("GLU variants improve Transformer"): SwiGLU with silu, GEGLU with gelu.
enum class GateActivation : int64_t { relu, gelu, geluTanh, silu, sigmoid };
inline constexpr int64_t kGateActivations = 5;

struct Gated {
  static constexpr auto name = "gated";
  In gate, up;   // [..., F] floating, any strides: often the two halves of one product
  Out y;         // [..., F] dtype of gate
  int64_t activation;
  static constexpr auto fields() {
    return warpweft::fields(arg("gate", &Gated::gate), arg("up", &Gated::up), arg("y", &Gated::y), arg("activation", &Gated::activation));
  }
  void check(const Check& c) const {
    c.range("activation", static_cast<double>(activation), 0, kGateActivations - 1);
    c.floating("gate", gate);
    c.sameSizes("up", up, "gate", gate);
    c.sameDtype("up", up, "gate", gate);
    c.sameSizes("y", y, "gate", gate);
    c.sameDtype("y", y, "gate", gate);
  }
};

// dgate = dy * up * activation'(gate), dup = dy * activation(gate).
struct GatedBackward {
  static constexpr auto name = "gatedBackward";
  In dy, gate, up;   // [..., F] floating, one dtype, any strides
  Grad dgate, dup;   // [..., F] the same; may be the two halves of one tensor
  int64_t activation;
  static constexpr auto fields() {
    return warpweft::fields(arg("dy", &GatedBackward::dy), arg("gate", &GatedBackward::gate), arg("up", &GatedBackward::up),
                            optional("dgate", &GatedBackward::dgate), optional("dup", &GatedBackward::dup), arg("activation", &GatedBackward::activation));
  }
  void check(const Check& c) const {
    c.range("activation", static_cast<double>(activation), 0, kGateActivations - 1);
    c.floating("gate", gate);
    const auto like = [&](const char* argument, const View& v) {
      c.sameSizes(argument, v, "gate", gate);
      c.sameDtype(argument, v, "gate", gate);
    };
    like("dy", dy);
    like("up", up);
    like("dgate", dgate);
    like("dup", dup);
  }
};

}  // namespace warpweft
