#pragma once
// A handful of queries against many keys: generation with a cache of keys and values. Bound by reading K and V once, so they are used where they lie and vector
// lanes run along the head's dimension. Long keys are split over threads, and the parts combined in order.
#include "cpu/attention/softmax.hpp"

namespace warpweft::cpu::WW_ISA::attention {

inline constexpr int64_t kFew = 4;
inline constexpr int64_t kSplitKeys = 512;    // not worth a part below that
inline constexpr int64_t kSplitUnits = 32;    // parts wanted in all; a figure of shape alone, so that the bits do not depend on the threads

WW_INLINE int64_t fewSplits(int64_t units, int64_t keys) {
  return units == 0 ? 1 : maximum(1, minimum(ceilDiv(keys, kSplitKeys), ceilDiv(kSplitUnits, units)));
}
// A part is largest, sum and the unscaled output of each query.
WW_INLINE int64_t partFloats(int64_t queries, int64_t dim) { return queries * (2 + dim); }

struct FewScratch {
  float largest[kFew], sum[kFew];
  alignas(64) float scores[kTile];
  int64_t keys[kTile];     // those of the tile that are attended at all
  float *queries, *result; // [kFew][padded dim]
  static WW_INLINE size_t bytes(int64_t dim) { return sizeof(FewScratch) + static_cast<size_t>(2 * kFew * vectors(dim) * kWidth) * sizeof(float) + 64; }
  static WW_INLINE FewScratch& in(void* memory, int64_t dim) {
    FewScratch& s = *static_cast<FewScratch*>(memory);
    s.queries = reinterpret_cast<float*>(&s + 1);
    s.result = s.queries + kFew * vectors(dim) * kWidth;
    return s;
  }
};

// scores[l] = q . K[keys[l]] for n <= kWidth keys: one vector of partial sums a key, then those are added up together.
template <class T> WW_INLINE F32 dotProducts(const float* q, Rows<const T> k, const int64_t* keys, int64_t n, int64_t dim) {
  F32 sums[kWidth];
  const int64_t whole = dim / kWidth * kWidth;
  for (int64_t l = 0; l < kWidth; l++) {
    F32 s = zero();
    if (l < n) {
      const T* row = k[keys[l]];
      for (int64_t c = 0; c < whole; c += kWidth) s = fma(load(row + c), load(q + c), s);
      if (whole < dim) s = fma(loadPartial(row + whole, dim - whole), load(q + whole), s);
    }
    sums[l] = s;
  }
  return sumOfEach(sums);
}

// result = shrink * result + sum over l of p[l] V[keys[l]].
template <class T> WW_INLINE void addValues(const float* p, Rows<const T> v, const int64_t* keys, int64_t n, int64_t dim, float shrink, float* result) {
  constexpr int kGroup = kWidth == 16 ? 4 : 8;
  const F32 f = splat(shrink);
  int64_t c = 0;
  for (; c + kGroup * kWidth <= dim; c += kGroup * kWidth) {
    F32 sum[kGroup];
#pragma GCC unroll 8
    for (int u = 0; u < kGroup; u++) sum[u] = load(result + c + u * kWidth) * f;
    for (int64_t l = 0; l < n; l++) {
      const T* row = v[keys[l]] + c;
      const F32 weight = splat(p[l]);
#pragma GCC unroll 8
      for (int u = 0; u < kGroup; u++) sum[u] = fma(weight, load(row + u * kWidth), sum[u]);
    }
#pragma GCC unroll 8
    for (int u = 0; u < kGroup; u++) store(result + c + u * kWidth, sum[u]);
  }
  for (; c < dim; c += kWidth) {
    const int64_t left = dim - c;
    F32 sum[2] = {load(result + c) * f, zero()};
    for (int64_t l = 0; l < n; l++) {
      const T* row = v[keys[l]] + c;
      sum[l % 2] = fma(splat(p[l]), left >= kWidth ? load(row) : loadPartial(row, left), sum[l % 2]);
    }
    store(result + c, sum[0] + sum[1]);
  }
}

template <class T> WW_INLINE void packFew(Rows<const T> q, int64_t queries, int64_t dim, float factor, float* packed) {
  for (int64_t i = 0; i < queries; i++)
    for (int64_t c = 0; c < dim; c += kWidth) store(packed + i * vectors(dim) * kWidth + c, loadPartial(q[i] + c, dim - c) * splat(factor));
}

WW_INLINE void fewBias(const View& bias, int64_t query, const int64_t* keys, int64_t n, float* scores) {
  dispatchFloat(bias.dtype, [&]<class T>() {
    const T* row = bias.as<const T>() + query * bias.strides[2];
    for (int64_t l = 0; l < n; l++) scores[l] += toFloat(row[keys[l] * bias.strides[3]]) * kLog2e;
  });
}

// The keys [from, to) for at most kFew queries; leaves largest, sum and result in the scratch.
template <class T>
void fewQueries(Rows<const T> q, Rows<const T> k, Rows<const T> v, const Mask& mask, int64_t queries, int64_t from, int64_t to, int64_t dim, float factor,
                float cap, FewScratch& s) {
  const int64_t row = vectors(dim) * kWidth;
  packFew(q, queries, dim, factor, s.queries);
  for (int64_t i = 0; i < kFew * row; i += kWidth) store(s.result + i, zero());
  for (int64_t i = 0; i < queries; i++) s.largest[i] = -__builtin_inff(), s.sum[i] = 0.f;
  from = maximum(from, mask.band.low(0));
  to = minimum(to, mask.band.high(queries - 1));
  for (int64_t key = from; key < to; key += kTile) {
    int64_t n = 0;
    for (int64_t j = key; j < minimum(key + kTile, to); j++)
      if (!mask.padding.hidden(j)) s.keys[n++] = j;
    for (int64_t i = 0; i < queries; i++) {
      F32 most = splat(-__builtin_inff());
      const int64_t low = mask.band.low(i), high = mask.band.high(i);
      const bool partial = key < low || key + kTile > high;
      for (int64_t l = 0; l < n; l += kWidth) {
        const F32 products = dotProducts(s.queries + i * row, k, s.keys + l, n - l, dim);
        store(s.scores + l, cap > 0 ? tanh(products) * splat(cap) : products);
        for (int64_t u = n; u < l + kWidth; u++) s.scores[u] = -__builtin_inff();
        if (mask.bias) fewBias(mask.bias, i, s.keys + l, minimum(kWidth, n - l), s.scores + l);
        if (partial)
          for (int64_t u = l; u < minimum(l + kWidth, n); u++)
            if (s.keys[u] < low || s.keys[u] >= high) s.scores[u] = -__builtin_inff();
        most = max(most, load(s.scores + l));
      }
      const float before = s.largest[i], tile = maxOf(most), now = tile > before ? tile : before;
      const float base = now == -__builtin_inff() ? 0.f : now;
      float shrink[kWidth];
      store(shrink, exp2(splat(before - base)));
      F32 sum = zero();
      for (int64_t l = 0; l < n; l += kWidth) {
        const F32 p = exp2(load(s.scores + l) - splat(base));
        sum = sum + p;
        store(s.scores + l, p);
      }
      s.largest[i] = now;
      s.sum[i] = s.sum[i] * shrink[0] + warpweft::cpu::WW_ISA::sum(sum);
      addValues(s.scores, v, s.keys, n, dim, shrink[0], s.result + i * row);
    }
  }
}

}  // namespace warpweft::cpu::WW_ISA::attention
