#pragma once
// Forward attention on the processor's matrix tiles. A thread makes operands of the K and V of a head, and has them in its second cache level while the blocks of
// queries that use them go by. Scores are made transposed, [key][query], as elsewhere, and so is the result, [dim][query]: the softmax's shrinking is then one
// multiplication a vector, and probabilities turn into an operand row by row.
#include "cpu/attention/dropout.hpp"
#include "cpu/attention/softmax.hpp"
#include "cpu/attention/tile_operands.hpp"

#if defined(WW_TILES)

namespace warpweft::cpu::WW_ISA::attention {

struct TileScratch {
  Online online;
  alignas(64) float scores[kTile * kPanel];
  alignas(64) uint32_t words[kTile / 2 * kPanel];
  alignas(64) uint16_t probabilities[kPatch * kTile * 3];
  float* result;       // [padded dim][kPanel]
  uint16_t* queries;   // of a block
  uint16_t *keys, *values;   // of a whole sequence and head, V by columns
  bool* ordinary;            // of each kTile keys

  static size_t bytes(int64_t dim, int64_t keyCount, int terms) {
    return sizeof(TileScratch) + static_cast<size_t>(padded(dim) * kPanel * 4 + operandSize(kTile, dim, kScoreTerms) * 2 + 2 * operandSize(keyCount, dim, terms) * 2 + ceilDiv(keyCount, kTile)) + 64;
  }
  static TileScratch& in(void* memory, int64_t dim, int64_t keyCount, int terms) {
    TileScratch& s = *static_cast<TileScratch*>(memory);
    s.result = reinterpret_cast<float*>(static_cast<char*>(memory) + (sizeof(TileScratch) + 63) / 64 * 64);
    s.queries = reinterpret_cast<uint16_t*>(s.result + padded(dim) * kPanel);
    s.keys = s.queries + operandSize(kTile, dim, kScoreTerms);
    s.values = s.keys + operandSize(keyCount, dim, terms);
    s.ordinary = reinterpret_cast<bool*>(s.values + operandSize(keyCount, dim, terms));
    return s;
  }
};

// The operands of the keys [from, to) of a key/value head, from a multiple of kTile.
template <class T> void packKeysAndValues(const Attention& a, const Sequence& s, int64_t group, const KeyPadding& padding, int64_t from, int64_t to, TileScratch& scratch) {
  const int64_t dim = a.q.sizes[3], steps = patches(to - from);
  for (int64_t key = from; key < to; key += kTile) {
    Inspection seen;
    const auto pack = [&](auto hidden) {
      const OperandRows<T, decltype(hidden)> k{rowsOf<const T>(a.k, s.batch, s.firstKey + key, group), minimum(kTile, to - key), dim, 1.f, hidden},
          v{rowsOf<const T>(a.v, s.batch, s.firstKey + key, group), minimum(kTile, to - key), dim, 1.f, hidden};
      packLines<kTerms<T>>(k, scratch.keys + (key - from) / kTileLines * blockSize(dim, kTerms<T>), seen);
      packColumns<kTerms<T>>(v, (key - from) / kPatch, steps, scratch.values, seen);
    };
    if (padding.flags) pack([&](int64_t j) { return padding.hidden(key + j); });
    else pack(NoneHidden{});
    scratch.ordinary[(key - from) / kTile] = seen.ordinary();
  }
}

// Turns the scores of vector v over the keys [from, to), whole patches of the tile, into probabilities as onlineSoftmax does, and those into an operand's block.
template <int N>
void softmaxPairs(const Tile& t, int64_t v, int64_t from, int64_t to, float* scores, Online& o, const Dropout& dropout, const uint32_t* words, uint16_t* block) {
  const int64_t low = t.low[v], high = t.high[v];
  const F32 never = splat(-__builtin_inff()), before = load(o.largest + v * kWidth);
  for (int64_t j = from; j < low; j++) store(scores + j * kPanel, never);
  for (int64_t j = maximum(high, from); j < to; j++) store(scores + j * kPanel, never);
  F32 largest[4] = {before, never, never, never};
  for (int64_t j = from; j < to; j += 4)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) largest[u] = max(largest[u], load(scores + (j + u) * kPanel));
  const F32 now = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
  const F32 base = select(eq(now, never), zero(), now);
  const F32 shrink = exp2(before - base), threshold = splat(static_cast<float>(dropout.stream.threshold));
  F32 even = load(o.sum + v * kWidth) * shrink, odd = zero();
  for (int64_t begin = from; begin < to; begin += kTileDepth, block += N * kTileHalves)
#pragma GCC unroll 2
    for (int64_t j = begin; j < begin + kTileDepth; j += 2) {
      F32 p = exp2(load(scores + j * kPanel) - base), q = exp2(load(scores + (j + 1) * kPanel) - base);
      even = even + p;
      odd = odd + q;
      if (dropout.active) p = andMask(kept(words, j, threshold), p), q = andMask(kept(words, j + 1, threshold), q);
      storePairs<N>(p, q, block + (j - begin) / 2 * kTileDepth);
    }
  store(o.largest + v * kWidth, now);
  store(o.sum + v * kWidth, even + odd);
  store(o.shrink + v * kWidth, shrink);
}

WW_INLINE void shrinkColumns(float* result, const float* shrink, int64_t dim) {
  const F32 x = load(shrink), y = load(shrink + kWidth);
  if (all(eq(x, splat(1.f))) && all(eq(y, splat(1.f)))) return;
  for (int64_t d = 0; d < dim; d++, result += kPanel) {
    store(result, load(result) * x);
    store(result + kWidth, load(result + kWidth) * y);
  }
}

// One block of queries against the keys [from, to) that packKeysAndValues made operands of; leaves result, largest and sum in the scratch. False where a number of
// the queries or of the tiles of keys that they see is not ordinary: of no others, for which these are depends on the threads.
template <class T>
bool forwardTiles(const Attention& a, const Sequence& sequence, const Mask& mask, const Dropout& dropout, int64_t head, int64_t query, int64_t from, int64_t to, TileScratch& s) {
  constexpr int kOwn = kTerms<T>, kScore = kScoreTerms, kFactor = kFactorTerms<T>;
  const int64_t dim = a.q.sizes[3], queries = minimum(kTile, sequence.queries - query), lanes = padded(queries);
  const int64_t begin = maximum(from, mask.band.low(query) / kTile * kTile), end = mask.band.high(query + queries - 1);
  for (int64_t key = begin; key < end; key += kTile)
    if (!s.ordinary[(key - from) / kTile]) return false;
  Inspection seen;
  packPairedRows<kScore>(OperandRows<T, NoneHidden>{rowsOf<const T>(a.q, sequence.batch, sequence.firstQuery + query, head), queries, dim, queryFactor(a), {}}, s.queries, seen);
  if (!seen.ordinary()) return false;

  const TileRegisters registers;
  const int64_t kBlock = blockSize(dim, kOwn), qBlock = blockSize(dim, kScore), vBlock = blockSize(to - from, kOwn), pBlock = kTile * kTileLines * kFactor;
  const float cap = capFactor(a);
  reset(s.online);
  for (int64_t i = 0; i < padded(dim) * kPanel; i += kWidth) store(s.result + i, zero());
  for (int64_t key = begin; key < end; key += kTile) {
    const Tile t = tileOf(mask.band, query, queries, key, minimum(kTile, end - key));
    if (dropout.active) drawWords(dropout, t, s.words);
    for (int64_t i = 0; i < lanes; i += kPatch) {
      const int64_t first = i / kWidth, vectors = minimum(2, t.vectors() - first);
      const int64_t low = t.low[first] / kPatch * kPatch, high = padded(t.high[first + vectors - 1]);
      if (t.low[first] >= t.high[first + vectors - 1]) continue;
      for (int64_t j = low; j < high; j += kPatch)
        tileProduct<kOwn, kScore>(s.keys + (key - from + j) / kTileLines * kBlock, kBlock, s.queries + first * qBlock, qBlock, patches(dim), s.scores + j * kPanel + i, kPanel, false);
      for (int64_t w = first; w < first + 2; w++) {
        float* scores = s.scores + w * kWidth;
        uint16_t* block = s.probabilities + (w - first) * pBlock;
        if (w >= t.vectors()) {
          for (int64_t u = 0; u < (high - low) * kTileLines * kFactor; u += kTileDepth) store(reinterpret_cast<float*>(block + u), zero());
          store(s.online.shrink + w * kWidth, splat(1.f));
          continue;
        }
        if (cap > 0) capScores(t, w, cap, scores);
        maskScores(mask, t, w, scores);
        softmaxPairs<kFactor>(t, w, low, high, scores, s.online, dropout, s.words + w * kWidth, block);
      }
      shrinkColumns(s.result + i, s.online.shrink + i, dim);
      for (int64_t d = 0; d < dim; d += kPatch)
        tileProduct<kOwn, kFactor>(s.values + d / kTileLines * vBlock + (key - from + low) / kTileDepth * kOwn * kTileHalves, vBlock, s.probabilities, pBlock, (high - low) / kTileDepth,
                                   s.result + d * kPanel + i, kPanel, true);
    }
  }
  return true;
}

}  // namespace warpweft::cpu::WW_ISA::attention

#endif
