#pragma once
// The exact GELU, x cdf(x), of one vector: what `unary` and the products' epilogues apply.
#include "cpu/simd/simd.hpp"

namespace warpweft::cpu::WW_ISA {

#if defined(__AVX512F__)

// Q(a) = P(X > a) for a < 31.5 steps of 5 / 32: about the nearest multiple c of the step a polynomial of degree 5 in a - c, its coefficients looked up by lane in
// two registers each. kUpperTail[k][i] belongs to (a - c)^k at c = 5 i / 32. Fitted by Remez' exchange in 30 digits for least relative error on each interval (the
// largest 8e-8, at a = 4.9; below 1e-9 up to a = 2.5), then rounded to float32.
inline constexpr float kUpperTailStep = 0.15625f, kUpperTailEnd = 31.5f * kUpperTailStep;
alignas(64) inline constexpr float kUpperTail[6][32] = {
    {0.5f, 0.437917978f, 0.377330273f, 0.319624186f, 0.265985519f, 0.217327729f, 0.174250707f, 0.137032315f,
     0.105649777f, 0.0798249543f, 0.0590851232f, 0.0428299531f, 0.0303963609f, 0.0211148206f, 0.014353022f, 0.00954548176f,
     0.00620966544f, 0.00395075046f, 0.00245790114f, 0.00149506878f, 0.000889025279f, 0.000516740489f, 0.000293555349f, 0.000162976299f,
     8.84172841e-05f, 4.68697654e-05f, 2.42749738e-05f, 1.22830243e-05f, 6.07162428e-06f, 2.93178505e-06f, 1.38281359e-06f, 6.37056189e-07f},
    {-0.398942292f, -0.394101977f, -0.379930615f, -0.357434988f, -0.328160971f, -0.294018f, -0.257073909f, -0.219350785f,
     -0.182649091f, -0.14842017f, -0.117697008f, -0.0910825282f, -0.0687862784f, -0.0506950617f, -0.0364608318f, -0.0255908463f,
     -0.0175283011f, -0.0117163435f, -0.00764260581f, -0.0048650573f, -0.00302225794f, -0.0018321973f, -0.00108395203f, -0.000625813555f,
     -0.000352595671f, -0.000193867978f, -0.000104023704f, -5.44697832e-05f, -2.78340303e-05f, -1.38801333e-05f, -6.75473439e-06f, -3.207894e-06f},
    {-4.54176341e-09f, 0.0307891909f, 0.0593641102f, 0.083773762f, 0.102550238f, 0.114850715f, 0.120503344f, 0.119957432f,
     0.114155665f, 0.104357935f, 0.0919508114f, 0.0782740712f, 0.0644871593f, 0.0514871962f, 0.0398790576f, 0.0299892891f,
     0.0219103862f, 0.0155607732f, 0.010747415f, 0.00722156744f, 0.00472227484f, 0.00300594466f, 0.00186303863f, 0.0011245053f,
     0.000661114173f, 0.000378646364f, 0.000211296705f, 0.000114896211f, 6.08862938e-05f, 3.14467688e-05f, 1.58311632e-05f, 7.76897559e-06f},
    {0.0664906055f, 0.064079985f, 0.0571379103f, 0.0464827418f, 0.0333287567f, 0.0190938674f, 0.00518829096f, -0.00717604533f,
     -0.0171233397f, -0.0241810437f, -0.0282748062f, -0.0296640117f, -0.0288400054f, -0.0264118612f, -0.0230016038f, -0.0191639401f,
     -0.0153372409f, -0.0118250316f, -0.0088019371f, -0.00633551273f, -0.00441534538f, -0.00298240641f, -0.00195409311f, -0.00124277896f,
     -0.000767641119f, -0.000460728828f, -0.000268801756f, -0.000152500157f, -8.41572983e-05f, -4.51868145e-05f, -2.36119195e-05f, -1.20099157e-05f},
    {-4.95114409e-06f, -0.00762312906f, -0.0143367769f, -0.0193821695f, -0.0222700592f, -0.0228440445f, -0.0212785415f, -0.0180170964f,
     -0.013669624f, -0.00889409706f, -0.00428830553f, -0.000310923089f, 0.00275818608f, 0.00481905695f, 0.00592246233f, 0.00622326275f,
     0.00592937181f, 0.0052568228f, 0.00439720275f, 0.00349936052f, 0.00266394508f, 0.00194726547f, 0.00137049367f, 0.000930623792f,
     0.00061067089f, 0.000387724402f, 0.000238431399f, 0.000142131626f, 8.21877111e-05f, 4.61281925e-05f, 2.51412239e-05f, 1.33123112e-05f},
    {-0.00993173942f, -0.00935669523f, -0.00765634887f, -0.0051375553f, -0.00220014295f, 0.000716648239f, 0.00321750296f, 0.00501775928f,
     0.00598031143f, 0.00611829245f, 0.00556775508f, 0.00454150373f, 0.00327706477f, 0.00199125265f, 0.000849192147f, -4.92898507e-05f,
     -0.000667652872f, -0.00101976108f, -0.00115190935f, -0.00112486025f, -0.000999444281f, -0.000827183074f, -0.00064598897f, -0.000479802897f,
     -0.000340715254f, -0.000232171587f, -0.000152225301f, -9.6230593e-05f, -5.87464747e-05f, -3.46773704e-05f, -1.98132857e-05f, -1.09669418e-05f},
};

WW_INLINE F32 upperTailCoefficient(int power, I32 index) {
  return {_mm512_permutex2var_ps(_mm512_load_ps(kUpperTail[power]), index.v, _mm512_load_ps(kUpperTail[power] + 16))};
}

// max(x, 0) - |x| Q(|x|): both sides of 0 keep their relative precision, and no lane needs e^x or a division. A lane beyond the table takes the general form,
// alone: what a number gives does not depend on its neighbours.
WW_INLINE F32 gelu(F32 x) {
  const F32 a = abs(x), shifted = fma(a, splat(1.f / kUpperTailStep), splat(kRoundingShift));
  const F32 u = fnma(shifted - splat(kRoundingShift), splat(kUpperTailStep), a);   // exact
  const I32 index = asInt(shifted);                                                // the permutation looks at the lowest five bits
  F32 q = upperTailCoefficient(5, index);
  q = fma(q, u, upperTailCoefficient(4, index));
  q = fma(q, u, upperTailCoefficient(3, index));
  q = fma(q, u, upperTailCoefficient(2, index));
  q = fma(q, u, upperTailCoefficient(1, index));
  q = fma(q, u, upperTailCoefficient(0, index));
  const F32 y = fnma(a, q, max(zero(), x));
  const M32 inside = lt(a, splat(kUpperTailEnd));
  if (__builtin_expect(all(inside), 1)) return y;
  return select(inside, y, x * normalCdf(x));
}

#else

WW_INLINE F32 gelu(F32 x) { return x * normalCdf(x); }

#endif

}  // namespace warpweft::cpu::WW_ISA
