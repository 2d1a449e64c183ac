#pragma once
#include "runtime/op.hpp"

// What optimizers ask of their lists of tensors.
namespace warpweft {

inline void checkStates(const Check& c, const char* argument, const InOutList& states, const InOutList& params) {
  if (states.count != params.count)
    c.shape(argument, "has %lld tensors, expected one for each of the %lld in params", static_cast<long long>(states.count), static_cast<long long>(params.count));
  for (int64_t i = 0; i < states.count; i++) {
    c.sameSizes(argument, states[i], "the parameter", params[i]);
    c.dtype(argument, states[i], {DType::f32});
    c.contiguous(argument, states[i]);
  }
}

inline void checkParameters(const Check& c, const InOutList& params, const InList& grads, const InOutList& low) {
  checkStates(c, "params", params, params);
  if (grads.count != params.count)
    c.shape("grads", "has %lld tensors, expected one for each of the %lld in params", static_cast<long long>(grads.count), static_cast<long long>(params.count));
  for (int64_t i = 0; i < grads.count; i++) {
    c.sameSizes("grads", grads[i], "the parameter", params[i]);
    c.floating("grads", grads[i]);
    c.contiguous("grads", grads[i]);
  }
  if (low.count && low.count != params.count)
    c.shape("low", "has %lld tensors, expected none or one for each of the %lld in params", static_cast<long long>(low.count), static_cast<long long>(params.count));
  for (int64_t i = 0; i < low.count; i++) {
    c.sameSizes("low", low[i], "the parameter", params[i]);
    c.dtype("low", low[i], {DType::bf16, DType::f16});
    c.contiguous("low", low[i]);
  }
}

}  // namespace warpweft
