// Forward attention: a block of 64 queries goes over tiles of 64 keys with an online softmax; no scores but those of a tile are ever held. Blocks are independent. A
// thread packs K and V of a head once and has them in its second cache level while the blocks of queries that use them go by.
#include "ops/attention.hpp"

#include "cpu/attention/dropout.hpp"
#include "cpu/attention/few_queries.hpp"
#include "cpu/attention/forward_tiles.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

using namespace attention;

constexpr int64_t kWork = int64_t{1} << 20;   // multiply-adds of a chunk: some 30 microseconds

struct Scratch {
  Online online;
  alignas(64) float scores[(kTile + kSpare) * kPanel];
  alignas(64) uint32_t words[kTile / 2 * kPanel];
  float *queries, *result;   // [dim][64]; panels of [64 + kSpare][64]
  float *keys, *values;      // panels of [keyCount + kSpare][64]
  int64_t keyPanel;          // floats of such a panel

  static constexpr int64_t kPanelFloats = (kTile + kSpare) * kPanel;
  static int64_t keyFloats(int64_t keyCount) { return (ceilDiv(keyCount, kTile) * kTile + kSpare) * kPanel; }
  static size_t bytes(int64_t dim, int64_t keyCount) {
    return sizeof(Scratch) + static_cast<size_t>(2 * panels(dim) * (kPanelFloats + keyFloats(keyCount))) * sizeof(float) + 64;
  }
  static Scratch& in(void* memory, int64_t dim, int64_t keyCount) {
    Scratch& s = *static_cast<Scratch*>(memory);
    s.keyPanel = keyFloats(keyCount);
    s.queries = reinterpret_cast<float*>(static_cast<char*>(memory) + (sizeof(Scratch) + 63) / 64 * 64);
    s.result = s.queries + panels(dim) * kPanelFloats;
    s.keys = s.result + panels(dim) * kPanelFloats;
    s.values = s.keys + panels(dim) * s.keyPanel;
    return s;
  }
};

// result (+)= P V for the queries [from, to) of the tile; `values` is that of the tile's first key.
template <Start S> void addTile(const Tile& t, const Band& band, int64_t from, int64_t to, const float* values, const Scratch& s, int64_t dim) {
  for (int64_t c = 0; c < dim; c += 2 * kWidth) {
    const int64_t column = c / kPanel * Scratch::kPanelFloats + c % kPanel, valueColumn = c / kPanel * s.keyPanel + c % kPanel;
    const int pair = c + kWidth < dim ? 2 : 1;
    for (int64_t i = from; i < to; i += kRows) {
      const int64_t rows = minimum(kRows, to - i);
      const int64_t low = clamp(band.low(t.query + i) - t.key, 0, t.keys), high = clamp(band.high(t.query + i + rows - 1) - t.key, low, t.keys);
      if (S == Start::scale && low == high) continue;
      strip<Left::columns, S>(rows, pair, s.scores + low * kPanel + i, 0, values + valueColumn + low * kPanel, high - low, s.result + column + i * kPanel,
                              s.online.shrink + i);
    }
  }
}

// lse of consecutive queries from `query`; its rows are contiguous.
void writeLse(const Attention& a, const Sequence& s, int64_t head, int64_t query, int64_t queries, const float* largest, const float* sum) {
  if (!a.lse) return;
  float* lse = a.lse.as<float>() + (s.batch * a.q.sizes[2] + head) * a.q.sizes[1] + s.firstQuery + query;
  for (int64_t i = 0; i < queries; i += kWidth) {
    const int64_t n = queries - i;
    storePartial(lse + i, fma(loadPartial(largest + i, n), splat(kLn2), log(loadPartial(sum + i, n))), n);
  }
}
template <class T> void writeResult(T* y, const float* result, int64_t panelStride, int64_t dim, float sum, float keep) {
  if (sum == 0.f) writeZeros(y, dim);
  else writeRow(y, result, panelStride, dim, keep / sum, false);
}

// K and V of the keys [from, to) of a key/value head, hidden ones as zeros.
template <class T> void packKeysAndValues(const Attention& a, const Sequence& sequence, int64_t group, const KeyPadding& padding, int64_t from, int64_t to, Scratch& s) {
  const auto pack = [&](const View& x, float* tile) {
    const auto rows = rowsOf<const T>(x, sequence.batch, sequence.firstKey + from, group);
    if (padding.flags) packRows(rows, to - from, x.sizes[3], tile, s.keyPanel, [&](int64_t j) { return padding.hidden(from + j); });
    else packRows(rows, to - from, x.sizes[3], tile, s.keyPanel, NoneHidden{});
  };
  pack(a.k, s.keys);
  pack(a.v, s.values);
}

// A block of queries against the packed keys, of which the first is `from`.
template <class T>
void forwardBlock(const Attention& a, const Sequence& sequence, const Mask& mask, const Dropout& dropout, int64_t head, int64_t query, int64_t from, Scratch& s) {
  constexpr int64_t kPair = 2;   // vectors of queries that are done with a tile before the next: their scores stay in the first cache level
  const int64_t dim = a.q.sizes[3], queries = minimum(kTile, sequence.queries - query);
  packTransposed(rowsOf<const T>(a.q, sequence.batch, sequence.firstQuery + query, head), queries, dim, queryFactor(a), s.queries);
  reset(s.online);
  const float cap = capFactor(a);
  const F32 threshold = splat(static_cast<float>(dropout.stream.threshold));
  const int64_t begin = mask.band.low(query) / kTile * kTile, end = mask.band.high(query + queries - 1);
  for (int64_t key = begin; key < end; key += kTile) {
    const Tile t = tileOf(mask.band, query, queries, key, minimum(kTile, end - key));
    const float *keys = s.keys + (key - from) * kPanel, *values = s.values + (key - from) * kPanel;
    if (dropout.active) drawWords(dropout, t, s.words);
    for (int64_t first = 0; first < t.vectors(); first += kPair) {
      const int64_t last = minimum(first + kPair, t.vectors()), lastQuery = minimum(last * kWidth, queries);
      keyProducts(t, first, last, keys, s.keyPanel, s.queries, dim, s.scores);
      for (int64_t i = first; i < last; i++) {
        float* scores = s.scores + i * kWidth;
        if (cap > 0) capScores(t, i, cap, scores);
        maskScores(mask, t, i, scores);
        onlineSoftmax(t, i, scores, s.online);
        if (dropout.active)
          for (int64_t j = t.low[i]; j < t.high[i]; j++)
            store(scores + j * kPanel, andMask(kept(s.words + i * kWidth, j, threshold), load(scores + j * kPanel)));
      }
      if (key == begin) addTile<Start::zero>(t, mask.band, first * kWidth, lastQuery, values, s, dim);
      else addTile<Start::scale>(t, mask.band, first * kWidth, lastQuery, values, s, dim);
    }
  }
  const Rows<T> y = rowsOf<T>(a.y, sequence.batch, sequence.firstQuery + query, head);
  for (int64_t i = 0; i < queries; i++) writeResult(y[i], s.result + i * kPanel, Scratch::kPanelFloats, dim, s.online.sum[i], dropout.scale);
  writeLse(a, sequence, head, query, queries, s.online.largest, s.online.sum);
}

// The keys that the queries [first, last] see, from a multiple of kTile on.
struct KeyRange { int64_t from, to; };
KeyRange keysOf(const Band& band, int64_t first, int64_t last) {
  const int64_t from = band.low(first) / kTile * kTile;
  return {from, maximum(from, band.high(last))};
}

// The queries [first, last] of the query heads [head, lastHead] of a key/value head.
template <class T> void forwardHeads(const Attention& a, const Sequence& sequence, int64_t head, int64_t lastHead, int64_t first, int64_t last, Scratch& s) {
  const KeyPadding padding = paddingOf(a, sequence);
  const KeyRange keys = keysOf(maskOf(a, sequence, head).band, first, last);
  packKeysAndValues<T>(a, sequence, head / (a.q.sizes[2] / a.k.sizes[2]), padding, keys.from, keys.to, s);
  for (; head <= lastHead; head++) {
    const Mask mask = maskOf(a, sequence, head);
    const Dropout dropout = dropoutOf(a, sequence, head);
    for (int64_t query = first; query <= last; query += kTile) forwardBlock<T>(a, sequence, mask, dropout, head, query, keys.from, s);
  }
}

#if defined(WW_TILES)
// The same on matrix tiles, but for blocks with numbers that are not ordinary.
template <class T>
void forwardHeadsTiles(const Attention& a, const Sequence& sequence, int64_t head, int64_t lastHead, int64_t first, int64_t last, TileScratch& s, Scratch& plain) {
  const Band band = maskOf(a, sequence, head).band;
  KeyRange keys = keysOf(band, first, last);
  keys.to = maximum(keys.to, minimum(ceilDiv(keys.to, kTile) * kTile, band.end));   // whole tiles, whose numbers decide what may go here
  packKeysAndValues<T>(a, sequence, head / (a.q.sizes[2] / a.k.sizes[2]), paddingOf(a, sequence), keys.from, keys.to, s);
  for (; head <= lastHead; head++) {
    const Mask mask = maskOf(a, sequence, head);
    const Dropout dropout = dropoutOf(a, sequence, head);
    for (int64_t query = first; query <= last; query += kTile) {
      const int64_t queries = minimum(kTile, sequence.queries - query);
      if (!forwardTiles<T>(a, sequence, mask, dropout, head, query, keys.from, keys.to, s)) {
        forwardHeads<T>(a, sequence, head, head, query, query + queries - 1, plain);
        continue;
      }
      writeColumns(rowsOf<T>(a.y, sequence.batch, sequence.firstQuery + query, head), s.result, queries, a.q.sizes[3], false,
                   [&](int64_t i) { return s.online.sum[i] == 0.f ? 0.f : dropout.scale / s.online.sum[i]; });
      writeLse(a, sequence, head, query, queries, s.online.largest, s.online.sum);
    }
  }
}
#endif

template <class T> void fewRange(const Attention& a, const Sequence& s, int64_t head, int64_t from, int64_t to, FewScratch& scratch) {
  const int64_t group = head / (a.q.sizes[2] / a.k.sizes[2]);
  const auto q = rowsOf<const T>(a.q, s.batch, s.firstQuery, head);
  const auto k = rowsOf<const T>(a.k, s.batch, s.firstKey, group), v = rowsOf<const T>(a.v, s.batch, s.firstKey, group);
  fewQueries(q, k, v, maskOf(a, s, head), s.queries, from, to, a.q.sizes[3], queryFactor(a), capFactor(a), scratch);
}
template <class T> void fewWhole(const Attention& a, const Sequence& s, int64_t head, void* memory) {
  const int64_t dim = a.q.sizes[3], row = vectors(dim) * kWidth;
  FewScratch& scratch = FewScratch::in(memory, dim);
  fewRange<T>(a, s, head, 0, s.keys, scratch);
  // The result is one run of columns: as panels, each goes on where the one before ends.
  const Rows<T> y = rowsOf<T>(a.y, s.batch, s.firstQuery, head);
  for (int64_t i = 0; i < s.queries; i++) writeResult(y[i], scratch.result + i * row, kPanel, dim, scratch.sum[i], 1.f);
  writeLse(a, s, head, 0, s.queries, scratch.largest, scratch.sum);
}

// With one query, the query heads that share a key/value head are queries of that head: they see the same keys, which are then read once.
Attention headsAsQueries(Attention a) {
  const int64_t rep = a.k.sizes[2] ? a.q.sizes[2] / a.k.sizes[2] : 1;
  if (a.q.sizes[1] != 1 || rep == 1 || a.queryOffsets || a.dropout > 0) return a;
  const auto regroup = [&](View& v) { v.sizes[1] = rep; v.strides[1] = v.strides[2]; v.sizes[2] /= rep; v.strides[2] *= rep; };
  regroup(a.q); regroup(a.y);
  if (a.bias) { a.bias.sizes[1] /= rep; a.bias.sizes[2] = rep; a.bias.strides[2] = a.bias.strides[1]; a.bias.strides[1] *= rep; }
  if (a.window > 0 && a.window < a.k.sizes[1]) {
    const int64_t gone = a.k.sizes[1] - a.window;
    const auto drop = [&](View& v, int d) { if (v) v.data = v.as<char>() + gone * v.strides[d] * sizeOf(v.dtype), v.sizes[d] -= gone; };
    drop(a.k, 1); drop(a.v, 1); drop(a.keyPadding, 1); drop(a.bias, 3);
  }
  a.causal = false; a.window = 0;
  return a;
}

bool isFew(const Attention& a, int64_t queries) { return queries <= kFew && !(a.dropout > 0); }

size_t workspace(const Attention& original) {
  const Attention a = headsAsQueries(original);
  const int64_t units = a.q.sizes[0] * a.q.sizes[2], queries = a.q.sizes[1], splits = fewSplits(units, a.k.sizes[1]);
  if (a.queryOffsets || !isFew(a, queries) || splits == 1) return 0;
  return static_cast<size_t>(units * splits * partFloats(queries, a.q.sizes[3])) * sizeof(float);
}

template <class T> void runSplit(const Attention& a, const Sequences& sequences, int64_t splits, Context& c) {
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3], queries = sequences.queries, units = sequences.count * heads, row = vectors(dim) * kWidth;
  const int64_t span = ceilDiv(ceilDiv(sequences.keys, splits), kTile) * kTile, floats = partFloats(queries, dim);
  float* parts = static_cast<float*>(c.workspace());
  c.parallelFor(units * splits, 1, [&](int64_t begin, int64_t end, int thread) {
    FewScratch& s = FewScratch::in(c.threadScratch(thread, FewScratch::bytes(dim)), dim);
    for (int64_t n = begin; n < end; n++) {
      const int64_t unit = n / splits, from = n % splits * span;
      fewRange<T>(a, sequences[unit / heads], unit % heads, from, minimum(from + span, sequences.keys), s);
      float* part = parts + n * floats;
      for (int64_t i = 0; i < queries; i++) {
        part[i] = s.largest[i]; part[queries + i] = s.sum[i];
        for (int64_t d = 0; d < dim; d++) part[2 * queries + i * dim + d] = s.result[i * row + d];
      }
    }
  });
  c.parallelFor(units, ceilDiv(kWork / 16, floats * splits), [&](int64_t begin, int64_t end, int thread) {
    FewScratch& s = FewScratch::in(c.threadScratch(thread, FewScratch::bytes(dim)), dim);
    for (int64_t unit = begin; unit < end; unit++)
      for (int64_t i = 0; i < queries; i++) {
        const float* part = parts + unit * splits * floats;
        float largest = -__builtin_inff(), sum = 0.f, lanes[kWidth];
        for (int64_t p = 0; p < splits; p++) largest = part[p * floats + i] > largest ? part[p * floats + i] : largest;
        for (int64_t d = 0; d < row; d++) s.result[d] = 0.f;
        for (int64_t p = 0; p < splits; p++) {
          const float* x = part + p * floats;
          store(lanes, exp2(splat(x[i] - (largest == -__builtin_inff() ? 0.f : largest))));
          sum += lanes[0] * x[queries + i];
          for (int64_t d = 0; d < dim; d++) s.result[d] += lanes[0] * x[2 * queries + i * dim + d];
        }
        const Sequence sequence = sequences[unit / heads];
        writeResult(rowsOf<T>(a.y, sequence.batch, i, unit % heads).data, s.result, kPanel, dim, sum, 1.f);
        writeLse(a, sequence, unit % heads, i, 1, &largest, &sum);
      }
  });
}

template <class T> void writeUnseen(const Attention& a, int64_t batch, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++)
    for (int64_t h = 0; h < a.q.sizes[2]; h++) {
      writeZeros(rowsOf<T>(a.y, batch, i, h).data, a.q.sizes[3]);
      if (a.lse) a.lse.as<float>()[(batch * a.q.sizes[2] + h) * a.q.sizes[1] + i] = -__builtin_inff();
    }
}

template <class T> void runTyped(const Attention& a, Context& c) {
  const int64_t heads = a.q.sizes[2], dim = a.q.sizes[3], total = a.q.sizes[1];
  const Sequences sequences = sequencesOf(a, c);
  if (!sequences.valid) return writeUnseen<T>(a, 0, 0, total);
  if (sequences.packed()) {
    writeUnseen<T>(a, 0, 0, Sequences::begin(sequences.queryOffsets));
    writeUnseen<T>(a, 0, sequences.end(sequences.queryOffsets), total);
  } else if (const int64_t splits = fewSplits(sequences.count * heads, sequences.keys); isFew(a, sequences.queries) && splits > 1) {
    return runSplit<T>(a, sequences, splits, c);
  }
  // Units are heads of keys and values, in parts where there are few of them. Results do not depend on the cut, so that threads may decide it.
  const int64_t groups = a.k.sizes[2], rep = groups ? heads / groups : 0, units = sequences.count * groups, blocks = ceilDiv(sequences.queries, kTile);
  const int64_t parts = minimum(blocks, ceilDiv(4 * c.threads(), maximum(1, units)));
  const int64_t work = ceilDiv(sequences.queries, maximum(1, parts)) * maximum(1, sequences.keys) * dim * rep, plain = ceilDiv(static_cast<int64_t>(Scratch::bytes(dim, sequences.keys) + FewScratch::bytes(dim)), 64) * 64;
  size_t bytes = static_cast<size_t>(plain);
#if defined(WW_TILES)
  const bool tiles = takesTiles(sequences.queries, dim);
  if (tiles) bytes += TileScratch::bytes(dim, sequences.keys, kTerms<T>);
#endif
  c.parallelFor(units * parts, maximum(1, kWork / maximum(1, work)), [&](int64_t begin, int64_t end, int thread) {
    char* memory = static_cast<char*>(c.threadScratch(thread, bytes));
    for (int64_t n = begin; n < end; n++) {
      const Sequence sequence = sequences[n / parts / groups];
      const int64_t head = n / parts % groups * rep, part = parts - 1 - n % parts;   // under a causal mask the last part has most to do: it goes first
      const int64_t first = blocks * part / parts * kTile, last = minimum(blocks * (part + 1) / parts * kTile, sequence.queries) - 1;
      if (first > last) continue;
      if (isFew(a, sequence.queries)) {
        for (int64_t h = head; h < head + rep; h++) fewWhole<T>(a, sequence, h, memory);
        continue;
      }
#if defined(WW_TILES)
      if (tiles) {
        forwardHeadsTiles<T>(a, sequence, head, head + rep - 1, first, last, TileScratch::in(memory + plain, dim, sequences.keys, kTerms<T>), Scratch::in(memory, dim, sequences.keys));
        continue;
      }
#endif
      forwardHeads<T>(a, sequence, head, head + rep - 1, first, last, Scratch::in(memory, dim, sequences.keys));
    }
  });
}

void run(const Attention& given, Context& c) {
  if (given.q.numel() == 0 && !(given.lse && given.lse.numel())) return;
  const Attention a = headsAsQueries(given);
  dispatchFloat(a.q.dtype, [&]<class T>() { runTyped<T>(a, c); });
}

}  // namespace
WW_KERNEL_WITH_WORKSPACE(Attention)

}  // namespace warpweft::cpu::WW_ISA
