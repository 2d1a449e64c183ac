#pragma once
// Backward attention on the processor's matrix tiles: the operands of a unit's span of keys, of a block of queries, and of a tile's P and dS; and the five products.
#include "cpu/attention/gradient_tile.hpp"
#include "cpu/attention/tile_operands.hpp"

#if defined(WW_TILES)

namespace warpweft::cpu::WW_ISA::attention {

inline constexpr int64_t kTilePatches = kTile / kPatch;

struct GradientScratch {
  QueryBlock block;
  alignas(64) uint16_t probabilities[kTile * kTile * 3], scoreGrads[kTile * kTile * 3], scoreGradPairs[kTile * kTile * 3];
  uint16_t *keys, *values, *keyColumns;                          // of the span
  uint16_t *queries, *grads, *queryPairs, *gradPairs;            // of the block
  float *queryGrads;                                             // [padded dim][kPanel]
  float *keyGrads, *valueGrads;                                  // panels of [span][kPanel]
  int64_t panelStride;

  static size_t bytes(int64_t dim, int64_t span) {
    return sizeof(GradientScratch) + static_cast<size_t>(3 * operandSize(span, dim, 3) + 4 * operandSize(kTile, dim, 3)) * 2 +
           static_cast<size_t>(padded(dim) * kPanel + 2 * panels(dim) * span * kPanel) * 4 + 128;
  }
  static GradientScratch& in(void* memory, int64_t dim, int64_t span) {
    GradientScratch& s = *static_cast<GradientScratch*>(memory);
    uint16_t* free = reinterpret_cast<uint16_t*>(static_cast<char*>(memory) + (sizeof(GradientScratch) + 63) / 64 * 64);
    for (uint16_t** operand : {&s.keys, &s.values, &s.keyColumns}) *operand = free, free += operandSize(span, dim, 3);
    for (uint16_t** operand : {&s.queries, &s.grads, &s.queryPairs, &s.gradPairs}) *operand = free, free += operandSize(kTile, dim, 3);
    s.queryGrads = reinterpret_cast<float*>(free);
    s.panelStride = span * kPanel;
    s.keyGrads = s.queryGrads + padded(dim) * kPanel;
    s.valueGrads = s.keyGrads + panels(dim) * s.panelStride;
    return s;
  }
};

template <class T> Inspection inspected(Rows<const T> rows, int64_t count, int64_t columns) {
  Inspection seen;
  for (int64_t r = 0; r < count; r++)
    for (int64_t c = 0; c < columns; c += kWidth) (void)seen(loadFrom(rows[r], c, columns));
  return seen;
}

// The patches of a tile: of 32 queries, the keys [low, high) that some of them see, in whole patches; and of 32 keys, the patches of queries that see some of them.
struct Patches {
  int64_t low[kTilePatches], high[kTilePatches];

  explicit Patches(const Tile& t) : low{}, high{} {
    for (int64_t p = 0; p < patches(t.queries); p++) {
      const int64_t first = p * kPatch / kWidth, last = minimum(first + 1, t.vectors() - 1);
      if (t.low[first] < t.high[last]) low[p] = t.low[first] / kPatch * kPatch, high[p] = padded(t.high[last]);
    }
  }
  WW_INLINE bool sees(int64_t p, int64_t key) const { return key >= low[p] && key < high[p]; }
  WW_INLINE int64_t firstOf(int64_t key) const { return sees(0, key) ? 0 : 1; }
  WW_INLINE int64_t endOf(int64_t key) const { return sees(1, key) ? 2 : sees(0, key) ? 1 : 0; }
};
static_assert(kTilePatches == 2);

// P or dS of a tile, [key][query], as left operand (lines: keys) and as right one (lines: queries; depth: keys).
template <int N> void packFactors(const Tile& t, const Patches& seen, const float* x, uint16_t* lines, uint16_t* pairs) {
  for (int64_t p = 0; p < patches(t.queries); p++) {
    const int64_t i = p * kPatch;
    const bool two = i + kWidth < t.queries;
    for (int64_t j = seen.low[p]; j < seen.high[p]; j += 2) {
      const float* row = x + j * kPanel + i;
      const bool even = j < t.keys, odd = j + 1 < t.keys;
      const F32 a = even ? load(row) : zero(), b = even && two ? load(row + kWidth) : zero();
      const F32 c = odd ? load(row + kPanel) : zero(), d = odd && two ? load(row + kPanel + kWidth) : zero();
      if (lines) {
        uint16_t* to = lines + ((j / kTileLines * kTilePatches + p) * N * kTileLines + j % kTileLines) * kTileDepth;
        storeLine<N>(a, b, to);
        storeLine<N>(c, d, to + kTileDepth);
      }
      if (pairs) {
        uint16_t* to = pairs + ((i / kTileLines * kTilePatches + j / kTileDepth) * N * kTileLines + j % kTileDepth / 2) * kTileDepth;
        storePairs<N>(a, c, to);
        storePairs<N>(b, d, to + kTilePatches * N * kTileHalves);
      }
    }
  }
}

// Adds factors . right to the gradients of the tile's keys, [key][dim] in panels: P and dY to dV, dS and Q to dK. `result` is that of the tile's first key.
template <int N, int M>
void addToKeys(const Tile& t, const Patches& seen, const uint16_t* factors, const uint16_t* right, float* result, int64_t panelStride, int64_t dim) {
  const int64_t block = kTilePatches * N * kTileHalves, rightBlock = blockSize(t.queries, M);
  for (int64_t j = 0; j < t.keys; j += kPatch) {
    const int64_t first = seen.firstOf(j), end = seen.endOf(j);
    if (first >= end) continue;
    for (int64_t d = 0; d < dim; d += kPatch)
      tileProduct<N, M>(factors + j / kTileLines * block + first * N * kTileHalves, block, right + d / kTileLines * rightBlock + first * M * kTileHalves, rightBlock, end - first,
                        result + d / kPanel * panelStride + j * kPanel + d % kPanel, kPanel, true);
  }
}

template <class T> struct TileGradients {
  static constexpr int kOwn = kTerms<T>, kFactor = kFactorTerms<T>;
  const AttentionBackward& a;
  const Sequence& sequence;
  const Mask& mask;
  int64_t head, dim, group;
  GradientScratch& s;
  bool wanted;   // dS at all

  TileGradients(const AttentionBackward& op, const Sequence& of, const Mask& m, int64_t h, GradientScratch& scratch)
      : a(op), sequence(of), mask(m), head(h), dim(op.q.sizes[3]), group(h / (op.q.sizes[2] / op.k.sizes[2])), s(scratch), wanted(op.dq || op.dk) {}

  // The operands of the keys [from, to). False where some number is not ordinary, of these or of any query; or where dS, which is made of dy and v, may be so small that
  // its products with k and q lose their parts (of bfloat16 these are lost in any case).
  bool takeKeys(int64_t from, int64_t to) {
    const Inspection ofQueries = inspected(rowsOf<const T>(a.q, sequence.batch, sequence.firstQuery, head), sequence.queries, dim);
    const Inspection ofGrads = inspected(rowsOf<const T>(a.dy, sequence.batch, sequence.firstQuery, head), sequence.queries, dim);
    if (!ofQueries.ordinary() || !ofGrads.ordinary()) return false;
    Inspection ofKeys, ofValues;
    const auto pack = [&](auto hidden) {
      const OperandRows<T, decltype(hidden)> k{rowsOf<const T>(a.k, sequence.batch, sequence.firstKey + from, group), to - from, dim, 1.f, hidden},
          v{rowsOf<const T>(a.v, sequence.batch, sequence.firstKey + from, group), to - from, dim, 1.f, hidden};
      packLines<kOwn>(k, s.keys, ofKeys);
      packLines<kOwn>(v, s.values, ofValues);
      if (a.dq) packColumns<kOwn>(k, 0, patches(to - from), s.keyColumns, ofKeys);
    };
    if (mask.padding.flags) pack([&](int64_t j) { return mask.padding.hidden(from + j); });
    else pack(NoneHidden{});
    if (!ofKeys.ordinary() || !ofValues.ordinary()) return false;
    const float ofScores = ofGrads.least() * ofValues.least();
    return kOwn == 1 || (ofScores * ofKeys.least() >= kLeastProduct && ofScores * ofQueries.least() >= kLeastProduct);
  }

  void takeQueries(int64_t query, int64_t queries) {
    Inspection seen;
    const auto q = rowsOf<const T>(a.q, sequence.batch, sequence.firstQuery + query, head), dy = rowsOf<const T>(a.dy, sequence.batch, sequence.firstQuery + query, head);
    const OperandRows<T, NoneHidden> rows{q, queries, dim, 1.f, {}}, grads{dy, queries, dim, 1.f, {}};
    packPairedRows<kScoreTerms>(OperandRows<T, NoneHidden>{q, queries, dim, queryFactor(a), {}}, s.queries, seen);
    if (wanted) packPairedRows<kOwn>(grads, s.grads, seen);
    if (a.dk) packPairs<kOwn>(rows, s.queryPairs, seen);
    if (a.dv) packPairs<kOwn>(grads, s.gradPairs, seen);
    readStatistics<T>(a, sequence, head, query, queries, s.block);
    if (a.dq) for (int64_t i = 0; i < padded(dim) * kPanel; i += kWidth) store(s.queryGrads + i, zero());
  }

  // A tile of the span [from, to).
  void add(const Tile& t, const Dropout& dropout, float cap, int64_t from, int64_t to) {
    const Patches seen(t);
    const int64_t keyBlock = blockSize(dim, kOwn), queryBlock = blockSize(dim, kScoreTerms), columnBlock = blockSize(to - from, kOwn), row = t.key - from, steps = patches(dim);
    for (int64_t p = 0; p < patches(t.queries); p++)
      for (int64_t j = seen.low[p]; j < seen.high[p]; j += kPatch) {
        const int64_t place = (row + j) / kTileLines * keyBlock, scores = j * kPanel + p * kPatch;
        tileProduct<kOwn, kScoreTerms>(s.keys + place, keyBlock, s.queries + 2 * p * queryBlock, queryBlock, steps, s.block.probabilities + scores, kPanel, false);
        if (wanted) tileProduct<kOwn, kOwn>(s.values + place, keyBlock, s.grads + 2 * p * keyBlock, keyBlock, steps, s.block.scoreGrads + scores, kPanel, false);
      }
    gradientsOfProducts(t, mask, dropout, cap, wanted ? ScoreGrads::ofProducts : ScoreGrads::none, s.block);
    if (a.dv) {
      packFactors<kFactor>(t, seen, s.block.probabilities, s.probabilities, nullptr);
      addToKeys<kFactor, kOwn>(t, seen, s.probabilities, s.gradPairs, s.valueGrads + row * kPanel, s.panelStride, dim);
    }
    if (wanted) packFactors<kFactor>(t, seen, s.block.scoreGrads, a.dk ? s.scoreGrads : nullptr, a.dq ? s.scoreGradPairs : nullptr);
    if (a.dk) addToKeys<kFactor, kOwn>(t, seen, s.scoreGrads, s.queryPairs, s.keyGrads + row * kPanel, s.panelStride, dim);
    if (!a.dq) return;
    constexpr int64_t kBlock = kTilePatches * kFactor * kTileHalves;
    for (int64_t p = 0; p < patches(t.queries); p++)
      for (int64_t d = 0; d < dim && seen.low[p] < seen.high[p]; d += kPatch)
        tileProduct<kOwn, kFactor>(s.keyColumns + d / kTileLines * columnBlock + (row + seen.low[p]) / kTileDepth * kOwn * kTileHalves, columnBlock,
                                   s.scoreGradPairs + 2 * p * kBlock + seen.low[p] / kTileDepth * kFactor * kTileHalves, kBlock, (seen.high[p] - seen.low[p]) / kTileDepth,
                                   s.queryGrads + d * kPanel + p * kPatch, kPanel, true);
  }
};

}  // namespace warpweft::cpu::WW_ISA::attention

#endif
