#pragma once
// dQ: as forward, a block has some queries of one head and lets keys and values go by in order, so that nothing is added by two blocks.
#include "cuda/attention/gradient.cuh"

namespace warpweft::cuda::attention {

template <class T, int kWidth> inline constexpr size_t kQueryGradientBytes =
    sizeof(T) * kStride<T, kWidth> * static_cast<size_t>(2 * 16 * BackwardTiles<T, kWidth>::kWarps + 2 * BackwardTiles<T, kWidth>::kStages * BackwardTiles<T, kWidth>::kRows) +
    sizeof(float) * static_cast<size_t>(BackwardTiles<T, kWidth>::kWarps * kExchange<T, 1, BackwardTiles<T, kWidth>::kRows>);

template <class T, int kWidth> __global__ void __launch_bounds__(BackwardTiles<T, kWidth>::kWarps * 32, 1) attentionQueryGradient(BackwardArguments<T> a) {
  using Tiles = BackwardTiles<T, kWidth>;
  constexpr int kRows = 16 * Tiles::kWarps, N = Tiles::kRows, NT = N / 8, DT = kWidth / 8, S = kStride<T, kWidth>, kStages = Tiles::kStages, kSeen = (N + 31) / 32;
  WW_SHARED(int, scratch, [2 * Tiles::kWarps]);
  const Problem& p = a.p;
  const int warp = static_cast<int>(warpOfBlock()), g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
  const int head = static_cast<int>(blockIdx.x) % p.heads, group = head / (p.heads / p.groups);
  Sequence s;
  int first;
  if (!p.find(a.queryBlocks - 1 - static_cast<int>(blockIdx.x) / p.heads, kRows, p.queryOffsets, s, first)) return;   // the last queries begin first: they may see the most
  const Band band = p.bandOf(s);
  const KeyPadding padding = p.paddingOf(s);
  const Bias bias = p.biasOf<T>(s, head);
  const DropTiles drops = p.dropTilesOf(s, head);
  const float keepScale = drops.active ? drops.stream.scale : 1.f;

  T* queries = sharedMemory<T>();
  T *grads = queries + kRows * S, *stages = grads + kRows * S;
  float* exchange = reinterpret_cast<float*>(stages + 2 * kStages * N * S) + warp * kExchange<T, 1, N>;

  int from = band.low(first), to = greater(from, band.high(lesser(first + kRows, s.queries) - 1));
  padding.narrow(from, to, scratch);
  from = from / N * N;
  const int firstOfWarp = first + 16 * warp, lastOfWarp = lesser(firstOfWarp + 16, s.queries) - 1;
  const int wholeFrom = band.low(lastOfWarp), wholeTo = lastOfWarp - firstOfWarp == 15 && !padding ? lesser(to, band.high(firstOfWarp)) : 0;
  Reach<1> reach;
  Statistics statistics[2];
  WW_UNROLL for (int h = 0; h < 2; h++) {
    const int query = firstOfWarp + g + 8 * h;
    reach.low[0][h] = band.low(query);
    reach.high[0][h] = query < s.queries ? lesser(to, band.high(query)) : 0;
    statistics[h] = statisticsOf(a, s, head, query);
  }

  const auto load = [&](int key, int stage) {
    WW_UNROLL for (int which = 0; which < 2; which++)
      copyRows<kWidth>(stages + (2 * stage + which) * N * S, N, p.dim, a.vectors, [&](int r) -> const T* {
        return key + r < to && !padding.hidden(key + r) ? (which ? a.v : a.k).at(s.batch, s.firstKey + key + r, group) : nullptr;
      });
    cpAsyncCommit();
  };
  if (from < to) {
    const auto row = [&](const Heads<const T>& source) {
      return [&, source](int r) -> const T* { return first + r < s.queries ? source.at(s.batch, s.firstQuery + first + r, head) : nullptr; };
    };
    copyRows<kWidth>(queries, kRows, p.dim, a.vectors, row(a.q));
    copyRows<kWidth>(grads, kRows, p.dim, a.vectors, row(a.dy));
    load(from, 0);
  }

  float result[1][DT][4];
  clear(result);
  int stage = 0;
  for (int key = from; key < to; key += N) {
    cpAsyncWait<0>();
    barrier();   // the tile has come, and everybody is done with the one before
    if (kStages == 2 && key + N < to) load(key + N, 1 - stage);
    const T *keys = stages + 2 * stage * N * S, *values = keys + N * S;
    float c[1][NT][4], d[1][NT][4], slope[1][NT][4];
    clear(c);
    clear(d);
    Products<T>::template scores<kWidth>(c, queries + warp * 16 * S, keys);
    Products<T>::template scores<kWidth>(d, grads + warp * 16 * S, values);
    scaleScores(c, slope, p.factor, p.cap);
    addBias<T>(c, bias, reach, key, bias.key, [&](int, int h) { return (firstOfWarp + g + 8 * h) * bias.query; });
    if (key < wholeFrom || key + N > wholeTo) {   // somebody of the warp does not see some key
      uint32_t seen[kSeen];
      findSeen<N>(seen, padding, key, s.keys);
      maskScores(c, reach, key, seen);
    }
    uint32_t keep[1];
    drawRowsOfQueries<NT>(keep, drops, firstOfWarp, key);
    gradientsOf(c, d, keep[0], keepScale, [&](int, int e) { return statistics[e / 2]; });
    if (p.cap > 0) multiplyBy(d, slope);
    Products<T>::template values<kWidth>(result, d, keys, exchange);
    if (kStages == 2) {
      stage = 1 - stage;
    } else if (key + N < to) {
      barrier();
      load(key + N, 0);
    }
  }
  WW_UNROLL for (int h = 0; h < 2; h++) {
    const int query = firstOfWarp + g + 8 * h;
    if (query >= s.queries) continue;
    T* row = a.dq.at(s.batch, s.firstQuery + query, head);
    WW_UNROLL for (int i = 0; i < DT; i++)
      storePair(row, 8 * i + 2 * t, p.dim, a.pairsOfQueries, result[0][i][2 * h] * p.scale, result[0][i][2 * h + 1] * p.scale, a.addDq);
  }
}

}  // namespace warpweft::cuda::attention
