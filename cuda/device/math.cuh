#pragma once
// Elementary functions in float32. Bounds in units in the last place are NVIDIA's (CUDA C++ Programming Guide, "Mathematical functions"); glibc's in the emulator
// are within 1, so that results agree to a few units and not in bits. No file is compiled with -use_fast_math.
#include "cuda/device/platform.cuh"
#ifdef WARPWEFT_SIMT
#include <cmath>
#endif

namespace warpweft::cuda {

#ifdef WARPWEFT_SIMT
namespace library = ::std;
#else
namespace library {
using ::exp, ::log, ::log1p, ::sqrt, ::erf, ::tanh, ::sin, ::cos, ::floor, ::ceil, ::trunc, ::pow, ::fmod, ::fabs, ::copysign, ::nearbyint;
}
#endif

WW_DEVICE float exp(float x) { return library::exp(x); }         // 1
WW_DEVICE float log(float x) { return library::log(x); }         // 1
WW_DEVICE float log1p(float x) { return library::log1p(x); }     // 1
WW_DEVICE float erf(float x) { return library::erf(x); }         // 2
WW_DEVICE float tanh(float x) { return library::tanh(x); }       // 2
WW_DEVICE float sqrt(float x) { return library::sqrt(x); }       // correctly rounded
WW_DEVICE double sqrt(double x) { return library::sqrt(x); }     // correctly rounded
WW_DEVICE float abs(float x) { return library::fabs(x); }
WW_DEVICE float fma(float a, float b, float c) {
#ifdef WARPWEFT_SIMT
  return std::fma(a, b, c);
#else
  return __fmaf_rn(a, b, c);
#endif
}

// 2^x, 2 units, results below 2^-126 are zero: one instruction. exp2Fast(x * kLog2e) loses |x| / 2^24 relatively to the rounding of the product: fine for
// probabilities, where x <= 0 and what is far below counts for nothing.
WW_DEVICE float exp2Fast(float x) {
#ifdef WARPWEFT_SIMT
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.f : y;
#else
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
#endif
}
inline constexpr float kLog2e = 1.44269504088896341f;

// P(X <= x) of a standard normal X, without cancellation where x is far below 0.   5
WW_DEVICE float normalCdf(float x) {
#ifdef WARPWEFT_SIMT
  return static_cast<float>(0.5 * std::erfc(static_cast<double>(x) * -0.707106781186547524));
#else
  return ::normcdff(x);
#endif
}

// 1 / (1 + e^-x), and one minus that, neither with cancellation.
struct SigmoidPair { float s, complement; };
WW_DEVICE SigmoidPair sigmoidPair(float x) {
  const float e = exp(-abs(x)), r = 1.f / (1.f + e), er = e * r;
  return x < 0.f ? SigmoidPair{er, r} : SigmoidPair{r, er};
}
WW_DEVICE float sigmoid(float x) { return sigmoidPair(x).s; }

// Maximum and minimum that let NaN through.
WW_DEVICE float maximum(float a, float b) { return a != a || a > b ? a : b; }
WW_DEVICE float minimum(float a, float b) { return a != a || a < b ? a : b; }

// The larger one, in one instruction; of a number and a NaN the number.
WW_DEVICE float larger(float a, float b) {
#ifdef WARPWEFT_SIMT
  return std::fmax(a, b);
#else
  return ::fmaxf(a, b);
#endif
}

}  // namespace warpweft::cuda
