#pragma once
// The gradient of the bias: dS, summed over what the bias was broadcast along. A pass of its own, because batch rows and heads that share a bias are
// different units of the main pass: here a unit owns a tile of the bias and goes over all that use it, in order. It recomputes two of the five products.
#include "cpu/attention/gradient_tile.hpp"

namespace warpweft::cpu::WW_ISA::attention {

struct BiasScratch {
  QueryBlock block;
  alignas(64) float total[kTile * kPanel];   // [key][query]
  float *keys, *values;

  static size_t bytes(int64_t dim) {
    return sizeof(BiasScratch) + static_cast<size_t>(QueryBlock::floats(dim) + 2 * panels(dim) * kBlockPanel) * sizeof(float) + 64;
  }
  static BiasScratch& in(void* memory, int64_t dim) {
    BiasScratch& s = *static_cast<BiasScratch*>(memory);
    float* free = reinterpret_cast<float*>(static_cast<char*>(memory) + (sizeof(BiasScratch) + 63) / 64 * 64);
    s.block.placeAt(free, dim);
    s.keys = free + QueryBlock::floats(dim);
    s.values = s.keys + panels(dim) * kBlockPanel;
    return s;
  }
};

// Adds dS of one head to the total of the tile at (query, key); nothing where the tile is masked.
template <class T> void addScoreGrads(const AttentionBackward& a, const Sequence& s, int64_t head, int64_t query, int64_t key, BiasScratch& scratch) {
  const int64_t dim = a.q.sizes[3], queries = minimum(kTile, s.queries - query), group = head / (a.q.sizes[2] / a.k.sizes[2]);
  const Mask mask = maskOf(a, s, head);
  const int64_t end = minimum(minimum(key + kTile, s.keys), mask.band.high(query + queries - 1));
  if (end <= maximum(key, mask.band.low(query))) return;
  const Tile t = tileOf(mask.band, query, queries, key, end - key);
  packQueries<T>(a, s, head, query, queries, false, scratch.block);
  packKeys<T>(a.k, s, group, mask.padding, key, end, scratch.keys, kBlockPanel);
  packKeys<T>(a.v, s, group, mask.padding, key, end, scratch.values, kBlockPanel);
  gradientTile(t, mask, dropoutOf(a, s, head), capFactor(a), scratch.keys, scratch.values, kBlockPanel, dim, ScoreGrads::ofBias, scratch.block);
  for (int64_t v = 0; v < t.vectors(); v++)
    for (int64_t j = t.low[v]; j < t.high[v]; j++) {
      float* total = scratch.total + j * kPanel + v * kWidth;
      store(total, load(total) + load(scratch.block.scoreGrads + j * kPanel + v * kWidth));
    }
}

template <class T> WW_INLINE void addTo(T* element, float x) { *element = fromFloat<T>(toFloat(*element) + x); }

template <class T, class Bias> void runBiasGradient(const AttentionBackward& a, const Sequences& sequences, Context& c) {
  const View& g = a.biasGrad;
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3];
  const int64_t rows = g.sizes[0] * g.sizes[1] * g.sizes[2];
  if (!a.biasGrad.accumulate)
    c.parallelFor(rows, ceilDiv(16384, maximum(1, g.sizes[3])), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; r++) {
        const int64_t batchAndHead = r / g.sizes[2];
        Bias* x = g.as<Bias>() + batchAndHead / g.sizes[1] * g.strides[0] + batchAndHead % g.sizes[1] * g.strides[1] + r % g.sizes[2] * g.strides[2];
        for (int64_t j = 0; j < g.sizes[3]; j++) x[j * g.strides[3]] = fromFloat<Bias>(0.f);
      }
    });
  if (!sequences.valid || a.q.numel() == 0) return;
  // A bias that is broadcast has one element for all batch rows, heads or queries, though the tensor may itself have only one of them.
  const bool perBatch = sequences.packed() || g.sizes[0] == sequences.count, perHead = g.sizes[1] == heads;
  const bool perQuery = g.sizes[2] == a.q.sizes[1];
  const int64_t unitBatches = perBatch ? sequences.count : 1, unitHeads = perHead ? heads : 1, allBlocks = ceilDiv(sequences.queries, kTile);
  const int64_t blocks = perQuery ? allBlocks : 1, tiles = ceilDiv(sequences.keys, kTile);
  c.parallelFor(unitBatches * unitHeads * blocks * tiles, 1, [&](int64_t begin, int64_t end, int thread) {
    BiasScratch& s = BiasScratch::in(c.threadScratch(thread, BiasScratch::bytes(dim)), dim);
    for (int64_t n = begin; n < end; n++) {
      const int64_t key = n % tiles * kTile, block = n / tiles % blocks, head = n / tiles / blocks % unitHeads, batch = n / tiles / blocks / unitHeads;
      for (int64_t i = 0; i < kTile * kPanel; i += kWidth) store(s.total + i, zero());
      for (int64_t b = perBatch ? batch : 0; b < (perBatch ? batch + 1 : sequences.count); b++)
        for (int64_t h = perHead ? head : 0; h < (perHead ? head + 1 : heads); h++)
          for (int64_t q = perQuery ? block : 0; q < (perQuery ? block + 1 : allBlocks); q++) {
            const Sequence sequence = sequences[b];
            if (q * kTile < sequence.queries && key < sequence.keys) addScoreGrads<T>(a, sequence, h, q * kTile, key, s);
          }
      const Sequence first = sequences[batch];
      Bias* x = g.as<Bias>() + (sequences.packed() ? 0 : batch) * g.strides[0] + head * g.strides[1] + (first.firstKey + key) * g.strides[3];
      const int64_t query = block * kTile, keys = minimum(kTile, first.keys - key), queries = minimum(kTile, first.queries - query);
      for (int64_t j = 0; j < keys; j++) {
        const float* total = s.total + j * kPanel;
        if (perQuery) {
          for (int64_t i = 0; i < queries; i++) addTo(x + (first.firstQuery + query + i) * g.strides[2] + j * g.strides[3], total[i]);
        } else {
          F32 lanes = zero();
          for (int64_t i = 0; i < kPanel; i += kWidth) lanes = lanes + load(total + i);
          addTo(x + j * g.strides[3], sum(lanes));
        }
      }
    }
  });
}

}  // namespace warpweft::cpu::WW_ISA::attention
