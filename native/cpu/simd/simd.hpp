#pragma once
// The vector layer: one set of names, three implementations chosen by the flags the file is compiled with. F32 is a vector of kWidth floats, I32 of as many
// int32, M32 the result of a comparison. Loads and stores take float, bf16 or f16 memory of any alignment; arithmetic is float32.
//
//   load(p) loadPartial(p, n)          n lanes (0 <= n <= kWidth), the rest zero; reads no byte beyond
//   store(p, v) storePartial(p, v, n)  half types round to nearest even, NaN stays NaN
//   splat(x) zero() iota()             iota: 0, 1, 2, … as float
//   + - * /  fma(a, b, c) = a * b + c  fnma(a, b, c) = c - a * b
//   max(a, b) min(a, b)                NaN in b is returned; NaN in a is lost (the x86 rule)
//   sqrt(v) abs(v) floor(v) round(v)   round: to nearest even
//   lt le gt ge eq ne isNan            M32; ne is true for NaN
//   select(m, a, b)                    a where m
//   andMask(m, v)                      v where m, else +0
//   any(m) all(m)
//   sum(v) maxOf(v) minOf(v)           horizontal, in a fixed order
//   toInt(v) toFloat(i)                toInt rounds to nearest even
//   asInt(v) asFloat(i) shiftLeft<n>(i) shiftRight<n>(i), integer + - & |
#if defined(__AVX512F__)
#include "cpu/simd/avx512.hpp"
#elif defined(__AVX2__)
#include "cpu/simd/avx2.hpp"
#else
#include "cpu/simd/generic.hpp"
#endif
#include "cpu/simd/math.hpp"
