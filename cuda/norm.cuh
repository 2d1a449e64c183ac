#pragma once
// layerNorm (kCentred) and rmsNorm. A row stays in registers between its passes, so that memory is touched once: a warp has a row of up to 1024 columns, a block
// of 256 threads one of up to 8192. Wider rows, and rows that are not made of whole vectors, are read again for each pass (they come out of the caches).
#include "cuda/row.cuh"

namespace warpweft::cuda {

template <class T> struct NormForward {
  Rows<const T> x, residual;
  const float *weight, *bias;
  Rows<T> y, sum;
  float *mean, *rstd;
  DropoutSetting dropout;
  int64_t R, C;
  float eps, share, unit;   // share: 1 / C; unit: added to the weight

  // s = x + dropout(residual), rounded to T, of V columns.
  template <int V> WW_DEVICE void read(int64_t row, int64_t column, float (&s)[V]) const {
    const auto in = load<V, Cache::streamed>(x.at(row, column));
    WW_UNROLL for (int j = 0; j < V; j++) s[j] = in[j];
    if (!residual) return;
    const auto more = load<V, Cache::streamed>(residual.at(row, column));
    if (dropout) {
      float factors[V];
      dropoutFactors(dropout.read(), static_cast<uint64_t>(row * C + column), factors);
      WW_UNROLL for (int j = 0; j < V; j++) s[j] = fma(more[j], factors[j], s[j]);
    } else {
      WW_UNROLL for (int j = 0; j < V; j++) s[j] += more[j];
    }
    WW_UNROLL for (int j = 0; j < V; j++) s[j] = toFloat(fromFloat<T>(s[j]));
  }
  template <int V> WW_DEVICE void keep(int64_t row, int64_t column, const float (&s)[V]) const {
    if (!sum) return;
    Vector<T, V> out;
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, s[j]);
    store(sum.at(row, column), out);
  }
  // y of V columns from h = s scale + shift, after `centre` was taken off.
  template <int V> WW_DEVICE void write(int64_t row, int64_t column, const float (&s)[V], float centre, float scale, float shift) const {
    Vector<float, V> w, b;
    if (weight) w = load<V>(weight + column);
    if (bias) b = load<V>(bias + column);
    Vector<T, V> out;
    WW_UNROLL for (int j = 0; j < V; j++) {
      float h = fma(s[j] - centre, scale, shift);
      if (weight) h *= w[j] + unit;
      if (bias) h += b[j];
      out.set(j, h);
    }
    store(y.at(row, column), out);
  }
};

// Mean and variance in two passes, so that a mean far from zero costs no digits. `centre` is the float32 nearest to the mean, `offset` what it lacks.
struct Moments { float centre, offset, variance; };

// eachOfRow(f) calls f(s) for every element of the row that the thread has.
template <bool kCentred, unsigned kThreads, class F> WW_DEVICE Moments moments(float share, float* scratch, F&& eachOfRow WW_AT) {
  float centre = 0;
  if constexpr (kCentred) {
    float total[1] = {0};
    eachOfRow([&](float s) { total[0] += s; });
    blockSums<kThreads>(total, scratch WW_PASS);
    centre = total[0] * share;
  }
  float sums[2] = {0, 0};
  eachOfRow([&](float s) {
    const float d = s - centre;
    sums[0] += d;
    sums[1] = fma(d, d, sums[1]);
  });
  blockSums<kThreads>(sums, scratch WW_PASS);
  if constexpr (!kCentred) return {0, 0, sums[1] * share};
  const float offset = sums[0] * share;
  return {centre, offset, maximum(sums[1] * share - offset * offset, 0.f)};
}

template <class T> WW_DEVICE float finishRow(const NormForward<T>& a, int64_t row, const Moments& m, bool first) {
  const float rstd = 1.f / sqrt(m.variance + a.eps);
  if (first) {
    if (a.mean) a.mean[row] = m.centre + m.offset;
    if (a.rstd) a.rstd[row] = rstd;
  }
  return rstd;
}

// kThreads threads a row, kElements of it in each.
template <class T, bool kCentred, int kElements, unsigned kThreads> __global__ void __launch_bounds__(kThreads == kWarp ? 128 : kThreads, kThreads == kWarp ? 4 : 1) normRows(NormForward<T> a) {
  constexpr int V = kVector<T>, K = kElements / V;
  constexpr unsigned kRowsOfBlock = (kThreads == kWarp ? 128 : kThreads) / kThreads;
  WW_SHARED(float, scratch, [2 * kThreads / kWarp]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.x / kThreads;
  const unsigned t = threadIdx.x % kThreads;
  if (kThreads == kWarp && row >= a.R) return;   // the whole warp
  float s[K][V];
  WW_UNROLL for (int k = 0; k < K; k++) {
    const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
    if (column >= a.C) continue;
    a.read(row, column, s[k]);
    a.keep(row, column, s[k]);
  }
  const auto eachOfRow = [&](auto&& f) {
    WW_UNROLL for (int k = 0; k < K; k++)
      if ((static_cast<int64_t>(k) * kThreads + t) * V < a.C) WW_UNROLL for (int j = 0; j < V; j++) f(s[k][j]);
  };
  const Moments m = moments<kCentred, kThreads>(a.share, scratch, eachOfRow);
  const float rstd = finishRow(a, row, m, t == 0);
  WW_UNROLL for (int k = 0; k < K; k++) {
    const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
    if (column < a.C) a.write(row, column, s[k], m.centre, rstd, -m.offset * rstd);
  }
}

// A block a row of any width, element by element.
template <class T, bool kCentred> __global__ void __launch_bounds__(kRowThreads) normWide(NormForward<T> a) {
  WW_SHARED(float, scratch, [2 * kRowThreads / kWarp]);
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x; c < a.C; c += kRowThreads) {
    float s[1];
    a.read(row, c, s);
    a.keep(row, c, s);
  }
  const auto eachOfRow = [&](auto&& f) {
    for (int64_t c = threadIdx.x; c < a.C; c += kRowThreads) {
      float s[1];
      a.read(row, c, s);
      f(s[0]);
    }
  };
  const Moments m = moments<kCentred, kRowThreads>(a.share, scratch, eachOfRow);
  const float rstd = finishRow(a, row, m, threadIdx.x == 0);
  for (int64_t c = threadIdx.x; c < a.C; c += kRowThreads) {
    float s[1];
    a.read(row, c, s);
    a.write(row, c, s, m.centre, rstd, -m.offset * rstd);
  }
}

template <bool kCentred, class T> void launchNorm(const NormForward<T>& a, bool vectors, Stream stream) {
  if (a.R == 0) return;
  const auto rows = [&]<int kElements, unsigned kThreads>() {
    constexpr unsigned kBlock = kThreads == kWarp ? 128 : kThreads;
    launch<normRows<T, kCentred, kElements, kThreads>>(stream, blocksFor(a.R, kBlock / kThreads), kBlock, 0, a);
  };
  if (!vectors || !dispatchRow(a.C, rows)) launch<normWide<T, kCentred>>(stream, blocksFor(a.R, 1), kRowThreads, 0, a);
}

template <class T> struct NormBackward {
  Rows<const T> dy, dsum, s;
  const float *weight, *mean, *rstd;
  Rows<T> dx, dresidual;
  bool addDx, addDresidual;
  float *dweight, *dbias;   // partial sums [blocks, C]; null: not wanted
  DropoutSetting dropout;
  int64_t R, C;
  float share, unit;

  // h and g = dy w of V columns.
  template <int V> WW_DEVICE void normalised(int64_t column, const Vector<T, V>& d, const Vector<T, V>& x, float centre, float scale, float (&g)[V], float (&h)[V]) const {
    Vector<float, V> w;
    if (weight) w = load<V>(weight + column);
    WW_UNROLL for (int j = 0; j < V; j++) {
      h[j] = (x[j] - centre) * scale;
      g[j] = weight ? d[j] * (w[j] + unit) : d[j];
    }
  }
  template <int V> WW_DEVICE void put(T* to, bool accumulate, const float (&v)[V]) const {
    Vector<T, V> out;
    if (accumulate) out = load<V>(to);
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, accumulate ? out[j] + v[j] : v[j]);
    store(to, out);
  }
  // ds = rstd (g - mean(g) - h mean(g h)) + dsum, and what becomes of it.
  template <int V> WW_DEVICE void write(int64_t row, int64_t column, const float (&g)[V], const float (&h)[V], float scale, float meanG, float meanGH) const {
    float ds[V];
    WW_UNROLL for (int j = 0; j < V; j++) ds[j] = (fma(-h[j], meanGH, g[j]) - meanG) * scale;
    if (dsum) {
      const auto more = load<V, Cache::streamed>(dsum.at(row, column));
      WW_UNROLL for (int j = 0; j < V; j++) ds[j] += more[j];
    }
    if (dx) put(dx.at(row, column), addDx, ds);
    if (!dresidual) return;
    if (dropout) {
      float factors[V];
      dropoutFactors(dropout.read(), static_cast<uint64_t>(row * C + column), factors);
      WW_UNROLL for (int j = 0; j < V; j++) ds[j] *= factors[j];
    }
    put(dresidual.at(row, column), addDresidual, ds);
  }
};

// The block goes over rows blockIdx, blockIdx + gridDim, …; each thread keeps the sums for its columns in registers, so that there are as many partial sums as
// blocks and no atomics.
template <class T, bool kCentred, int kElements, unsigned kThreads> __global__ void __launch_bounds__(kRowThreads, 1) normBackwardRows(NormBackward<T> a) {
  constexpr int V = kVector<T>, K = kElements / V;
  constexpr unsigned kRowsOfBlock = kRowThreads / kThreads;
  WW_SHARED(float, scratch, [2 * kThreads / kWarp]);
  const unsigned t = threadIdx.x % kThreads, group = threadIdx.x / kThreads;
  float dw[K][V], db[kCentred ? K : 1][V];
  WW_UNROLL for (int k = 0; k < K; k++) WW_UNROLL for (int j = 0; j < V; j++) dw[k][j] = db[kCentred ? k : 0][j] = 0;
  const bool inputs = a.dx || a.dresidual;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + group; row < a.R; row += static_cast<int64_t>(gridDim.x) * kRowsOfBlock) {
    const float centre = kCentred ? a.mean[row] : 0.f, scale = a.rstd[row];
    Vector<T, V> d[K], x[K];
    WW_UNROLL for (int k = 0; k < K; k++) {
      const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
      if (column >= a.C) continue;
      d[k] = load<V, Cache::streamed>(a.dy.at(row, column));
      x[k] = load<V, Cache::streamed>(a.s.at(row, column));
    }
    float sums[2] = {0, 0};
    WW_UNROLL for (int k = 0; k < K; k++) {
      const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
      if (column >= a.C) continue;
      float g[V], h[V];
      a.normalised(column, d[k], x[k], centre, scale, g, h);
      WW_UNROLL for (int j = 0; j < V; j++) {
        dw[k][j] = fma(d[k][j], h[j], dw[k][j]);
        if constexpr (kCentred) db[k][j] += d[k][j];
        sums[0] += g[j];
        sums[1] = fma(g[j], h[j], sums[1]);
      }
    }
    if (!inputs) continue;
    blockSums<kThreads>(sums, scratch);
    WW_UNROLL for (int k = 0; k < K; k++) {
      const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
      if (column >= a.C) continue;
      float g[V], h[V];
      a.normalised(column, d[k], x[k], centre, scale, g, h);
      a.write(row, column, g, h, scale, kCentred ? sums[0] * a.share : 0.f, sums[1] * a.share);
    }
  }
  // The groups of the block, one after the other, then the block's row of partial sums.
  const auto finish = [&](float* partial, const auto& mine) {
    if (!partial) return;
    partial += blockIdx.x * a.C;
    if constexpr (kRowsOfBlock == 1) {
      WW_UNROLL for (int k = 0; k < K; k++) {
        const int64_t column = (static_cast<int64_t>(k) * kThreads + t) * V;
        if (column < a.C) WW_UNROLL for (int j = 0; j < V; j++) partial[column + j] = mine[k][j];
      }
    } else {
      WW_SHARED(float, total, [kElements * kWarp]);
      for (unsigned turn = 0; turn < kRowsOfBlock; turn++) {
        barrier();
        if (turn != group) continue;
        WW_UNROLL for (int k = 0; k < K; k++)
          WW_UNROLL for (int j = 0; j < V; j++) {
            float& cell = total[(static_cast<unsigned>(k) * kThreads + t) * V + static_cast<unsigned>(j)];
            cell = turn == 0 ? mine[k][j] : cell + mine[k][j];
          }
      }
      barrier();
      for (int64_t c = threadIdx.x; c < a.C; c += kRowThreads) partial[c] = total[c];
    }
  };
  finish(a.dweight, dw);
  if constexpr (kCentred) finish(a.dbias, db);
}

// The same for rows of any width, element by element; the partial sums wait in their memory, where only one thread touches a column.
template <class T, bool kCentred> __global__ void __launch_bounds__(kRowThreads) normBackwardWide(NormBackward<T> a) {
  WW_SHARED(float, scratch, [2 * kRowThreads / kWarp]);
  float* dweight = a.dweight ? a.dweight + blockIdx.x * a.C : nullptr;
  float* dbias = a.dbias ? a.dbias + blockIdx.x * a.C : nullptr;
  const bool inputs = a.dx || a.dresidual;
  for (int64_t row = blockIdx.x; row < a.R; row += gridDim.x) {
    const float centre = kCentred ? a.mean[row] : 0.f, scale = a.rstd[row];
    const bool first = row == blockIdx.x;
    float sums[2] = {0, 0};
    for (int64_t c = threadIdx.x; c < a.C; c += kRowThreads) {
      const auto d = load<1>(a.dy.at(row, c)), x = load<1>(a.s.at(row, c));
      float g[1], h[1];
      a.normalised(c, d, x, centre, scale, g, h);
      if (dweight) dweight[c] = fma(d[0], h[0], first ? 0.f : dweight[c]);
      if (dbias) dbias[c] = d[0] + (first ? 0.f : dbias[c]);
      sums[0] += g[0];
      sums[1] = fma(g[0], h[0], sums[1]);
    }
    if (!inputs) continue;
    blockSums<kRowThreads>(sums, scratch);
    for (int64_t c = threadIdx.x; c < a.C; c += kRowThreads) {
      float g[1], h[1];
      a.normalised(c, load<1>(a.dy.at(row, c)), load<1>(a.s.at(row, c)), centre, scale, g, h);
      a.write(row, c, g, h, scale, kCentred ? sums[0] * a.share : 0.f, sums[1] * a.share);
    }
  }
}

// Blocks of the backward pass, each of which leaves a row of partial sums: two for each multiprocessor, where there are rows for them.
inline int64_t backwardBlocks(int64_t R, int64_t C, const DeviceInfo& info) {
  const int64_t rowsOfBlock = C <= kMostElements * static_cast<int64_t>(kWarp) ? kRowThreads / kWarp : 1;
  return least(ceilDiv(R, rowsOfBlock), 2 * info.multiprocessors);
}

template <bool kCentred, class T> void launchNormBackward(const NormBackward<T>& a, bool vectors, int64_t blocks, Stream stream) {
  if (a.R == 0) return;
  const auto grid = blocksFor(blocks, 1);
  const auto rows = [&]<int kElements, unsigned kThreads>() { launch<normBackwardRows<T, kCentred, kElements, kThreads>>(stream, grid, kRowThreads, 0, a); };
  if (!vectors || !dispatchRow(a.C, rows)) launch<normBackwardWide<T, kCentred>>(stream, grid, kRowThreads, 0, a);
}

namespace {

// out[c] = sum of partial[0 … blocks)[c]: 32 columns a block, eight threads a column, in a fixed order.
constexpr unsigned kSumRows = 8;
__global__ void __launch_bounds__(kWarp* kSumRows) sumPartials(const float* partial, int64_t blocks, int64_t C, float* out, bool accumulate) {
  WW_SHARED(float, sums, [kSumRows][kWarp]);
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kWarp + lane();
  const unsigned row = warpOfBlock();
  float sum = 0;
  if (c < C)
    for (int64_t b = row; b < blocks; b += kSumRows) sum += partial[b * C + c];
  sums[row][lane()] = sum;
  barrier();
  if (row != 0 || c >= C) return;
  for (unsigned r = 1; r < kSumRows; r++) sum += sums[r][lane()];
  out[c] = accumulate ? out[c] + sum : sum;
}

void launchSum(const float* partial, int64_t blocks, const Grad& to, Stream stream) {
  const int64_t C = to.numel();
  if (C > 0) launch<sumPartials>(stream, blocksFor(C, kWarp), kWarp * kSumRows, 0, partial, blocks, C, to.as<float>(), to.accumulate);
}

}  // namespace
}  // namespace warpweft::cuda
