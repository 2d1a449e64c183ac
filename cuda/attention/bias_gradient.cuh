#pragma once
// The gradient of the bias: dS, summed over what the bias was broadcast along. A pass of its own, because batch rows and heads that share a bias are different blocks
// of the other passes: here a block owns a tile of the bias and goes over all that use it, in order. Nothing of it grows with the width of heads, which goes by in pieces.
#include "cuda/attention/gradient.cuh"

namespace warpweft::cuda::attention {

inline constexpr int kBiasTile = 64, kBiasWarps = kBiasTile / 16, kBiasPiece = 32;

template <class T> inline constexpr size_t kBiasGradientBytes = sizeof(T) * 4 * kBiasTile * kStride<T, kBiasPiece>;

struct BiasTarget {
  void* data;
  int64_t batch, head, query, key;      // strides
  bool half;
  bool perBatch, perHead, perQuery;     // has an element of its own for each
  template <class T> WW_DEVICE void add(int64_t offset, float x) const {
    if (half) {
      T* to = static_cast<T*>(data) + offset;
      *to = fromFloat<T>(toFloat(*to) + x);
    } else {
      static_cast<float*>(data)[offset] += x;
    }
  }
};

constexpr unsigned kZeroThreads = 256;

template <class U> __global__ void __launch_bounds__(kZeroThreads) zeroBias(U* data, int64_t total, int64_t heads, int64_t queries, int64_t keys, BiasTarget g) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kZeroThreads + threadIdx.x;
  if (n >= total) return;
  const int64_t key = n % keys, query = n / keys % queries, head = n / keys / queries % heads, batch = n / keys / queries / heads;
  data[batch * g.batch + head * g.head + query * g.query + key * g.key] = 0;
}

template <class T> __global__ void __launch_bounds__(kBiasWarps * 32, 1) attentionBiasGradient(BackwardArguments<T> a, BiasTarget target, int heads, int tiles) {
  constexpr int N = kBiasTile, NT = N / 8, S = kStride<T, kBiasPiece>;
  WW_SHARED(float, sums, [kBiasWarps][N]);
  const Problem& p = a.p;
  const int warp = static_cast<int>(warpOfBlock()), g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4, rep = p.heads / p.groups;
  const int number = static_cast<int>(blockIdx.x), key = number % tiles * N, ownHead = number / tiles % heads, block = number / tiles / heads;
  Sequence own;
  int first = 0;
  if (!p.queryOffsets) {
    const int batches = target.perBatch ? p.batch : 1;
    own = p.sequenceOf(block % batches);
    first = block / batches * N;
  } else if (target.perQuery) {
    if (!p.find(block, N, p.queryOffsets, own, first)) return;
  } else {
    if (*p.broken) return;
    own = p.sequenceOf(block);
  }
  if (key >= own.keys) return;

  T* queries = sharedMemory<T>();
  T *grads = queries + N * S, *keys = grads + N * S, *values = keys + N * S;
  float total[NT][4];
  WW_UNROLL for (int n = 0; n < NT; n++) WW_UNROLL for (int e = 0; e < 4; e++) total[n][e] = 0;

  const auto addHead = [&](const Sequence& s, int head, int query) {
    const Band band = p.bandOf(s);
    const int low = greater(key, band.low(query)), high = lesser(key + N, band.high(lesser(query + N, s.queries) - 1));
    if (low >= high) return;
    const KeyPadding padding = p.paddingOf(s);
    const Bias bias = p.biasOf<T>(s, head);
    const DropTiles drops = p.dropTilesOf(s, head);
    const int firstOfWarp = query + 16 * warp;
    Reach<1> reach;
    Statistics statistics[2];
    WW_UNROLL for (int h = 0; h < 2; h++) {
      const int row = firstOfWarp + g + 8 * h;
      reach.low[0][h] = band.low(row);
      reach.high[0][h] = row < s.queries ? band.high(row) : 0;
      statistics[h] = statisticsOf(a, s, head, row);
    }
    float c[1][NT][4], d[1][NT][4];
    clear(c);
    clear(d);
    for (int piece = 0; piece < p.dim; piece += kBiasPiece) {
      barrier();   // everybody is done with the piece before
      const auto ofQueries = [&](const Heads<const T>& source) {
        return [&, source](int r) -> const T* { return query + r < s.queries ? source.at(s.batch, s.firstQuery + query + r, head) + piece : nullptr; };
      };
      const auto ofKeys = [&](const Heads<const T>& source) {
        return [&, source](int r) -> const T* { return key + r < s.keys && !padding.hidden(key + r) ? source.at(s.batch, s.firstKey + key + r, head / rep) + piece : nullptr; };
      };
      copyRows<kBiasPiece>(queries, N, p.dim - piece, a.vectors, ofQueries(a.q));
      copyRows<kBiasPiece>(grads, N, p.dim - piece, a.vectors, ofQueries(a.dy));
      copyRows<kBiasPiece>(keys, N, p.dim - piece, a.vectors, ofKeys(a.k));
      copyRows<kBiasPiece>(values, N, p.dim - piece, a.vectors, ofKeys(a.v));
      cpAsyncCommit();
      cpAsyncWait<0>();
      barrier();
      Products<T>::template scores<kBiasPiece>(c, queries + warp * 16 * S, keys);
      Products<T>::template scores<kBiasPiece>(d, grads + warp * 16 * S, values);
    }
    scaleScores(c, p.factor, p.cap);
    addBias<T>(c, bias, reach, key, bias.key, [&](int, int h) { return (firstOfWarp + g + 8 * h) * bias.query; });
    uint32_t seen[N / 32];
    findSeen<N>(seen, padding, key, s.keys);
    maskScores(c, reach, key, seen);
    uint32_t keep[1];
    drawRowsOfQueries<NT>(keep, drops, firstOfWarp, key);
    gradientsOf(c, d, keep[0], drops.active ? drops.stream.scale : 1.f, [&](int, int e) { return statistics[e / 2]; });
    WW_UNROLL for (int n = 0; n < NT; n++) WW_UNROLL for (int e = 0; e < 4; e++) total[n][e] += d[0][n][e];
  };
  for (int b = target.perBatch ? own.number : 0; b < (target.perBatch ? own.number + 1 : p.batch); b++) {
    const Sequence s = p.sequenceOf(b);
    for (int h = target.perHead ? ownHead : 0; h < (target.perHead ? ownHead + 1 : p.heads); h++)
      for (int query = first; query < (target.perQuery ? lesser(first + 1, s.queries) : s.queries); query += N) addHead(s, h, query);
  }

  const int64_t origin = (target.perBatch ? own.batch : 0) * target.batch + ownHead * target.head + (own.firstKey + key) * target.key;
  if (target.perQuery) {
    WW_UNROLL for (int n = 0; n < NT; n++)
      WW_UNROLL for (int e = 0; e < 4; e++) {
        const int row = first + 16 * warp + g + 8 * (e / 2), column = 8 * n + 2 * t + e % 2;
        if (row < own.queries && key + column < own.keys) target.add<T>(origin + (own.firstQuery + row) * target.query + column * target.key, total[n][e]);
      }
    return;
  }
  WW_UNROLL for (int n = 0; n < NT; n++)
    WW_UNROLL for (int i = 0; i < 2; i++) {
      float sum = total[n][i] + total[n][2 + i];
      WW_UNROLL for (unsigned flip = 4; flip < kWarp; flip *= 2) sum += shuffleXor(sum, flip);
      if (g == 0) sums[warp][8 * n + 2 * t + i] = sum;
    }
  barrier();
  const int column = static_cast<int>(threadIdx.x);
  if (column < N && key + column < own.keys) target.add<T>(origin + column * target.key, (sums[0][column] + sums[1][column]) + (sums[2][column] + sums[3][column]));
}

template <class T> void launchBiasGradient(const AttentionBackward& op, const BackwardArguments<T>& a, Stream stream) {
  const View& g = op.biasGrad;
  const Problem& p = a.p;
  BiasTarget target{g.data, g.strides[0], g.strides[1], g.strides[2], g.strides[3], g.dtype != DType::f32, p.queryOffsets != nullptr || g.sizes[0] == p.batch, g.sizes[1] == p.heads,
                    g.sizes[2] == p.queries};
  const int64_t elements = g.numel();
  if (elements == 0) return;
  if (!op.biasGrad.accumulate) {
    const auto zero = [&]<class U>() {
      launch<zeroBias<U>>(stream, blocksFor(elements, kZeroThreads), kZeroThreads, 0, g.as<U>(), elements, g.sizes[1], g.sizes[2], g.sizes[3], target);
    };
    if (target.half) zero.template operator()<uint16_t>();
    else zero.template operator()<uint32_t>();
  }
  if (op.q.sizes[0] * op.q.sizes[1] * op.q.sizes[2] * op.k.sizes[1] == 0) return;
  const int heads = target.perHead ? p.heads : 1;
  const int64_t tiles = ceilDiv(p.keys, kBiasTile);
  const int64_t blocks = p.queryOffsets ? (target.perQuery ? p.blocks(p.queries, kBiasTile) : p.sequences)
                                        : (target.perBatch ? p.batch : 1) * (target.perQuery ? ceilDiv(p.queries, kBiasTile) : 1);
  if (blocks == 0) return;
  launch<attentionBiasGradient<T>>(stream, blocksFor(blocks * heads * tiles, 1), kBiasWarps * kWarp, kBiasGradientBytes<T>, a, target, heads, static_cast<int>(tiles));
}

}  // namespace warpweft::cuda::attention
