#pragma once
// Activations and their slopes, for `unary` and for the gated pairs. Formulas: ops/unary.hpp.
#include "cuda/device/math.cuh"

namespace warpweft::cuda {

struct ValueAndSlope { float value, slope; };

// Beyond these the slopes are 0 or 1 in float32; clamping x keeps 0 * infinity out of them. NaN stays.
WW_DEVICE float clamped(float x, float bound) { return maximum(minimum(x, bound), -bound); }

struct Relu {
  static WW_DEVICE float value(float x) { return maximum(x, 0.f); }
  static WW_DEVICE ValueAndSlope both(float x) { return {value(x), x <= 0.f ? 0.f : 1.f}; }
};

struct Gelu {
  static WW_DEVICE float value(float x) { return x * normalCdf(x); }
  static WW_DEVICE ValueAndSlope both(float x) {
    const float cdf = normalCdf(x), t = clamped(x, 16.f), density = 0.398942280401432678f * exp(-0.5f * t * t);
    return {x * cdf, fma(t, density, cdf)};
  }
};

// With s(2 u), u = k (x + c x^3): 2 u = x (2 k + 2 k c x^2).
struct GeluTanh {
  static constexpr float k = 0.797884560802865356f, c = 0.044715f;   // k = sqrt(2 / pi)
  static WW_DEVICE float twiceU(float x) { return x * fma(x * x, 2.f * k * c, 2.f * k); }
  static WW_DEVICE float value(float x) { return x * sigmoid(twiceU(x)); }
  static WW_DEVICE ValueAndSlope both(float x) {
    const float t = clamped(x, 30.f);
    const SigmoidPair p = sigmoidPair(twiceU(x));
    return {x * p.s, fma(t * p.s * p.complement, fma(t * t, 6.f * k * c, 2.f * k), p.s)};
  }
};

struct QuickGelu {
  static WW_DEVICE float value(float x) { return x * sigmoid(1.702f * x); }
  static WW_DEVICE ValueAndSlope both(float x) {
    const SigmoidPair p = sigmoidPair(1.702f * x);
    return {x * p.s, fma(clamped(x, 120.f) * p.s * p.complement, 1.702f, p.s)};
  }
};

struct Silu {
  static WW_DEVICE float value(float x) { return x * sigmoid(x); }
  static WW_DEVICE ValueAndSlope both(float x) {
    const SigmoidPair p = sigmoidPair(x);
    return {x * p.s, fma(clamped(x, 120.f) * p.s, p.complement, p.s)};
  }
};

struct Sigmoid {
  static WW_DEVICE float value(float x) { return sigmoid(x); }
  static WW_DEVICE ValueAndSlope both(float x) {
    const SigmoidPair p = sigmoidPair(x);
    return {p.s, p.s * p.complement};
  }
};

}  // namespace warpweft::cuda
