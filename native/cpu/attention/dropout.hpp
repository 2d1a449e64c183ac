#pragma once
// Dropout's numbers for tiles of 16 x 16 (ops/attention.hpp has the numbering), laid out for scores whose vector lanes are queries.
#include "cpu/attention/mask.hpp"

namespace warpweft::cpu::WW_ISA::attention {

inline constexpr int64_t kDropTile = 16;
static_assert(kTile % kDropTile == 0 && kDropTile % kWidth == 0);

struct Dropout {
  bool active = false;
  DropoutStream stream{};
  uint64_t firstTile = 0;     // of this sequence and head
  int64_t tileColumns = 0;
  float scale = 1.f;          // of what is kept
};

template <class Op> Dropout dropoutOf(const Op& a, const Sequence& s, int64_t head) {
  Dropout d;
  if (!(a.dropout > 0)) return d;
  d.active = true;
  d.stream = DropoutStream::from(a.rng.template as<const int64_t>(), a.call, a.dropout);
  d.tileColumns = ceilDiv(a.k.sizes[1], kDropTile);
  d.firstTile = static_cast<uint64_t>((s.number * a.q.sizes[2] + head) * ceilDiv(a.q.sizes[1], kDropTile) * d.tileColumns);
  d.scale = d.stream.scale;
  return d;
}

// words[key / 2][query]: the numbers of an even key and of the odd one behind it, in the low and the high half.
inline void drawTile(const DropoutStream& s, uint64_t tile, uint32_t* words) {
  constexpr int n = 32;
  uint32_t c0[n], c1[n], c2[n], c3[n];
  const uint64_t group = tile * n;
  const uint32_t high = s.rank ^ (static_cast<uint32_t>(group >> 32) << 16);
  for (int i = 0; i < n; i++) {   // i = t * 8 + r
    c0[i] = static_cast<uint32_t>(group) + static_cast<uint32_t>(i % 8 * 4 + i / 8);
    c1[i] = s.call; c2[i] = s.step; c3[i] = high;
  }
  uint32_t k0 = s.philox.key0, k1 = s.philox.key1;
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < n; i++) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[i], p1 = uint64_t{0xCD9E8D57u} * c2[i];
      c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(p1);
      c3[i] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
  }
  for (int t = 0; t < 4; t++)
    for (int r = 0; r < 8; r++) {
      words[t * kPanel + r] = c0[t * 8 + r];
      words[t * kPanel + 8 + r] = c1[t * 8 + r];
      words[(t + 4) * kPanel + r] = c2[t * 8 + r];
      words[(t + 4) * kPanel + 8 + r] = c3[t * 8 + r];
    }
}

// The words of all that the queries of a tile see: [kTile / 2][kPanel].
inline void drawWords(const Dropout& d, const Tile& t, uint32_t* words) {
  for (int64_t i = 0; i < t.queries; i += kDropTile) {
    const int64_t v = i / kWidth, w = minimum(t.vectors(), (i + kDropTile) / kWidth) - 1;
    for (int64_t j = t.low[v] / kDropTile * kDropTile; j < t.high[w]; j += kDropTile) {
      const int64_t tile = (t.query + i) / kDropTile * d.tileColumns + (t.key + j) / kDropTile;
      drawTile(d.stream, d.firstTile + static_cast<uint64_t>(tile), words + j / 2 * kPanel + i);
    }
  }
}

// Which lanes of (key, vector) are kept; `words` points at the vector's first query.
WW_INLINE M32 kept(const uint32_t* words, int64_t key, F32 threshold) {
  const I32 pair = asInt(load(reinterpret_cast<const float*>(words + key / 2 * kPanel)));
  return ge(toFloat(key % 2 ? shiftRight<16>(pair) : pair & splatInt(0xFFFF)), threshold);
}

}  // namespace warpweft::cpu::WW_ISA::attention
