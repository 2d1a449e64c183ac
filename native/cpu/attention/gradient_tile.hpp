#pragma once
// What both gradient passes share: a block of queries prepared for many tiles, and P and dS of one tile (ops/attention.hpp has the formulas).
#include "cpu/attention/dropout.hpp"
#include "cpu/attention/softmax.hpp"

namespace warpweft::cpu::WW_ISA::attention {

inline constexpr int64_t kBlockPanel = (kTile + kSpare) * kPanel;   // floats of a panel of one block

struct QueryBlock {
  alignas(64) float lse[kTile], delta[kTile];       // lse in units of log 2
  alignas(64) float probabilities[kBlockPanel];     // [key][query]: scores, then m * p without dropout's scale
  alignas(64) float scoreGrads[kBlockPanel];        // [key][query]: dP, then dS, or dU where it is asked for
  alignas(64) float capped[kBlockPanel];            // [key][query]: the tanh of a soft cap
  alignas(64) uint32_t words[kTile / 2 * kPanel];
  float *queries, *grads;                           // transposed, [dim][64]: queryFactor * q, and dy
  float *queryRows, *gradRows;                      // panels of [kTile + kSpare][64]

  static int64_t floats(int64_t dim) { return 4 * panels(dim) * kBlockPanel; }
  void placeAt(float* memory, int64_t dim) {
    const int64_t each = panels(dim) * kBlockPanel;
    queries = memory; grads = memory + each; queryRows = memory + 2 * each; gradRows = memory + 3 * each;
  }
};

// x[i] . y[i] for `rows` rows, one a lane.
template <class T> WW_INLINE F32 rowProducts(Rows<const T> x, Rows<const T> y, int64_t rows, int64_t n) {
  F32 sums[kWidth];
  const int64_t whole = n / kWidth * kWidth;
  for (int64_t i = 0; i < kWidth; i++) {
    F32 s = zero();
    if (i < rows) {
      for (int64_t c = 0; c < whole; c += kWidth) s = fma(load(x[i] + c), load(y[i] + c), s);
      if (whole < n) s = fma(loadPartial(x[i] + whole, n - whole), loadPartial(y[i] + whole, n - whole), s);
    }
    sums[i] = s;
  }
  return sumOfEach(sums);
}

// lse and delta. Queries that do not exist, or see no key, get lse = infinity: all their probabilities are then zeros.
template <class T> void readStatistics(const AttentionBackward& a, const Sequence& s, int64_t head, int64_t query, int64_t queries, QueryBlock& b) {
  const auto dy = rowsOf<const T>(a.dy, s.batch, s.firstQuery + query, head), y = rowsOf<const T>(a.y, s.batch, s.firstQuery + query, head);
  const float* lse = a.lse.as<const float>() + (s.batch * a.q.sizes[2] + head) * a.q.sizes[1] + s.firstQuery + query;
  for (int64_t i = 0; i < kTile; i++) {
    const bool seen = i < queries && lse[i] != -__builtin_inff();
    b.lse[i] = seen ? lse[i] * kLog2e : __builtin_inff();
  }
  for (int64_t i = 0; i < queries; i += kWidth) {
    const F32 products = rowProducts(Rows<const T>{dy[i], dy.stride}, Rows<const T>{y[i], y.stride}, queries - i, a.q.sizes[3]);
    store(b.delta + i, select(eq(load(b.lse + i), splat(__builtin_inff())), zero(), products));
  }
}

template <class T>
void packQueries(const AttentionBackward& a, const Sequence& s, int64_t head, int64_t query, int64_t queries, bool withRows, QueryBlock& b) {
  const int64_t dim = a.q.sizes[3];
  const auto q = rowsOf<const T>(a.q, s.batch, s.firstQuery + query, head), dy = rowsOf<const T>(a.dy, s.batch, s.firstQuery + query, head);
  packTransposed(q, queries, dim, queryFactor(a), b.queries);
  packTransposed(dy, queries, dim, 1.f, b.grads);
  if (withRows) {
    packRows(q, queries, dim, b.queryRows, kBlockPanel, NoneHidden{});
    packRows(dy, queries, dim, b.gradRows, kBlockPanel, NoneHidden{});
  }
  readStatistics<T>(a, s, head, query, queries, b);
}

// What a tile's score gradients are for.
enum class ScoreGrads { none, ofBias, ofProducts };

// From products: probabilities from scores, and scoreGrads, if wanted, from dP, for all vectors of the tile; zeros where a vector sees nothing. `cap`: capFactor.
inline void gradientsOfProducts(const Tile& t, const Mask& mask, const Dropout& dropout, float cap, ScoreGrads wanted, QueryBlock& b) {
  const bool wantGrads = wanted != ScoreGrads::none;
  if (dropout.active) drawWords(dropout, t, b.words);
  const F32 threshold = splat(static_cast<float>(dropout.stream.threshold)), keep = splat(dropout.scale);
  for (int64_t v = 0; v < t.vectors(); v++) {
    float *p = b.probabilities + v * kWidth, *ds = b.scoreGrads + v * kWidth;
    if (cap > 0) capScores(t, v, cap, p, b.capped + v * kWidth);
    maskScores(mask, t, v, p);
    const F32 lse = load(b.lse + v * kWidth), delta = load(b.delta + v * kWidth);
    for (int64_t j = 0; j < t.low[v]; j++) store(p + j * kPanel, zero()), store(ds + j * kPanel, zero());
    if (dropout.active)
      for (int64_t j = t.low[v]; j < t.high[v]; j++) {
        const M32 keeps = kept(b.words + v * kWidth, j, threshold);
        const F32 x = exp2(load(p + j * kPanel) - lse);
        if (wantGrads) store(ds + j * kPanel, x * (andMask(keeps, load(ds + j * kPanel) * keep) - delta));
        store(p + j * kPanel, andMask(keeps, x));
      }
    else
#pragma GCC unroll 2
      for (int64_t j = t.low[v]; j < t.high[v]; j++) {
        const F32 x = exp2(load(p + j * kPanel) - lse);
        if (wantGrads) store(ds + j * kPanel, x * (load(ds + j * kPanel) - delta));
        store(p + j * kPanel, x);
      }
    for (int64_t j = t.high[v]; j < t.keys; j++) store(p + j * kPanel, zero()), store(ds + j * kPanel, zero());
    if (cap > 0 && wanted == ScoreGrads::ofProducts)
      for (int64_t j = t.low[v]; j < t.high[v]; j++) {
        const F32 x = load(b.capped + j * kPanel + v * kWidth);
        store(ds + j * kPanel, load(ds + j * kPanel) * fnma(x, x, splat(1.f)));
      }
  }
}

// Fills probabilities, and scoreGrads if wanted.
inline void gradientTile(const Tile& t, const Mask& mask, const Dropout& dropout, float cap, const float* keys, const float* values, int64_t panelStride, int64_t dim,
                         ScoreGrads wanted, QueryBlock& b) {
  keyProducts(t, 0, t.vectors(), keys, panelStride, b.queries, dim, b.probabilities);
  if (wanted != ScoreGrads::none) keyProducts(t, 0, t.vectors(), values, panelStride, b.grads, dim, b.scoreGrads);
  gradientsOfProducts(t, mask, dropout, cap, wanted, b);
}

// The keys [from, to) of K or V as panels; hidden ones as zeros, whatever they hold.
template <class T>
void packKeys(const View& x, const Sequence& s, int64_t group, const KeyPadding& padding, int64_t from, int64_t to, float* tile, int64_t panelStride) {
  const auto rows = rowsOf<const T>(x, s.batch, s.firstKey + from, group);
  if (padding.flags) packRows(rows, to - from, x.sizes[3], tile, panelStride, [&](int64_t j) { return padding.hidden(from + j); });
  else packRows(rows, to - from, x.sizes[3], tile, panelStride, NoneHidden{});
}

}  // namespace warpweft::cpu::WW_ISA::attention
