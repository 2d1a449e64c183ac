#pragma once
// ldmatrix and mma by the tables of the PTX ISA (device/matrix.cuh repeats them).
#include <cstring>

#include "cuda/simt/half.hpp"
#include "cuda/simt/machine.hpp"

namespace warpweft::simt {

inline void needAllLanes(const char* what, Site at) {
  if (self->warp->existing != 0xFFFFFFFFu) fail(at.file, at.line, "%s in warp %u, which has lanes missing", what, self->warp->number);
}

template <int kCount, bool kTransposed> void ldmatrix(uint32_t (&r)[kCount], const void* row, Site at) {
  struct Out { uint32_t r[kCount]; };
  needAllLanes("ldmatrix", at);
  if (self->lane < 8 * kCount) checkAligned(row, 16, "ldmatrix", at.file, at.line);
  const Out out = collective<Out>(0xFFFFFFFFu, row, [](const Meeting& m) {
    for (int i = 0; i < kCount; i++) {
      uint16_t matrix[8][8];
      for (unsigned j = 0; j < 8; j++) std::memcpy(matrix[j], m.input<const void*>(8 * static_cast<unsigned>(i) + j), 16);
      for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned g = lane / 4, t = 2 * (lane % 4);
        const uint16_t low = kTransposed ? matrix[t][g] : matrix[g][t], high = kTransposed ? matrix[t + 1][g] : matrix[g][t + 1];
        m.output<Out>(lane).r[i] = low | static_cast<uint32_t>(high) << 16;
      }
    }
  }, at);
  std::memcpy(r, out.r, sizeof r);
}

struct Fragments { uint32_t a[4], b[2]; float c[4]; };
struct Result { float d[4]; };

// D = A B + C for A [16, K], B [K, 8]: products and sums in double, rounded once.
template <int K> void multiply(const Meeting& m, const float (&a)[16][K], const float (&b)[K][8]) {
  double sum[16][8] = {};
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < K; k++)
      for (int j = 0; j < 8; j++) sum[i][j] += static_cast<double>(a[i][k]) * static_cast<double>(b[k][j]);
  for (unsigned lane = 0; lane < 32; lane++)
    for (unsigned i = 0; i < 4; i++) {
      const unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      m.output<Result>(lane).d[i] = static_cast<float>(sum[row][column] + static_cast<double>(m.input<Fragments>(lane).c[i]));
    }
}

inline Fragments fragments(const float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Fragments f;
  std::memcpy(f.a, a, sizeof a);
  std::memcpy(f.b, b, sizeof b);
  std::memcpy(f.c, c, sizeof c);
  return f;
}

template <bool kBfloat> void mma16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  needAllLanes("mma", at);
  const Result d = collective<Result>(0xFFFFFFFFu, fragments(c, a, b), [](const Meeting& m) {
    const auto value = [](uint32_t pair, unsigned half) {
      const auto h = static_cast<uint16_t>(pair >> 16 * half);
      return kBfloat ? fromBits(static_cast<uint32_t>(h) << 16) : floatFromHalf(h);
    };
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
      const Fragments& f = m.input<Fragments>(lane);
      const unsigned g = lane / 4, t = 2 * (lane % 4);
      for (unsigned i = 0; i < 4; i++)
        for (unsigned half = 0; half < 2; half++) a[g + 8 * (i % 2)][t + 8 * (i / 2) + half] = value(f.a[i], half);
      for (unsigned i = 0; i < 2; i++)
        for (unsigned half = 0; half < 2; half++) b[t + 8 * i + half][g] = value(f.b[i], half);
    }
    multiply<16>(m, a, b);
  }, at);
  std::memcpy(c, d.d, sizeof c);
}

inline uint32_t tf32FromFloat(float v) {
  const uint32_t b = bits(v);
  return (b & 0x7F800000u) == 0x7F800000u ? b & ~0x1FFFu : (b + 0x1000u) & ~0x1FFFu;
}

inline void mmaTf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site at) {
  needAllLanes("mmaTf32", at);
  const Result d = collective<Result>(0xFFFFFFFFu, fragments(c, a, b), [](const Meeting& m) {
    float a[16][8], b[8][8];
    for (unsigned lane = 0; lane < 32; lane++) {
      const Fragments& f = m.input<Fragments>(lane);
      const unsigned g = lane / 4, t = lane % 4;
      for (unsigned i = 0; i < 4; i++) a[g + 8 * (i % 2)][t + 4 * (i / 2)] = fromBits(f.a[i] & ~0x1FFFu);
      for (unsigned i = 0; i < 2; i++) b[t + 4 * i][g] = fromBits(f.b[i] & ~0x1FFFu);
    }
    multiply<8>(m, a, b);
  }, at);
  std::memcpy(c, d.d, sizeof c);
}

}  // namespace warpweft::simt
