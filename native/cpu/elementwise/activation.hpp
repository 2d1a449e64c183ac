#pragma once
// Activations and their slopes, for `unary` and for the gated pairs. Formulas: ops/unary.hpp.
#include "cpu/elementwise/gelu.hpp"

namespace warpweft::cpu::WW_ISA {

// Beyond these the slopes are 0 or 1 in float32; clamping x keeps 0 * infinity out of them. NaN stays.
WW_INLINE F32 clamped(F32 x, float bound) { return max(splat(-bound), min(splat(bound), x)); }

// s and 1 - s = sigmoid(-x), the latter without cancellation.
struct SigmoidPair { F32 s, complement; };
WW_INLINE SigmoidPair sigmoidPair(F32 x) {
  const F32 e = exp(zero() - abs(x)), r = splat(1.f) / (splat(1.f) + e), er = e * r;
  const M32 negative = lt(x, zero());
  return {select(negative, er, r), select(negative, r, er)};
}

struct ValueAndSlope { F32 value, slope; };

struct Relu {
  static WW_INLINE F32 value(F32 x) { return max(zero(), x); }
  static WW_INLINE ValueAndSlope both(F32 x) { return {value(x), select(le(x, zero()), zero(), splat(1.f))}; }
};

struct Gelu {
  static WW_INLINE F32 value(F32 x) { return gelu(x); }
  static WW_INLINE ValueAndSlope both(F32 x) {
    const Normal n = normal(x);
    return {x * n.cdf, fma(clamped(x, 16.f), n.density, n.cdf)};
  }
};

struct GeluTanh {
  static constexpr float k = 0.797884560802865356f, cubic = 0.044715f;   // sqrt(2 / pi)
  // 2 u = x (2k + 2k 0.044715 x^2)
  static WW_INLINE F32 twiceU(F32 x) { return x * fma(x * x, splat(2.f * k * cubic), splat(2.f * k)); }
  static WW_INLINE F32 value(F32 x) { return x * sigmoid(twiceU(x)); }
  static WW_INLINE ValueAndSlope both(F32 x) {
    const F32 t = clamped(x, 30.f);
    const SigmoidPair p = sigmoidPair(twiceU(x));
    const F32 du = fma(t * t, splat(6.f * k * cubic), splat(2.f * k));   // of 2 u
    return {x * p.s, fma(t * p.s * p.complement, du, p.s)};
  }
};

struct QuickGelu {
  static WW_INLINE F32 value(F32 x) { return x * sigmoid(splat(1.702f) * x); }
  static WW_INLINE ValueAndSlope both(F32 x) {
    const SigmoidPair p = sigmoidPair(splat(1.702f) * x);
    return {x * p.s, fma(clamped(x, 120.f) * p.s * p.complement, splat(1.702f), p.s)};
  }
};

struct Silu {
  static WW_INLINE F32 value(F32 x) { return x * sigmoid(x); }
  static WW_INLINE ValueAndSlope both(F32 x) {
    const SigmoidPair p = sigmoidPair(x);
    return {x * p.s, fma(clamped(x, 120.f) * p.s, p.complement, p.s)};
  }
};

struct Sigmoid {
  static WW_INLINE F32 value(F32 x) { return sigmoid(x); }
  static WW_INLINE ValueAndSlope both(F32 x) {
    const SigmoidPair p = sigmoidPair(x);
    return {p.s, p.s * p.complement};
  }
};

}  // namespace warpweft::cpu::WW_ISA
