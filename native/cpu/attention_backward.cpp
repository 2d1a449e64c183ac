// Backward attention. A unit is one head and a span of keys: it holds that span's K, V, dK and dV and lets blocks of queries go by, each against tiles of 64 keys:
// five products a tile, nothing larger than a tile is held of P and dS. Spans, and the query heads that share a key/value head, leave partial sums that are added
// in order; both splits depend on shape alone.
#include "ops/attention.hpp"

#include "cpu/attention/backward_tiles.hpp"
#include "cpu/attention/bias_gradient.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

using namespace attention;

constexpr int64_t kWork = int64_t{1} << 19;    // multiply-adds per product of a chunk
constexpr int64_t kUnits = 32;                 // units wanted in all, of which long keys make more
constexpr int64_t kLeastSpan = 256;

// How the work is cut, and where partial sums lie in the workspace: dq [spans][B, Tq, H][D], then dk and dv [B, Tk, H][D], float32.
struct Plan {
  int64_t spans, span;             // key spans of a sequence, and keys in each
  bool grouped;                    // several query heads add to one key/value head
  int64_t queryFloats, keyFloats;  // of one partial dq, and of one partial dk

  explicit Plan(const AttentionBackward& a) {
    const int64_t heads = a.q.sizes[2], units = a.q.sizes[0] * heads, keys = a.k.sizes[1], dim = a.q.sizes[3];
    spans = a.queryOffsets || units == 0 ? 1 : maximum(1, minimum(ceilDiv(keys, kLeastSpan), ceilDiv(kUnits, units)));
    span = ceilDiv(ceilDiv(keys, spans), kTile) * kTile;
    grouped = a.q.sizes[2] != a.k.sizes[2];
    queryFloats = spans > 1 && a.dq ? a.q.sizes[0] * a.q.sizes[1] * heads * dim : 0;
    keyFloats = grouped && (a.dk || a.dv) ? a.q.sizes[0] * keys * heads * dim : 0;
  }
  size_t bytes() const { return static_cast<size_t>(spans * queryFloats + 2 * keyFloats) * sizeof(float); }
};

struct Scratch {
  QueryBlock block;
  float *keys, *values, *keyGrads, *valueGrads;   // panels of [span + kSpare][64]
  float* queryGrads;                              // panels of [kTile + kSpare][64]

  static size_t bytes(int64_t dim, int64_t span) {
    const int64_t floats = QueryBlock::floats(dim) + panels(dim) * (kBlockPanel + 4 * (span + kSpare) * kPanel);
    return sizeof(Scratch) + static_cast<size_t>(floats) * sizeof(float) + 64;
  }
  static Scratch& in(void* memory, int64_t dim, int64_t span) {
    Scratch& s = *static_cast<Scratch*>(memory);
    float* free = reinterpret_cast<float*>(static_cast<char*>(memory) + (sizeof(Scratch) + 63) / 64 * 64);
    s.block.placeAt(free, dim); free += QueryBlock::floats(dim);
    s.queryGrads = free; free += panels(dim) * kBlockPanel;
    const int64_t each = panels(dim) * (span + kSpare) * kPanel;
    s.keys = free; s.values = free + each; s.keyGrads = free + 2 * each; s.valueGrads = free + 3 * each;
    return s;
  }
};

// result[key] += left[key][..] . right: dV from P and dY, dK from dS and Q. `result` is that of the tile's first key.
void addToKeys(const Tile& t, const Band& band, const float* left, const float* right, float* result, int64_t panelStride, int64_t dim) {
  for (int64_t c = 0; c < dim; c += 2 * kWidth) {
    const float* b = right + c / kPanel * kBlockPanel + c % kPanel;
    float* y = result + c / kPanel * panelStride + c % kPanel;
    for (int64_t j = 0; j < t.keys; j += kRows) {
      const int64_t rows = minimum(kRows, t.keys - j);
      const int64_t low = clamp(band.firstQuery(t.key + j) - t.query, 0, t.queries);
      const int64_t high = clamp(band.endQuery(t.key + j + rows - 1, t.query + t.queries) - t.query, low, t.queries);
      if (low < high)
        strip<Left::rows, Start::add>(rows, c + kWidth < dim ? 2 : 1, left + j * kPanel + low, 0, b + low * kPanel, high - low, y + j * kPanel, nullptr);
    }
  }
}

// queryGrads (+)= dS . K over the tile's keys; `keys` is that of the tile's first.
template <Start S> void addToQueries(const Tile& t, const Band& band, const float* scoreGrads, const float* keys, int64_t panelStride, float* queryGrads, int64_t dim) {
  for (int64_t c = 0; c < dim; c += 2 * kWidth) {
    const float* b = keys + c / kPanel * panelStride + c % kPanel;
    float* y = queryGrads + c / kPanel * kBlockPanel + c % kPanel;
    for (int64_t i = 0; i < t.queries; i += kRows) {
      const int64_t rows = minimum(kRows, t.queries - i);
      const int64_t low = clamp(band.low(t.query + i) - t.key, 0, t.keys), high = clamp(band.high(t.query + i + rows - 1) - t.key, low, t.keys);
      if (S == Start::zero || low < high)
        strip<Left::columns, S>(rows, c + kWidth < dim ? 2 : 1, scoreGrads + low * kPanel + i, 0, b + low * kPanel, high - low, y + i * kPanel, nullptr);
    }
  }
}

// Where a unit's results go: to the gradient itself, or to partial sums.
template <class T>
void writeQueryGrads(const AttentionBackward& a, const Plan& plan, const Sequence& s, int64_t head, int64_t span, int64_t query, int64_t queries, const float* grads,
                     float* partial) {
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3];
  for (int64_t i = 0; i < queries; i++) {
    const int64_t place = s.firstQuery + query + i;
    if (plan.spans > 1) {
      float* y = partial + span * plan.queryFloats + ((s.batch * a.q.sizes[1] + place) * heads + head) * dim;
      if (grads) writeRow(y, grads + i * kPanel, kBlockPanel, dim, static_cast<float>(a.scale), false);
      else writeZeros(y, dim);
    } else {
      T* y = rowsOf<T>(a.dq, s.batch, place, head).data;
      if (grads) writeRow(y, grads + i * kPanel, kBlockPanel, dim, static_cast<float>(a.scale), a.dq.accumulate);
      else if (!a.dq.accumulate) writeZeros(y, dim);
    }
  }
}
template <class T>
void writeKeyGrads(const AttentionBackward& a, const Grad& g, const Sequence& s, int64_t head, int64_t first, int64_t count, const float* grads, int64_t panelStride,
                   float factor, float* partial) {
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3];
  const bool grouped = heads != a.k.sizes[2];
  for (int64_t j = 0; j < count; j++) {
    const int64_t place = s.firstKey + first + j;
    if (grouped) {
      float* y = partial + ((s.batch * a.k.sizes[1] + place) * heads + head) * dim;
      if (grads) writeRow(y, grads + j * kPanel, panelStride, dim, factor, false);
      else writeZeros(y, dim);
    } else {
      T* y = rowsOf<T>(g, s.batch, place, head).data;
      if (grads) writeRow(y, grads + j * kPanel, panelStride, dim, factor, g.accumulate);
      else if (!g.accumulate) writeZeros(y, dim);
    }
  }
}

// A unit's keys [first, last), and what padding leaves of them: [from, to).
struct Span { int64_t first, from, to, last; };
Span spanOf(const Plan& plan, const Sequence& s, const Band& band, int64_t span) {
  const int64_t first = minimum(span * plan.span, s.keys), last = plan.spans > 1 ? minimum(first + plan.span, s.keys) : s.keys;
  const int64_t from = clamp(band.begin / kTile * kTile, first, last);
  return {first, from, clamp(band.end, from, last), last};
}

void zeroKeyGrads(const AttentionBackward& a, int64_t keys, float* keyGrads, float* valueGrads, int64_t panelStride) {
  for (int64_t c = 0; c < a.q.sizes[3]; c += kPanel)
    for (int64_t i = 0; i < keys * kPanel; i += kWidth) {
      if (a.dk) store(keyGrads + c / kPanel * panelStride + i, zero());
      if (a.dv) store(valueGrads + c / kPanel * panelStride + i, zero());
    }
}

// dk and dv of a unit; zeros where padding hides.
template <class T>
void writeSpan(const AttentionBackward& a, const Plan& plan, const Sequence& s, int64_t head, const Span& keys, float keep, const float* keyGrads, const float* valueGrads,
               int64_t panelStride, float* partial) {
  const auto write = [&](const Grad& g, const float* grads, float factor, float* to) {
    if (!g) return;
    writeKeyGrads<T>(a, g, s, head, keys.first, keys.from - keys.first, nullptr, panelStride, factor, to);
    writeKeyGrads<T>(a, g, s, head, keys.from, keys.to - keys.from, grads, panelStride, factor, to);
    writeKeyGrads<T>(a, g, s, head, keys.to, keys.last - keys.to, nullptr, panelStride, factor, to);
  };
  float* keyPartial = partial + plan.spans * plan.queryFloats;
  write(a.dk, keyGrads, static_cast<float>(a.scale), keyPartial);
  write(a.dv, valueGrads, keep, keyPartial + plan.keyFloats);
}

template <class T>
void backwardUnit(const AttentionBackward& a, const Plan& plan, const Sequence& sequence, int64_t head, int64_t span, float* partial, Scratch& s, int64_t capacity) {
  const int64_t dim = a.q.sizes[3], group = head / (a.q.sizes[2] / a.k.sizes[2]), panelStride = (capacity + kSpare) * kPanel;
  const Mask mask = maskOf(a, sequence, head);
  const Dropout dropout = dropoutOf(a, sequence, head);
  const auto [first, from, to, last] = spanOf(plan, sequence, mask.band, span);
  const ScoreGrads wanted = a.dq || a.dk ? ScoreGrads::ofProducts : ScoreGrads::none;
  const float cap = capFactor(a);
  packKeys<T>(a.k, sequence, group, mask.padding, from, to, s.keys, panelStride);
  packKeys<T>(a.v, sequence, group, mask.padding, from, to, s.values, panelStride);
  zeroKeyGrads(a, to - from, s.keyGrads, s.valueGrads, panelStride);
  for (int64_t query = 0; query < sequence.queries; query += kTile) {
    const int64_t queries = minimum(kTile, sequence.queries - query);
    const int64_t low = maximum(from, mask.band.low(query)), high = minimum(to, mask.band.high(query + queries - 1));
    if (low < high) {
      packQueries<T>(a, sequence, head, query, queries, true, s.block);
      const int64_t begin = low / kTile * kTile;
      for (int64_t key = begin; key < high; key += kTile) {
        const Tile t = tileOf(mask.band, query, queries, key, minimum(kTile, to - key));   // all keys of the span: addToKeys rounds rows up
        const int64_t row = (key - from) * kPanel;
        gradientTile(t, mask, dropout, cap, s.keys + row, s.values + row, panelStride, dim, wanted, s.block);
        if (a.dv) addToKeys(t, mask.band, s.block.probabilities, s.block.gradRows, s.valueGrads + row, panelStride, dim);
        if (a.dk) addToKeys(t, mask.band, s.block.scoreGrads, s.block.queryRows, s.keyGrads + row, panelStride, dim);
        if (!a.dq) continue;
        if (key == begin) addToQueries<Start::zero>(t, mask.band, s.block.scoreGrads, s.keys + row, panelStride, s.queryGrads, dim);
        else addToQueries<Start::add>(t, mask.band, s.block.scoreGrads, s.keys + row, panelStride, s.queryGrads, dim);
      }
    }
    if (a.dq) writeQueryGrads<T>(a, plan, sequence, head, span, query, queries, low < high ? s.queryGrads : nullptr, partial);
  }
  writeSpan<T>(a, plan, sequence, head, {first, from, to, last}, dropout.scale, s.keyGrads, s.valueGrads, panelStride, partial);
}

#if defined(WW_TILES)
// The same on matrix tiles; false, with nothing done, where some number is not ordinary.
template <class T>
bool backwardUnitTiles(const AttentionBackward& a, const Plan& plan, const Sequence& sequence, int64_t head, int64_t span, float* partial, GradientScratch& s) {
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3];
  const Mask mask = maskOf(a, sequence, head);
  const Dropout dropout = dropoutOf(a, sequence, head);
  const Span keys = spanOf(plan, sequence, mask.band, span);
  const float cap = capFactor(a);
  TileGradients<T> gradients(a, sequence, mask, head, s);
  if (!gradients.takeKeys(keys.from, keys.to)) return false;
  const TileRegisters registers;
  zeroKeyGrads(a, padded(keys.to - keys.from), s.keyGrads, s.valueGrads, s.panelStride);
  for (int64_t query = 0; query < sequence.queries; query += kTile) {
    const int64_t queries = minimum(kTile, sequence.queries - query);
    const int64_t low = maximum(keys.from, mask.band.low(query)), high = minimum(keys.to, mask.band.high(query + queries - 1));
    if (low >= high) {
      if (a.dq) writeQueryGrads<T>(a, plan, sequence, head, span, query, queries, nullptr, partial);
      continue;
    }
    gradients.takeQueries(query, queries);
    for (int64_t key = low / kTile * kTile; key < high; key += kTile)
      gradients.add(tileOf(mask.band, query, queries, key, minimum(kTile, keys.to - key)), dropout, cap, keys.from, keys.to);
    if (!a.dq) continue;
    const float scale = static_cast<float>(a.scale);
    const int64_t place = sequence.firstQuery + query;
    if (plan.spans > 1) {
      float* y = partial + span * plan.queryFloats + ((sequence.batch * a.q.sizes[1] + place) * heads + head) * dim;
      writeColumns(Rows<float>{y, heads * dim}, s.queryGrads, queries, dim, false, [&](int64_t) { return scale; });
    } else {
      writeColumns(rowsOf<T>(a.dq, sequence.batch, place, head), s.queryGrads, queries, dim, a.dq.accumulate, [&](int64_t) { return scale; });
    }
  }
  writeSpan<T>(a, plan, sequence, head, keys, dropout.scale, s.keyGrads, s.valueGrads, s.panelStride, partial);
  return true;
}
#endif

// gradient[row] = sum over p of parts[p * stride + row * dim ..], in order.
template <class T>
void sumParts(const Grad& g, const float* parts, int64_t count, int64_t stride, int64_t rowStep, const Sequences& sequences, const int32_t* offsets, Context& c) {
  const int64_t rows = g.sizes[1], heads = g.sizes[2], dim = g.sizes[3];
  const int64_t begin = offsets ? Sequences::begin(offsets) : 0, end = offsets ? sequences.end(offsets) : rows;
  c.parallelFor(g.sizes[0] * rows * heads, ceilDiv(16384, count * dim), [&](int64_t from, int64_t to, int) {
    for (int64_t n = from; n < to; n++) {
      const int64_t batch = n / heads / rows, row = n / heads % rows;
      if (row < begin || row >= end) continue;
      T* y = rowsOf<T>(g, batch, row, n % heads).data;
      const float* x = parts + n * rowStep;
      for (int64_t d = 0; d < dim; d += kWidth) {
        const int64_t left = dim - d;
        F32 total = loadPartial(x + d, left);
        for (int64_t p = 1; p < count; p++) total = total + loadPartial(x + p * stride + d, left);
        storePartial(y + d, g.accumulate ? loadPartial(y + d, left) + total : total, left);
      }
    }
  });
}

template <class T> void zeroRows(const Grad& g, int64_t begin, int64_t end) {
  if (!g || g.accumulate) return;
  for (int64_t b = 0; b < g.sizes[0]; b++)
    for (int64_t i = begin; i < end; i++)
      for (int64_t h = 0; h < g.sizes[2]; h++) writeZeros(rowsOf<T>(g, b, i, h).data, g.sizes[3]);
}

template <class T> void runTyped(const AttentionBackward& a, Context& c) {
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3];
  const Sequences sequences = sequencesOf(a, c);
  if (a.biasGrad) {
    if (a.biasGrad.dtype == DType::f32) runBiasGradient<T, float>(a, sequences, c);
    else runBiasGradient<T, T>(a, sequences, c);
  }
  if (!a.dq && !a.dk && !a.dv) return;
  if (!sequences.valid) {
    zeroRows<T>(a.dq, 0, a.q.sizes[1]); zeroRows<T>(a.dk, 0, a.k.sizes[1]); zeroRows<T>(a.dv, 0, a.k.sizes[1]);
    return;
  }
  if (sequences.packed()) {   // what no sequence owns
    const auto outside = [&](const Grad& g, const int32_t* offsets) {
      zeroRows<T>(g, 0, Sequences::begin(offsets));
      if (g) zeroRows<T>(g, sequences.end(offsets), g.sizes[1]);
    };
    outside(a.dq, sequences.queryOffsets); outside(a.dk, sequences.keyOffsets); outside(a.dv, sequences.keyOffsets);
  }
  const Plan plan(a);
  float* partial = static_cast<float*>(c.workspace());
  const int64_t capacity = sequences.packed() ? ceilDiv(sequences.keys, kTile) * kTile : plan.span;
  size_t bytes = Scratch::bytes(dim, capacity);
#if defined(WW_TILES)
  const bool tiles = takesTiles(sequences.queries, dim);
  if (tiles && GradientScratch::bytes(dim, capacity) > bytes) bytes = GradientScratch::bytes(dim, capacity);
#endif
  const int64_t work = maximum(1, sequences.queries) * maximum(1, minimum(plan.span, sequences.keys)) * maximum(1, dim);
  c.parallelFor(sequences.count * heads * plan.spans, maximum(1, kWork / work), [&](int64_t begin, int64_t end, int thread) {
    void* memory = c.threadScratch(thread, bytes);
    for (int64_t n = begin; n < end; n++) {
      const Sequence sequence = sequences[n / plan.spans / heads];
      const int64_t head = n / plan.spans % heads, span = n % plan.spans;
#if defined(WW_TILES)
      if (tiles && backwardUnitTiles<T>(a, plan, sequence, head, span, partial, GradientScratch::in(memory, dim, capacity))) continue;
#endif
      backwardUnit<T>(a, plan, sequence, head, span, partial, Scratch::in(memory, dim, capacity), capacity);
    }
  });
  if (a.dq && plan.spans > 1) sumParts<T>(a.dq, partial, plan.spans, plan.queryFloats, dim, sequences, sequences.queryOffsets, c);
  if (plan.grouped) {
    const int64_t rep = heads / a.k.sizes[2];
    const float* parts = partial + plan.spans * plan.queryFloats;
    if (a.dk) sumParts<T>(a.dk, parts, rep, dim, rep * dim, sequences, sequences.keyOffsets, c);
    if (a.dv) sumParts<T>(a.dv, parts + plan.keyFloats, rep, dim, rep * dim, sequences, sequences.keyOffsets, c);
  }
}

size_t workspace(const AttentionBackward& a) { return Plan(a).bytes(); }

void run(const AttentionBackward& a, Context& c) {
  dispatchFloat(a.q.dtype, [&]<class T>() { runTyped<T>(a, c); });
}

}  // namespace
WW_KERNEL_WITH_WORKSPACE(AttentionBackward)

}  // namespace warpweft::cpu::WW_ISA
