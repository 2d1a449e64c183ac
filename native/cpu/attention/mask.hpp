#pragma once
// Which keys a query sees, and the scores of a tile with mask and bias applied.
#include "cpu/attention/products.hpp"
#include "cpu/attention/sequence.hpp"

namespace warpweft::cpu::WW_ISA::attention {

inline constexpr float kLog2e = 1.44269504088896341f, kLn2 = 0.693147180559945309f;
inline constexpr int64_t kTileVectors = kTile / kWidth;

struct KeyPadding {
  const char* flags = nullptr;   // of the sequence's first key
  int64_t stride = 0;            // bytes
  bool wide = false;             // int32

  WW_INLINE bool hidden(int64_t key) const {
    if (!flags) return false;
    const char* p = flags + key * stride;
    return wide ? *reinterpret_cast<const int32_t*>(p) == 0 : *p == 0;
  }
};

// The keys [low(i), high(i)) of query i; both ends never fall as i grows. All positions count from the sequence's start.
struct Band {
  int64_t begin, end;     // first and last attended key of the padding
  int64_t offset;         // keys - queries
  int64_t window;         // 0: none
  bool causal;

  WW_INLINE int64_t low(int64_t i) const { return window ? maximum(begin, i + offset - window + 1) : begin; }
  WW_INLINE int64_t high(int64_t i) const { return causal ? minimum(end, i + offset + 1) : end; }
  // The queries of [0, n) that may see one of the keys [first, last].
  WW_INLINE int64_t firstQuery(int64_t first) const { return causal ? maximum(0, first - offset) : 0; }
  WW_INLINE int64_t endQuery(int64_t last, int64_t n) const { return window ? minimum(n, last - offset + window) : n; }
};

struct Mask {
  Band band;
  KeyPadding padding;
  View bias;               // of this sequence and head: element (i, j) at i * strides[2] + j * strides[3] from data; rank -1 where there is none
};

template <class Op> KeyPadding paddingOf(const Op& a, const Sequence& s) {
  if (!a.keyPadding) return {};
  const View& v = a.keyPadding;
  const int64_t bytes = sizeOf(v.dtype);
  return {v.as<const char>() + (s.batch * v.strides[0] + s.firstKey * v.strides[1]) * bytes, v.strides[1] * bytes, v.dtype == DType::i32};
}

template <class Op> Mask maskOf(const Op& a, const Sequence& s, int64_t head) {
  Mask m;
  const int64_t reach = s.queries + s.keys;
  m.band = {0, s.keys, s.keys - s.queries, a.window < reach ? a.window : 0, a.causal};
  m.padding = paddingOf(a, s);
  if (m.padding.flags) {
    while (m.band.begin < m.band.end && m.padding.hidden(m.band.begin)) m.band.begin++;
    while (m.band.end > m.band.begin && m.padding.hidden(m.band.end - 1)) m.band.end--;
  }
  m.bias = a.bias;
  if (a.bias) {
    const View& v = a.bias;
    m.bias.data = v.as<char>() + (s.batch * v.strides[0] + head * v.strides[1] + s.firstQuery * v.strides[2] + s.firstKey * v.strides[3]) * sizeOf(v.dtype);
  }
  return m;
}

// A block of queries against a tile of keys. Vector v holds the queries [v * kWidth, …) of the block, which together see the keys [low[v], high[v]) of the tile.
struct Tile {
  int64_t query, queries;   // first query of the block, and how many
  int64_t key, keys;        // first key of the tile, and how many
  int64_t low[kTileVectors], high[kTileVectors];

  WW_INLINE int64_t vectors() const { return ceilDiv(queries, kWidth); }
  WW_INLINE int64_t firstOf(int64_t v) const { return query + v * kWidth; }
  WW_INLINE int64_t lastOf(int64_t v) const { return query + minimum(queries, (v + 1) * kWidth) - 1; }
};

WW_INLINE int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

inline Tile tileOf(const Band& band, int64_t query, int64_t queries, int64_t key, int64_t keys) {
  Tile t{query, queries, key, keys, {}, {}};
  for (int64_t v = 0; v < t.vectors(); v++) {
    t.low[v] = clamp(band.low(t.firstOf(v)) - key, 0, keys);
    t.high[v] = clamp(band.high(t.lastOf(v)) - key, t.low[v], keys);
  }
  return t;
}

// products[key][query] of the vectors [first, last) of the tile for the keys that each pair of them needs: scores from K and transposed queries, or dP from V and
// transposed dY.
inline void keyProducts(const Tile& t, int64_t first, int64_t last, const float* rows, int64_t rowsPanel, const float* transposed, int64_t dim, float* products) {
  for (int64_t v = first; v < last;) {
    // Two vectors share the loads of K. Where they see different keys, wide vectors go one by one: a product of one is then no slower, and computes less.
    const bool same = v + 1 < last && t.low[v] == t.low[v + 1] && t.high[v] == t.high[v + 1];
    const int count = v + 1 < last && (same || kWidth < 16) ? 2 : 1;
    const int64_t low = count == 2 ? minimum(t.low[v], t.low[v + 1]) : t.low[v], high = count == 2 ? maximum(t.high[v], t.high[v + 1]) : t.high[v];
    if (low < high)
      strip<Left::rows, Start::zero>(high - low, count, rows + low * kPanel, rowsPanel, transposed + v * kWidth, dim, products + low * kPanel + v * kWidth, nullptr);
    v += count;
  }
}

// scores[key][lane] += bias * log2 e for one vector of `lanes` queries and keys [low, high).
template <class T> void addBias(const T* bias, int64_t queryStride, int64_t keyStride, int64_t lanes, int64_t low, int64_t high, float* scores) {
  const F32 factor = splat(kLog2e);
  if (queryStride == 0) {
    for (int64_t j = low; j < high; j++) store(scores + j * kPanel, fma(splat(toFloat(bias[j * keyStride])), factor, load(scores + j * kPanel)));
    return;
  }
  for (int64_t j = low; j < high; j += kWidth) {
    F32 block[kWidth];
    const int64_t n = minimum(kWidth, high - j);
    for (int64_t i = 0; i < kWidth; i++) {
      const T* row = bias + i * queryStride + j * keyStride;
      if (i >= lanes) block[i] = zero();
      else if (keyStride == 1) block[i] = n == kWidth ? load(row) : loadPartial(row, n);
      else {
        float gathered[kWidth] = {};
        for (int64_t l = 0; l < n; l++) gathered[l] = toFloat(row[l * keyStride]);
        block[i] = load(gathered);
      }
    }
    transpose(block);
    for (int64_t l = 0; l < n; l++) store(scores + (j + l) * kPanel, fma(block[l], factor, load(scores + (j + l) * kPanel)));
  }
}

// What q is multiplied by so that q . k is a score in units of log 2, or with a soft cap the argument of its tanh.
template <class Op> WW_INLINE float queryFactor(const Op& a) {
  return a.softcap > 0 ? static_cast<float>(a.scale / a.softcap) : static_cast<float>(a.scale) * kLog2e;
}
// Of a tanh, the score in units of log 2; 0 where there is no soft cap.
template <class Op> WW_INLINE float capFactor(const Op& a) { return static_cast<float>(a.softcap) * kLog2e; }

// Scores of vector v from the arguments of their tanh. `kept`, if given, gets the tanh itself.
inline void capScores(const Tile& t, int64_t v, float factor, float* scores, float* kept = nullptr) {
  for (int64_t j = t.low[v]; j < t.high[v]; j++) {
    const F32 x = tanh(load(scores + j * kPanel));
    if (kept) store(kept + j * kPanel, x);
    store(scores + j * kPanel, x * splat(factor));
  }
}

// Bias and mask on the scores (in units of log 2) of vector v; what no query of the vector sees is left alone.
inline void maskScores(const Mask& m, const Tile& t, int64_t v, float* scores) {
  const int64_t low = t.low[v], high = t.high[v], first = t.firstOf(v), last = t.lastOf(v);
  if (m.bias)
    dispatchFloat(m.bias.dtype, [&]<class T>() {
      const T* bias = m.bias.as<const T>() + first * m.bias.strides[2] + t.key * m.bias.strides[3];
      addBias(bias, m.bias.strides[2], m.bias.strides[3], last - first + 1, low, high, scores);
    });
  const F32 never = splat(-__builtin_inff());
  const auto partial = [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j++) {
      const int64_t diagonal = t.key + j - m.band.offset - first;   // the lane whose last key under the causal mask is j
      F32 s = load(scores + j * kPanel);
      if (m.band.causal) s = select(ge(iota(), splat(static_cast<float>(diagonal))), s, never);
      if (m.band.window) s = select(lt(iota(), splat(static_cast<float>(diagonal + m.band.window))), s, never);
      store(scores + j * kPanel, s);
    }
  };
  const int64_t seenByAll = clamp(m.band.high(first) - t.key, low, high), unseenBySome = clamp(m.band.low(last) - t.key, low, high);
  if (unseenBySome < seenByAll) partial(low, unseenBySome), partial(seenByAll, high);
  else if (m.band.causal || m.band.window) partial(low, high);
  if (m.padding.flags)
    for (int64_t j = low; j < high; j++)
      if (m.padding.hidden(t.key + j)) store(scores + j * kPanel, never);
}

}  // namespace warpweft::cpu::WW_ISA::attention
