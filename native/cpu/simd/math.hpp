#pragma once
// Elementary functions on F32. Bounds are the largest errors found against double over the whole range of float32 (test/native/simd_test.cpp), in ulp of
// the result; NaN stays NaN, infinities give the limits, denormal results are rounded once.
#include "cpu/simd/half.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr float kInfinity = __builtin_inff();
inline constexpr float kNan = __builtin_nanf("");

// Adding it to |v| < 2^22 leaves v, rounded to an integer, in the low bits of the sum: cheaper than the rounding instruction, and the same on every set.
inline constexpr float kRoundingShift = 0x1.8p23f;

// e^(hi + lo), -104 <= hi <= 89, |lo| < 0.06: 2^n * e^r with |r| <= ln2 / 2 + |lo| (Cody and Waite's reduction), Cephes' polynomial in r.
WW_INLINE F32 expOfSum(F32 hi, F32 lo) {
  const F32 shifted = fma(hi, splat(1.44269504088896341f), splat(kRoundingShift));
  const F32 n = shifted - splat(kRoundingShift);
  F32 r = fnma(n, splat(0.693359375f), hi);
  r = fnma(n, splat(-2.12194440e-4f), r) + lo;
  F32 p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + splat(1.f);
  // 2^n in two factors, so that n = 128 and the denormals come out right.
  const I32 biased = asInt(shifted) - asInt(splat(kRoundingShift)) + splatInt(256), half = shiftRight<1>(biased), rest = biased - half;
  return p * asFloat(shiftLeft<23>(half - splatInt(1))) * asFloat(shiftLeft<23>(rest - splatInt(1)));
}

// e^x. 1 ulp.
WW_INLINE F32 exp(F32 x) {
  const F32 clamped = min(max(x, splat(-104.f)), splat(89.f));   // NaN becomes a number here: below, integers are made of it
  return select(isNan(x), x, expOfSum(clamped, zero()));
}

// Natural logarithm. 0.8 ulp; log(0) = -infinity, log(negative) = NaN.
WW_INLINE F32 log(F32 x) {
  const M32 tiny = lt(x, splat(1.17549435e-38f));
  const F32 scaled = select(tiny, x * splat(0x1p24f), x);
  const I32 bits = asInt(scaled);
  F32 e = toFloat(shiftRight<23>(bits) - splatInt(126)) - andMask(tiny, splat(24.f));
  F32 m = asFloat((bits & splatInt(0x007FFFFF)) | splatInt(0x3F000000));   // [0.5, 1)
  const M32 small = lt(m, splat(0.707106781186547524f));
  e = e - andMask(small, splat(1.f));
  m = m - splat(1.f) + andMask(small, m);
  const F32 z = m * m;
  F32 p = splat(7.0376836292e-2f);
  p = fma(p, m, splat(-1.1514610310e-1f));
  p = fma(p, m, splat(1.1676998740e-1f));
  p = fma(p, m, splat(-1.2420140846e-1f));
  p = fma(p, m, splat(1.4249322787e-1f));
  p = fma(p, m, splat(-1.6668057665e-1f));
  p = fma(p, m, splat(2.0000714765e-1f));
  p = fma(p, m, splat(-2.4999993993e-1f));
  p = fma(p, m, splat(3.3333331174e-1f));
  p = p * m * z;
  p = fma(e, splat(-2.12194440e-4f), p);
  p = fnma(z, splat(0.5f), p);
  F32 r = fma(e, splat(0.693359375f), m + p);
  r = select(eq(x, zero()), splat(-kInfinity), r);
  r = select(eq(x, splat(kInfinity)), x, r);
  return select(lt(x, zero()), splat(kNan), select(isNan(x), x, r));
}

// log(1 + x): the rounding of 1 + x is put back to first order. 1.5 ulp.
WW_INLINE F32 log1p(F32 x) {
  const F32 w = x + splat(1.f), l = log(w);
  const F32 r = l + (x - (w - splat(1.f))) / w;
  // 1 + x = 0 or infinity has nothing to put back; below half an ulp of 1 log(1 + x) = x, with its sign.
  return select(lt(abs(x), splat(0x1p-25f)), x, select(gt(abs(l), splat(1e30f)), l, r));
}

// 1 / (1 + e^-x), from e^-|x| so that nothing overflows and small results keep their precision. 2.5 ulp.
WW_INLINE F32 sigmoid(F32 x) {
  const F32 e = exp(zero() - abs(x));
  return select(lt(x, zero()), e, splat(1.f)) / (splat(1.f) + e);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). 2 ulp.
WW_INLINE F32 softplus(F32 x) { return max(zero(), x) + log1p(exp(zero() - abs(x))); }

// |magnitude| with the sign of x.
WW_INLINE F32 withSignOf(F32 magnitude, F32 x) { return asFloat(asInt(magnitude) | (asInt(x) & splatInt(INT32_MIN))); }

// tanh of |x|: polynomial below 0.625 (no cancellation), 1 - 2 / (e^2a + 1) above. 1.3 ulp.
WW_INLINE F32 tanh(F32 x) {
  const F32 a = abs(x), z = x * x;
  F32 p = splat(-5.70498872745e-3f);
  p = fma(p, z, splat(2.06390887954e-2f));
  p = fma(p, z, splat(-5.37397155531e-2f));
  p = fma(p, z, splat(1.33314422036e-1f));
  p = fma(p, z, splat(-3.33332819422e-1f));
  const F32 near = fma(p * z, a, a);
  const F32 far = splat(1.f) - splat(2.f) / (exp(a + a) + splat(1.f));
  return withSignOf(select(lt(a, splat(0.625f)), near, far), x);
}

// -scale * a^2 in two parts, the first exact for scale = 1 or 1/2: squaring an argument of e^x in one rounding would cost its relative precision.
struct NegatedSquare { F32 hi, lo; };
WW_INLINE NegatedSquare negatedSquare(F32 a, float scale) {
  const F32 head = asFloat(asInt(a) & splatInt(static_cast<int32_t>(0xFFFFF000u)));   // 12 bits: its square is exact
  return {splat(-scale) * (head * head), splat(-scale) * ((a - head) * (a + head))};
}

// e^(a^2) erfc(a) for a >= 0.7: t Q(t), t = 2 / (2 + a), Q fitted here for least relative error (4e-8) on [0.7, 10.3].
WW_INLINE F32 scaledErfc(F32 a) {
  const F32 t = splat(1.f) / fma(a, splat(0.5f), splat(1.f));
  F32 q = splat(7.793898647e-2f);
  q = fma(q, t, splat(-1.816185781e-1f));
  q = fma(q, t, splat(2.933581467e-2f));
  q = fma(q, t, splat(9.487332606e-2f));
  q = fma(q, t, splat(1.663202887e-1f));
  q = fma(q, t, splat(2.496023135e-1f));
  q = fma(q, t, splat(2.817423200e-1f));
  q = fma(q, t, splat(2.821121446e-1f));
  return q * t;
}

// erf: odd polynomial (least relative error, 1.2e-9) below 1, 1 - erfc above. 1.6 ulp.
WW_INLINE F32 erf(F32 x) {
  const F32 a = min(abs(x), splat(10.f)), z = a * a;
  F32 p = splat(7.853860265e-5f);
  p = fma(p, z, splat(-8.010193296e-4f));
  p = fma(p, z, splat(5.188327648e-3f));
  p = fma(p, z, splat(-2.685381192e-2f));
  p = fma(p, z, splat(1.128358515e-1f));
  p = fma(p, z, splat(-3.761262582e-1f));
  p = fma(p, z, splat(1.28379166e-1f));    // 2 / sqrt(pi) - 1: the 1 is added last, exactly
  const F32 near = fma(p, a, a);
  const F32 far = fnma(scaledErfc(a), expOfSum(zero() - z, zero()), splat(1.f));
  return select(isNan(x), x, withSignOf(select(lt(a, splat(1.f)), near, far), x));
}

// Standard normal distribution: P(X <= x) = erfc(-x / sqrt 2) / 2 and its density e^(-x^2 / 2) / sqrt(2 pi). The left tail keeps its relative precision
// (6 ulp down to the denormals), which (1 + erf(x / sqrt 2)) / 2 loses: gelu(x) = x cdf(x).
struct Normal { F32 cdf, density; };
WW_INLINE Normal normal(F32 x) {
  const F32 a = min(abs(x), splat(15.f)), z = a * a;   // beyond 15 both are 0 or 1 in float32
  const NegatedSquare s = negatedSquare(a, 0.5f);
  const F32 e = expOfSum(max(splat(-104.f), s.hi), s.lo);
  F32 p = splat(-7.654208435e-6f);   // (cdf - 1/2) / x on |x| < 1, least relative error 7e-10
  p = fma(p, z, splat(1.134863721e-4f));
  p = fma(p, z, splat(-1.186329942e-3f));
  p = fma(p, z, splat(9.973323410e-3f));
  p = fma(p, z, splat(-6.649035992e-2f));
  p = fma(p, z, splat(3.989422801e-1f));
  const F32 tail = splat(0.5f) * scaledErfc(a * splat(0.707106781186547524f)) * e;
  const F32 far = select(lt(x, zero()), tail, splat(1.f) - tail);
  const M32 nan = isNan(x);
  return {select(nan, x, select(lt(a, splat(1.f)), fma(p, x, splat(0.5f)), far)), select(nan, x, splat(0.398942280401432678f) * e)};
}
WW_INLINE F32 normalCdf(F32 x) { return normal(x).cdf; }

// One lane at a time through the C library, where no vector form pays.
template <class F> WW_INLINE F32 byLane(F32 x, F&& f) {
  float lanes[kWidth];
  store(lanes, x);
  for (float& lane : lanes) lane = f(lane);
  return load(lanes);
}

// Quadrant q and rest r of x = q pi/2 + r, in three parts of pi/2, for |x| <= 8192.
struct Quadrant { I32 q; F32 r; };
WW_INLINE Quadrant quadrant(F32 x) {
  const F32 shifted = fma(x, splat(0.636619772367581343f), splat(kRoundingShift));
  const F32 n = shifted - splat(kRoundingShift);
  F32 r = fnma(n, splat(1.5703125f), x);
  r = fnma(n, splat(4.837512969970703125e-4f), r);
  return {asInt(shifted), fnma(n, splat(7.54978995489188216e-8f), r)};
}
WW_INLINE F32 sineOf(I32 q, F32 r) {
  const F32 z = r * r;
  const F32 s = fma(fma(fma(splat(-1.9515295891e-4f), z, splat(8.3321608736e-3f)), z, splat(-1.6666654611e-1f)) * z, r, r);
  const F32 c = fma(fma(fma(splat(2.443315711809948e-5f), z, splat(-1.388731625493765e-3f)), z, splat(4.166664568298827e-2f)), z * z, fnma(z, splat(0.5f), splat(1.f)));
  const F32 value = select(gt(toFloat(q & splatInt(1)), zero()), c, s);
  return select(gt(toFloat(q & splatInt(2)), zero()), zero() - value, value);
}
// sin, cos: absolute error 1e-7; lanes beyond 8192 by the C library.
WW_INLINE F32 sin(F32 x) {
  const M32 near = le(abs(x), splat(8192.f));
  const Quadrant a = quadrant(x);
  const F32 y = sineOf(a.q, a.r);
  return all(near) ? y : select(near, y, byLane(x, [](float v) { return __builtin_sinf(v); }));
}
WW_INLINE F32 cos(F32 x) {
  const M32 near = le(abs(x), splat(8192.f));
  const Quadrant a = quadrant(x);
  const F32 y = sineOf(a.q + splatInt(1), a.r);
  return all(near) ? y : select(near, y, byLane(x, [](float v) { return __builtin_cosf(v); }));
}

}  // namespace warpweft::cpu::WW_ISA
