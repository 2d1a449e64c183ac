#pragma once
// dK and dV: a block has some keys of one key/value head and lets the queries of all heads that share it go by in order. Scores are computed transposed, rows are keys:
// P and dS are then left operands of the products with dY and Q as they lie in registers, and no warp needs another's.
#include "cuda/attention/gradient.cuh"

namespace warpweft::cuda::attention {

// Both results of 256 columns do not fit the registers of a warp: two launches make one each.
enum class Output { both, keys, values };

template <class T, int kWidth> inline constexpr size_t kKeyGradientBytes =
    sizeof(T) * kStride<T, kWidth> * static_cast<size_t>(2 * 16 * BackwardTiles<T, kWidth>::kWarps + 2 * BackwardTiles<T, kWidth>::kStages * BackwardTiles<T, kWidth>::kRows) +
    sizeof(float) * static_cast<size_t>(BackwardTiles<T, kWidth>::kWarps * kExchange<T, 1, BackwardTiles<T, kWidth>::kRows> +
                                        2 * BackwardTiles<T, kWidth>::kStages * BackwardTiles<T, kWidth>::kRows);

template <class T, int kWidth, Output kOutput> __global__ void __launch_bounds__(BackwardTiles<T, kWidth>::kWarps * 32, 1) attentionKeyGradients(BackwardArguments<T> a) {
  using Tiles = BackwardTiles<T, kWidth>;
  constexpr int kRows = 16 * Tiles::kWarps, M = Tiles::kRows, NT = M / 8, DT = kWidth / 8, S = kStride<T, kWidth>, kStages = Tiles::kStages;
  constexpr bool kKeys = kOutput != Output::values, kValues = kOutput != Output::keys;
  WW_SHARED(int, scratch, [2 * Tiles::kWarps]);
  const Problem& p = a.p;
  const int warp = static_cast<int>(warpOfBlock()), g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
  const int group = static_cast<int>(blockIdx.x) % p.groups, rep = p.heads / p.groups;
  Sequence s;
  int first;
  if (!p.find(static_cast<int>(blockIdx.x) / p.groups, kRows, p.keyOffsets, s, first)) return;   // the first keys begin first: the most queries may see them
  const Band band = p.bandOf(s);
  const KeyPadding padding = p.paddingOf(s);
  float keepScale = 1;

  T* keys = sharedMemory<T>();
  T *values = keys + kRows * S, *stages = values + kRows * S;
  float* statistics = reinterpret_cast<float*>(stages + 2 * kStages * M * S);   // [kStages][base, delta][M]
  float* exchange = statistics + 2 * kStages * M + warp * kExchange<T, 1, M>;

  // The tiles of queries that may see one of the keys.
  int from = first, to = lesser(first + kRows, s.keys);
  padding.narrow(from, to, scratch);
  const int firstQuery = from < to ? band.firstQuery(from) / M * M : 0, endQuery = from < to ? band.endQuery(to - 1) : 0;
  const int tiles = endQuery > firstQuery ? (endQuery - firstQuery + M - 1) / M : 0, total = tiles * rep;
  const int firstOfWarp = first + 16 * warp, lastOfWarp = lesser(firstOfWarp + 16, s.keys) - 1;
  const int wholeFrom = band.firstQuery(lastOfWarp), wholeTo = lastOfWarp - firstOfWarp == 15 && !padding ? lesser(s.queries, band.endQuery(firstOfWarp)) : 0;
  Reach<1> reach;
  WW_UNROLL for (int h = 0; h < 2; h++) {
    const int key = firstOfWarp + g + 8 * h;
    reach.low[0][h] = band.firstQuery(key);
    reach.high[0][h] = key < s.keys && !padding.hidden(key) ? band.endQuery(key) : 0;
  }

  const auto load = [&](int n, int stage) {
    const int head = group * rep + n / tiles, query = firstQuery + n % tiles * M;
    WW_UNROLL for (int which = 0; which < 2; which++)
      copyRows<kWidth>(stages + (2 * stage + which) * M * S, M, p.dim, a.vectors, [&](int r) -> const T* {
        return query + r < s.queries ? (which ? a.dy : a.q).at(s.batch, s.firstQuery + query + r, head) : nullptr;
      });
    const int64_t at = (static_cast<int64_t>(s.batch) * p.heads + head) * p.queries + s.firstQuery + query;
    for (int i = static_cast<int>(threadIdx.x); i < 2 * M; i += static_cast<int>(blockDim.x)) {   // those that do not exist are seen by no key
      const bool exists = query + i % M < s.queries;
      cpAsync<4>(statistics + 2 * stage * M + i, exists ? (i < M ? a.base : a.delta) + at + i % M : statistics, exists ? 4 : 0);
    }
    cpAsyncCommit();
  };
  if (total > 0) {
    const auto row = [&](const Heads<const T>& source) {
      return [&, source](int r) -> const T* { return first + r < s.keys && !padding.hidden(first + r) ? source.at(s.batch, s.firstKey + first + r, group) : nullptr; };
    };
    copyRows<kWidth>(keys, kRows, p.dim, a.vectors, row(a.k));
    if (kKeys) copyRows<kWidth>(values, kRows, p.dim, a.vectors, row(a.v));
    load(0, 0);
  }

  float dk[1][kKeys ? DT : 1][4], dv[1][kValues ? DT : 1][4];
  clear(dk);
  clear(dv);
  int stage = 0;
  for (int n = 0; n < total; n++) {
    cpAsyncWait<0>();
    barrier();   // the tile has come, and everybody is done with the one before
    if (kStages == 2 && n + 1 < total) load(n + 1, 1 - stage);
    const int head = group * rep + n / tiles, query = firstQuery + n % tiles * M;
    const T *queries = stages + 2 * stage * M * S, *grads = queries + M * S;
    const float* own = statistics + 2 * stage * M;
    float c[1][NT][4], d[1][NT][4], slope[1][NT][4];
    clear(c);
    clear(d);
    Products<T>::template scores<kWidth>(c, keys + warp * 16 * S, queries);
    if constexpr (kKeys) Products<T>::template scores<kWidth>(d, values + warp * 16 * S, grads);
    scaleScores(c, slope, p.factor, p.cap);
    const Bias bias = p.biasOf<T>(s, head);
    addBias<T>(c, bias, reach, query, bias.query, [&](int, int h) { return (firstOfWarp + g + 8 * h) * bias.key; });
    if (query < wholeFrom || query + M > wholeTo) {   // some key of the warp is not seen by somebody
      uint32_t seen[(NT + 3) / 4];
      WW_UNROLL for (uint32_t& word : seen) word = kAllLanes;
      maskScores(c, reach, query, seen);
    }
    const DropTiles drops = p.dropTilesOf(s, head);
    if (drops.active) keepScale = drops.stream.scale;
    gradientsOf(c, d, drawRowsOfKeys<NT>(drops, query, firstOfWarp), keepScale, [&](int m, int e) {
      const int column = 8 * m + 2 * t + e % 2;
      return Statistics{own[column], own[M + column]};
    });
    if constexpr (kValues) Products<T>::template values<kWidth>(dv, c, grads, exchange);
    if constexpr (kKeys) {
      if (p.cap > 0) multiplyBy(d, slope);
      Products<T>::template values<kWidth>(dk, d, queries, exchange);
    }
    if (kStages == 2) {
      stage = 1 - stage;
    } else if (n + 1 < total) {
      barrier();
      load(n + 1, 0);
    }
  }
  WW_UNROLL for (int h = 0; h < 2; h++) {
    const int key = firstOfWarp + g + 8 * h;
    if (key >= s.keys) continue;
    const auto write = [&](const Heads<T>& to_, const auto& sums, float factor, bool accumulate) {
      if (!to_) return;
      T* row = to_.at(s.batch, s.firstKey + key, group);
      WW_UNROLL for (int i = 0; i < DT; i++) storePair(row, 8 * i + 2 * t, p.dim, a.pairsOfKeys, sums[0][i][2 * h] * factor, sums[0][i][2 * h + 1] * factor, accumulate);
    };
    if constexpr (kKeys) write(a.dk, dk, p.scale, a.addDk);
    if constexpr (kValues) write(a.dv, dv, keepScale, a.addDv);
  }
}

}  // namespace warpweft::cuda::attention
