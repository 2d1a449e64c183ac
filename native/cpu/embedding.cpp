#include "ops/embedding.hpp"

#include "cpu/kernel.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

WW_INLINE int64_t rowGrain(int64_t columns) { return maximum(1, 16384 / maximum(1, columns)); }

template <class W, class Y> WW_INLINE void lookup(const Embedding& a, Context& c) {
  const int64_t V = a.weight.sizes[0], C = a.weight.sizes[1];
  const F32 scale = splat(static_cast<float>(a.scale));
  c.parallelFor(a.ids.numel(), rowGrain(C), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; n++) {
      Y* y = a.y.as<Y>() + n * a.y.rowStride();
      const int64_t id = indexAt(a.ids, n);
      if (id < 0 || id >= V) {
        c.indexFault(n, id, V);
        eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, zero(), lanes); });
        continue;
      }
      const W* weight = a.weight.as<const W>() + id * a.weight.rowStride();
      eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, load(weight + i, lanes) * scale, lanes); });
    }
  });
}

static void run(const Embedding& a, Context& c) {
  dispatchFloat(a.weight.dtype, [&]<class W>() {
    dispatchFloat(a.y.dtype, [&]<class Y>() { lookup<W, Y>(a, c); });
  });
}

// The places where each id was looked up, in order, by counting sort: places of v are place[start[v]] … place[start[v + 1] - 1].
struct Places {
  const int64_t* start;
  const int64_t* place;

  static WW_INLINE size_t bytes(int64_t N, int64_t V) { return static_cast<size_t>(V + 2 + N) * sizeof(int64_t); }

  static WW_INLINE Places sort(const View& ids, int64_t V, int64_t paddingIndex, Context& c) {
    const int64_t N = ids.numel();
    auto* next = static_cast<int64_t*>(c.workspace());   // next[v + 2] counts v, then next[v + 1] walks from the start of v to its end
    int64_t* place = next + V + 2;
    __builtin_memset(next, 0, static_cast<size_t>(V + 2) * sizeof(int64_t));
    for (int64_t n = 0; n < N; n++) {
      const int64_t id = indexAt(ids, n);
      if (id < 0 || id >= V) c.indexFault(n, id, V);
      else next[id + 2]++;
    }
    if (paddingIndex >= 0 && paddingIndex < V) next[paddingIndex + 2] = 0;
    for (int64_t v = 0; v < V; v++) next[v + 2] += next[v + 1];
    for (int64_t n = 0; n < N; n++) {
      const int64_t id = indexAt(ids, n);
      if (id >= 0 && id < V && id != paddingIndex) place[next[id + 1]++] = n;
    }
    return {next, place};
  }
};

// K vectors of a row of dweight, over all places. Partial sums of 64 places keep the rounding of a frequent id small.
template <int K, class T, class L>
WW_INLINE void sumPlaces(const T* dy, int64_t stride, const int64_t* place, int64_t count, float* out, bool accumulate, F32 scale, L lanes) {
  F32 total[K];
  for (int k = 0; k < K; k++) total[k] = zero();
  for (int64_t b = 0; b < count; b += 64) {
    F32 part[K];
    for (int k = 0; k < K; k++) part[k] = zero();
    for (int64_t n = b; n < minimum(b + 64, count); n++)
      for (int k = 0; k < K; k++) part[k] = part[k] + load(dy + place[n] * stride + k * kWidth, lanes);
    for (int k = 0; k < K; k++) total[k] = total[k] + part[k];
  }
  for (int k = 0; k < K; k++) {
    float* p = out + k * kWidth;
    store(p, accumulate ? fma(total[k], scale, load(p, lanes)) : total[k] * scale, lanes);
  }
}

// Columns [begin, end) of row v of dweight.
template <class T> WW_INLINE void sumRow(const EmbeddingBackward& a, const Places& places, int64_t v, int64_t begin, int64_t end) {
  const T* dy = a.dy.as<const T>();
  float* row = a.dweight.as<float>() + v * a.dweight.rowStride();
  const int64_t stride = a.dy.rowStride(), *place = places.place + places.start[v], count = places.start[v + 1] - places.start[v];
  const bool accumulate = a.dweight.accumulate;
  const F32 scale = splat(static_cast<float>(a.scale));
  int64_t i = begin;
  for (; i + 8 * kWidth <= end; i += 8 * kWidth) sumPlaces<8>(dy + i, stride, place, count, row + i, accumulate, scale, Whole{});
  for (; i + kWidth <= end; i += kWidth) sumPlaces<1>(dy + i, stride, place, count, row + i, accumulate, scale, Whole{});
  if (i < end) sumPlaces<1>(dy + i, stride, place, count, row + i, accumulate, scale, Part{end - i});
}

// Each element is summed by one task, whatever the split: tasks are rows of dweight, but a row with many places is shared by tasks of its columns.
template <class T> WW_INLINE void backward(const EmbeddingBackward& a, Context& c) {
  constexpr int64_t kMany = 512, kColumns = 8 * kWidth;
  const int64_t V = a.dweight.sizes[0], C = a.dweight.sizes[1];
  const Places places = Places::sort(a.ids, V, a.paddingIndex, c);
  const int64_t* start = places.start;
  if (!a.dweight.accumulate)
    c.parallelFor(V, rowGrain(C), [&](int64_t begin, int64_t end, int) {
      for (int64_t v = begin; v < end; v++) {
        if (start[v] != start[v + 1]) continue;
        float* row = a.dweight.as<float>() + v * a.dweight.rowStride();
        eachVector(C, [&](int64_t i, auto lanes) WW_ALWAYS { store(row + i, zero(), lanes); });
      }
    });
  // A run of sorted places has the rows whose first place lies in it.
  const int64_t found = start[V];
  c.parallelFor(found, rowGrain(C), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end;) {
      const int64_t v = indexAt(a.ids, places.place[p]);
      if (start[v] == p && start[v + 1] - p <= kMany) sumRow<T>(a, places, v, 0, C);
      p = start[v + 1];
    }
  });
  // More than kMany places in a row hold one whose number is a multiple of kMany.
  for (int64_t p = 0; p < found;) {
    const int64_t v = indexAt(a.ids, places.place[p]), next = start[v + 1];
    if (next - start[v] > kMany)
      c.parallelFor(ceilDiv(C, kColumns), 1, [&](int64_t block, int64_t, int) { sumRow<T>(a, places, v, block * kColumns, minimum(block * kColumns + kColumns, C)); });
    p = ceilDiv(maximum(next, p + 1), kMany) * kMany;
  }
}

static size_t workspace(const EmbeddingBackward& a) {
  return a.dweight ? Places::bytes(a.ids.numel(), a.dweight.sizes[0]) : 0;
}

static void run(const EmbeddingBackward& a, Context& c) {
  if (a.dweight) dispatchFloat(a.dy.dtype, [&]<class T>() { backward<T>(a, c); });
}

}  // namespace

WW_KERNEL(Embedding)
WW_KERNEL_WITH_WORKSPACE(EmbeddingBackward)

}  // namespace warpweft::cpu::WW_ISA
