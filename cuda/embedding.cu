#include "ops/embedding.hpp"

#include "cuda/places.cuh"
#include "cuda/row.cuh"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

// V elements a thread.
template <int V, class W, class Y>
__global__ void __launch_bounds__(kThreads) lookup(Indices ids, int64_t N, int64_t vocabulary, int64_t C, Rows<const W> weight, Rows<Y> y, float scale, FaultWord* word) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, vectors = C / V, n = i / vectors, column = (i - n * vectors) * V;
  if (n >= N) return;
  const int64_t id = ids[n];
  Vector<Y, V> out;
  if (id < 0 || id >= vocabulary) {
    if (column == 0) reportIndexFault(word, n, id, vocabulary);
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, 0.f);
  } else {
    const auto in = load<V>(weight.at(id, column));
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, in[j] * scale);
  }
  store(y.at(n, column), out);
}

// Rows of dweight: 64 threads of V columns for each of four groups, of which each takes every fourth place of the id, in their order; then the groups are added.
constexpr unsigned kColumns = 64, kGroups = 4;

template <int V, class T>
__global__ void __launch_bounds__(kColumns* kGroups) sumPlaces(const uint32_t* starts, const uint32_t* places, int64_t C, Rows<const T> dy, Rows<float> dweight, bool accumulate, float scale) {
  WW_SHARED(float, sums, [kGroups][kColumns * V]);
  const int64_t v = blockIdx.x;
  const unsigned t = threadIdx.x % kColumns, group = threadIdx.x / kColumns;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kColumns + t) * V;
  const uint32_t begin = starts[v], end = starts[v + 1];
  if (begin == end && accumulate) return;   // the whole block
  float total[V], part[V];
  WW_UNROLL for (int j = 0; j < V; j++) total[j] = part[j] = 0;
  if (column < C) {
    int count = 0;
    for (uint32_t p = begin + group; p < end; p += kGroups) {
      const auto in = load<V, Cache::streamed>(dy.at(places[p], column));
      WW_UNROLL for (int j = 0; j < V; j++) part[j] += in[j];
      if (++count % 64 == 0)   // partial sums of 64 places keep the rounding of a frequent id small
        WW_UNROLL for (int j = 0; j < V; j++) total[j] += part[j], part[j] = 0;
    }
  }
  WW_UNROLL for (int j = 0; j < V; j++) sums[group][t * V + static_cast<unsigned>(j)] = total[j] + part[j];
  barrier();
  if (group != 0 || column >= C) return;
  float* to = dweight.at(v, column);
  Vector<float, V> out;
  if (accumulate) out = load<V>(to);
  WW_UNROLL for (int j = 0; j < V; j++) {
    const unsigned at = t * V + static_cast<unsigned>(j);
    const float sum = ((sums[0][at] + sums[1][at]) + (sums[2][at] + sums[3][at])) * scale;
    out.v[j] = accumulate ? out.v[j] + sum : sum;
  }
  store(to, out);
}

}  // namespace

void run(const Embedding& a, Context& context) {
  const int64_t N = a.ids.numel(), vocabulary = a.weight.sizes[0], C = a.weight.sizes[1];
  if (N == 0 || C == 0) return;
  dispatchFloat(a.weight.dtype, [&]<class W>() {
    dispatchFloat(a.y.dtype, [&]<class Y>() {
      const auto with = [&]<int V>() {
        launch<lookup<V, W, Y>>(context.stream(), blocksFor(N * (C / V), kThreads), kThreads, 0, Indices::of(a.ids), N, vocabulary, C, Rows<const W>::of(a.weight),
                                Rows<Y>::of(a.y), static_cast<float>(a.scale), context.faultWord());
      };
      constexpr int V = 16 / static_cast<int>(sizeof(W) > sizeof(Y) ? sizeof(W) : sizeof(Y));
      if (rowsOfVectors<W, V>(a.weight) && rowsOfVectors<Y, V>(a.y)) with.template operator()<V>();
      else with.template operator()<1>();
    });
  });
}

size_t workspace(const EmbeddingBackward& a, const DeviceInfo&) {
  return a.dweight ? Places::bytes("embeddingBackward", a.ids.numel(), a.dweight.sizes[0]) : 0;
}

void run(const EmbeddingBackward& a, Context& context) {
  if (!a.dweight) return;
  const int64_t vocabulary = a.dweight.sizes[0], C = a.dweight.sizes[1];
  const Places places = Places::sort(context, a.ids, vocabulary, a.paddingIndex);
  if (vocabulary == 0 || C == 0) return;
  dispatchFloat(a.dy.dtype, [&]<class T>() {
    const auto with = [&]<int V>() {
      launch<sumPlaces<V, T>>(context.stream(), dim3(static_cast<unsigned>(vocabulary), static_cast<unsigned>(ceilDiv(C, kColumns * V))), kColumns * kGroups, 0, places.starts, places.places, C, Rows<const T>::of(a.dy),
                              Rows<float>::of(a.dweight), a.dweight.accumulate, static_cast<float>(a.scale));
    };
    if (rowsOfVectors<T, 4>(a.dy) && rowsOfVectors<float, 4>(a.dweight)) with.template operator()<4>();
    else with.template operator()<1>();
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Embedding)
WW_CUDA_KERNEL_WITH_WORKSPACE(EmbeddingBackward)
