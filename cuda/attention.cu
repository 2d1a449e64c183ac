// Forward attention (Dao 2023, "FlashAttention-2"): a block has some queries of one head, a warp 16 or 32 of them with their whole result in registers, and goes over
// tiles of keys with an online softmax in units of log 2. K of the next tile comes while V of this one is multiplied, V while the scores are made.
//
// Few queries against many keys (generation) are the same kernel in another launch: the query heads of a key/value head become rows of one tile, blocks of as few warps as
// there are rows take a range of the keys each and leave partial results in the workspace, and a second kernel adds these in order.
#include "ops/attention.hpp"

#include "cuda/attention/packed.cuh"
#include "cuda/attention/scores.cuh"

namespace warpweft::cuda {

using namespace attention;

namespace {

constexpr int kLeastSpan = 256;    // keys of a part; not worth a part below that
constexpr int kMostSplits = 128;
constexpr int64_t kWantedWarps = 16;   // on each multiprocessor: as many copies under way as shared memory allows

template <class T> struct ForwardArguments {
  Problem p;
  Heads<const T> q, k, v;
  Heads<T> y;
  float* lse;
  bool vectors, pairs;
  int fold;             // query heads that are rows of one tile: row r is query r / fold of head r % fold of the group
  int blocks;           // of all sequences, for one head
  int splits, span;     // parts of the keys, and keys in each; a part is the largest score, the sum and the result of each row
  float* parts;
};

template <class T, int kWidth> __global__ void __launch_bounds__(ForwardTiles<T, kWidth>::kWarps * 32, 1) attentionForward(ForwardArguments<T> a) {
  using Tiles = ForwardTiles<T, kWidth>;
  constexpr int RT = Tiles::kRowTiles, N = Tiles::kKeys, NT = N / 8, DT = kWidth / 8, S = kStride<T, kWidth>, kSeen = (N + 31) / 32;
  WW_SHARED(int, scratch, [2 * Tiles::kWarps]);
  const Problem& p = a.p;
  const int warps = static_cast<int>(blockDim.x / kWarp), warp = static_cast<int>(warpOfBlock()), rows = warps * 16 * RT;
  const int g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4, units = p.heads / a.fold;
  const int number = static_cast<int>(blockIdx.x), split = number % a.splits, unit = number / a.splits % units, head = unit * a.fold;
  Sequence s;
  int first;
  if (!p.find(a.blocks - 1 - number / a.splits / units, rows, p.queryOffsets, s, first)) return;   // the last queries begin first: they may see the most keys
  const int group = head / (p.heads / p.groups), end = s.queries * a.fold;
  const Band band = p.bandOf(s);
  const KeyPadding padding = p.paddingOf(s);
  const Bias bias = p.biasOf<T>(s, head);
  const DropTiles drops = p.dropTilesOf(s, head);

  T* queries = sharedMemory<T>();
  T *keys = queries + rows * S, *values = keys + N * S;
  float* exchange = reinterpret_cast<float*>(values + N * S) + warp * kExchange<T, RT, N>;

  // The keys that the block sees, and those of each row.
  int from = band.low(first / a.fold), to = greater(from, band.high((lesser(first + rows, end) - 1) / a.fold));
  if (a.splits > 1) {
    from = from / N * N + split * a.span;
    to = greater(from, lesser(to, from + a.span));
  }
  padding.narrow(from, to, scratch);
  from = from / N * N;
  const int firstOfWarp = first + warp * 16 * RT, lastOfWarp = lesser(firstOfWarp + 16 * RT, end) - 1;
  const int wholeFrom = band.low(lastOfWarp / a.fold), wholeTo = lastOfWarp - firstOfWarp == 16 * RT - 1 && !padding ? lesser(to, band.high(firstOfWarp / a.fold)) : 0;
  Reach<RT> reach;
  WW_UNROLL for (int r = 0; r < RT; r++)
    WW_UNROLL for (int h = 0; h < 2; h++) {
      const int row = firstOfWarp + 16 * r + g + 8 * h, query = row / a.fold;
      reach.low[r][h] = band.low(query);
      reach.high[r][h] = row < end ? lesser(to, band.high(query)) : 0;
    }

  const auto copyKeys = [&](T* tile, const Heads<const T>& source, int key) {
    copyRows<kWidth>(tile, N, p.dim, a.vectors, [&](int r) -> const T* {
      return key + r < to && !padding.hidden(key + r) ? source.at(s.batch, s.firstKey + key + r, group) : nullptr;
    });
  };
  if (from < to) {
    copyRows<kWidth>(queries, rows, p.dim, a.vectors, [&](int r) -> const T* {
      const int row = first + r;
      return row < end ? a.q.at(s.batch, s.firstQuery + row / a.fold, head + row % a.fold) : nullptr;
    });
    copyKeys(keys, a.k, from);
    cpAsyncCommit();
  }

  float result[RT][DT][4], largest[RT][2], sum[RT][2];
  clear(result);
  WW_UNROLL for (int r = 0; r < RT; r++) WW_UNROLL for (int h = 0; h < 2; h++) largest[r][h] = -infinity(), sum[r][h] = 0;
  for (int key = from; key < to; key += N) {
    cpAsyncWait<0>();
    barrier();   // keys have come, and everybody is done with the values before
    copyKeys(values, a.v, key);
    cpAsyncCommit();
    float c[RT][NT][4];
    clear(c);
    Products<T>::template scores<kWidth>(c, queries + warp * 16 * RT * S, keys);
    scaleScores(c, p.factor, p.cap);
    addBias<T>(c, bias, reach, key, bias.key, [&](int r, int h) {
      const int row = firstOfWarp + 16 * r + g + 8 * h;
      return row / a.fold * bias.query + row % a.fold * p.biasHead;
    });
    if (key < wholeFrom || key + N > wholeTo) {   // somebody of the warp does not see some key
      uint32_t seen[kSeen];
      findSeen<N>(seen, padding, key, s.keys);
      maskScores(c, reach, key, seen);
    }
    WW_UNROLL for (int r = 0; r < RT; r++)
      WW_UNROLL for (int h = 0; h < 2; h++) {
        float most = largest[r][h];
        WW_UNROLL for (int n = 0; n < NT; n++) most = larger(most, larger(c[r][n][2 * h], c[r][n][2 * h + 1]));
        most = larger(most, shuffleXor(most, 1));
        most = larger(most, shuffleXor(most, 2));
        const float base = most == -infinity() ? 0.f : most;   // a row that has seen nothing yet: all terms are zero
        const float shrink = exp2Fast(largest[r][h] - base);
        largest[r][h] = most;
        float total = sum[r][h] * shrink;
        WW_UNROLL for (int n = 0; n < NT; n++)
          WW_UNROLL for (int i = 0; i < 2; i++) {
            float& x = c[r][n][2 * h + i];
            x = exp2Fast(x - base);
            total += x;
          }
        sum[r][h] = total;
        WW_UNROLL for (int d = 0; d < DT; d++) WW_UNROLL for (int i = 0; i < 2; i++) result[r][d][2 * h + i] *= shrink;
      }
    if (drops.active) {
      uint32_t keep[RT];
      drawRowsOfQueries<NT>(keep, drops, firstOfWarp, key);
      drop(c, keep);
    }
    cpAsyncWait<0>();
    barrier();   // values have come, and everybody is done with the keys
    if (key + N < to) copyKeys(keys, a.k, key + N);
    cpAsyncCommit();
    Products<T>::template values<kWidth>(result, c, values, exchange);
  }

  WW_UNROLL for (int r = 0; r < RT; r++)
    WW_UNROLL for (int h = 0; h < 2; h++) {
      float total = sum[r][h];
      total += shuffleXor(total, 1);
      total += shuffleXor(total, 2);
      const int row = firstOfWarp + 16 * r + g + 8 * h;
      if (row >= end) continue;
      const int query = row / a.fold, itsHead = head + row % a.fold;
      if (a.splits > 1) {
        float* part = a.parts + (((static_cast<int64_t>(s.batch) * units + unit) * end + row) * a.splits + split) * (p.dim + 2);
        if (t == 0) part[0] = largest[r][h], part[1] = total;
        WW_UNROLL for (int d = 0; d < DT; d++) storePair(part + 2, 8 * d + 2 * t, p.dim, false, result[r][d][2 * h], result[r][d][2 * h + 1], false);
        continue;
      }
      const float factor = total == 0 ? 0.f : (drops.active ? drops.stream.scale : 1.f) / total;
      T* y = a.y.at(s.batch, s.firstQuery + query, itsHead);
      WW_UNROLL for (int d = 0; d < DT; d++) storePair(y, 8 * d + 2 * t, p.dim, a.pairs, result[r][d][2 * h] * factor, result[r][d][2 * h + 1] * factor, false);
      if (a.lse && t == 0) a.lse[(static_cast<int64_t>(s.batch) * p.heads + itsHead) * p.queries + s.firstQuery + query] = fma(largest[r][h], kLn2, log(total));
    }
}

constexpr unsigned kCombineThreads = 128;

// The parts of one row [B, G, Tq, fold], in order.
template <class T> __global__ void __launch_bounds__(kCombineThreads) combineParts(ForwardArguments<T> a) {
  const Problem& p = a.p;
  const int rows = p.queries * a.fold, units = p.heads / a.fold, floats = p.dim + 2;
  const int n = static_cast<int>(blockIdx.x), unit = n / rows, row = n % rows, batch = unit / units, query = row / a.fold, head = unit % units * a.fold + row % a.fold;
  const float* parts = a.parts + static_cast<int64_t>(n) * a.splits * floats;
  float most = -infinity(), sum = 0;
  for (int s = 0; s < a.splits; s++) most = larger(most, parts[s * floats]);
  const float base = most == -infinity() ? 0.f : most;
  for (int s = 0; s < a.splits; s++) sum = fma(exp2Fast(parts[s * floats] - base), parts[s * floats + 1], sum);
  const float factor = sum == 0 ? 0.f : (p.dropout ? p.dropout.stream.scale : 1.f) / sum;
  T* y = a.y.at(batch, query, head);
  for (int d = static_cast<int>(threadIdx.x); d < p.dim; d += static_cast<int>(kCombineThreads)) {
    float total = 0;
    for (int s = 0; s < a.splits; s++) total = fma(exp2Fast(parts[s * floats] - base), parts[s * floats + 2 + d], total);
    y[d] = fromFloat<T>(total * factor);
  }
  if (a.lse && threadIdx.x == 0) a.lse[(static_cast<int64_t>(batch) * p.heads + head) * p.queries + query] = fma(most, kLn2, log(sum));
}

// How a launch is cut. Figures of shape and of the GPU's multiprocessors.
struct Plan {
  int fold = 1, warps = 1, splits = 1, span = 0;
  int64_t rows = 0, units = 0;   // rows of a sequence's unit, and units of all batch rows

  template <class Tiles> static Plan of(const Attention& a, const DeviceInfo& info) {
    Plan plan;
    const int64_t B = a.q.sizes[0], Tq = a.q.sizes[1], Tk = a.k.sizes[1], H = a.q.sizes[2], G = a.k.sizes[2], warpRows = 16 * Tiles::kRowTiles;
    const int64_t most = warpRows * Tiles::kWarps, rep = G ? H / G : 1;
    if (!a.queryOffsets && !(a.dropout > 0) && rep > 1 && Tq <= 16 && Tq * rep <= most) plan.fold = static_cast<int>(rep);
    plan.rows = Tq * plan.fold;
    plan.units = B * H / plan.fold;
    plan.warps = static_cast<int>(least(Tiles::kWarps, cuda::most(ceilDiv(plan.rows, warpRows), 1)));
    if (a.queryOffsets || plan.rows > most || plan.units == 0) return plan;
    const int64_t seen = a.window > 0 ? least(Tk, a.window + Tq) : Tk, wanted = ceilDiv(kWantedWarps * info.multiprocessors, plan.units * plan.warps);
    const int64_t splits = least(least(wanted, kMostSplits), seen / kLeastSpan);
    if (splits < 2) return plan;
    plan.span = static_cast<int>(ceilDiv(ceilDiv(seen + Tiles::kKeys, splits), Tiles::kKeys) * Tiles::kKeys);
    plan.splits = static_cast<int>(splits);
    return plan;
  }
  size_t bytes(int64_t dim) const { return splits > 1 ? static_cast<size_t>(units * rows * splits * (dim + 2)) * sizeof(float) : 0; }
};

template <class F> void dispatch(const Attention& a, F&& body) {
  dispatchFloat(a.q.dtype, [&]<class T>() { dispatchWidth<T>(a.q.sizes[3], [&]<int kWidth>() { body.template operator()<T, kWidth>(); }); });
}

}  // namespace

size_t workspace(const Attention& a, const DeviceInfo& info) {
  demandSupported(a);
  size_t bytes = flagBytes(a);
  dispatch(a, [&]<class T, int kWidth>() { bytes += Plan::of<ForwardTiles<T, kWidth>>(a, info).bytes(a.q.sizes[3]); });
  return bytes;
}

void run(const Attention& a, Context& context) {
  float* lse = a.lse ? a.lse.as<float>() : nullptr;
  const Problem p = Problem::of(a, launchCheck(a, context));
  if (a.q.sizes[0] * a.q.sizes[1] * a.q.sizes[2] == 0) return;
  dispatch(a, [&]<class T, int kWidth>() {
    using Tiles = ForwardTiles<T, kWidth>;
    const Plan plan = Plan::of<Tiles>(a, context.info());
    launchZeros<T>(p, p.queryOffsets, a.y, lse, context.stream());
    const int rows = plan.warps * 16 * Tiles::kRowTiles;
    ForwardArguments<T> arguments{p, Heads<const T>::of(a.q), Heads<const T>::of(a.k), Heads<const T>::of(a.v), Heads<T>::of(a.y), lse,
                                  inGroups<T>(a.q, kVector<T>) && inGroups<T>(a.k, kVector<T>) && inGroups<T>(a.v, kVector<T>), inGroups<T>(a.y, 2), plan.fold,
                                  static_cast<int>(p.queryOffsets ? p.blocks(p.queries, rows) : p.batch * ceilDiv(plan.rows, rows)), plan.splits, plan.span,
                                  static_cast<float*>(context.workspace())};
    if (arguments.blocks == 0) return;
    constexpr int S = kStride<T, kWidth>;
    const size_t shared = static_cast<size_t>(rows + 2 * Tiles::kKeys) * S * sizeof(T) +
                          static_cast<size_t>(plan.warps * kExchange<T, Tiles::kRowTiles, Tiles::kKeys>) * sizeof(float);
    const dim3 grid = blocksFor(static_cast<int64_t>(arguments.blocks) * (p.heads / plan.fold) * plan.splits, 1);
    launch<attentionForward<T, kWidth>>(context.stream(), grid, static_cast<unsigned>(plan.warps) * kWarp, shared, arguments);
    if (plan.splits > 1) launch<combineParts<T>>(context.stream(), blocksFor(plan.units * plan.rows, 1), kCombineThreads, 0, arguments);
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(Attention)
