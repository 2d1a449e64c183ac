#pragma once
// Elementwise kernels over tensors of any strides: which element of each operand a thread has, and the kernel that applies a function to them.
#include <tuple>
#include <utility>

#include "cuda/kernel.cuh"

namespace warpweft::cuda {

inline constexpr unsigned kLoopThreads = 256;

// n / d for n < 2^31 by a multiplication (Granlund, Montgomery 1994, figure 4.1).
struct Divider {
  uint32_t divisor, factor, shift;
  static Divider of(uint32_t d) {
    if (d == 0) d = 1;   // of a loop over nothing
    uint32_t s = 0;
    while (s < 32 && (uint64_t{1} << s) < d) s++;
    return {d, static_cast<uint32_t>((((uint64_t{1} << s) - d) << 32) / d + 1), s};
  }
  WW_DEVICE uint32_t operator()(uint32_t n) const {
    const auto high = static_cast<uint32_t>(static_cast<uint64_t>(n) * factor >> 32);
    return (high + n) >> shift;
  }
};

// The dimensions of N operands (the first is written), fewest first: those of size 1 are left out, neighbours that lie as one are one. Dimension 0 is the inner
// one, where the first operand has its smallest stride.
template <int N> struct Loop {
  int rank;
  int64_t total;
  int64_t sizes[kMaxRank];
  Divider dividers[kMaxRank];
  int64_t strides[N][kMaxRank];

  // Where element i of a loop of less than 2^31 elements lies in each operand.
  WW_DEVICE void offsets(int64_t i, int64_t (&out)[N]) const {
    WW_UNROLL for (int k = 0; k < N; k++) out[k] = 0;
    auto rest = static_cast<uint32_t>(i);
    for (int d = 0; d < rank; d++) {
      const uint32_t next = d + 1 == rank ? 0 : dividers[d](rest), index = rest - next * dividers[d].divisor;
      WW_UNROLL for (int k = 0; k < N; k++) out[k] += index * strides[k][d];
      rest = next;
    }
  }
  // The same for any number of elements, slower.
  WW_DEVICE void offsetsOfMany(int64_t i, int64_t (&out)[N]) const {
    WW_UNROLL for (int k = 0; k < N; k++) out[k] = 0;
    int64_t rest = i;
    for (int d = 0; d < rank; d++) {
      const int64_t next = d + 1 == rank ? 0 : rest / sizes[d], index = rest - next * sizes[d];
      WW_UNROLL for (int k = 0; k < N; k++) out[k] += index * strides[k][d];
      rest = next;
    }
  }

  // One dimension with another size; after that the total and the dividers are right again.
  void resize(int d, int64_t size) {
    sizes[d] = size;
    total = 1;
    for (int k = 0; k < rank; k++) {
      total *= sizes[k];
      dividers[k] = Divider::of(static_cast<uint32_t>(sizes[k]));
    }
  }
};

template <int N> Loop<N> loopOver(const View* const (&views)[N]) {
  Loop<N> l{};
  const View& y = *views[0];
  l.total = y.numel();
  int order[kMaxRank], n = 0;
  for (int d = y.rank - 1; d >= 0; d--)
    if (y.sizes[d] != 1) order[n++] = d;
  for (int i = 1; i < n; i++)   // by the strides of the first operand, later dimensions first among equals
    for (int j = i; j > 0 && y.strides[order[j]] < y.strides[order[j - 1]]; j--) std::swap(order[j], order[j - 1]);
  for (int i = 0; i < n; i++) {
    const int d = order[i];
    bool joins = l.rank > 0;
    for (int k = 0; k < N && joins; k++) joins = views[k]->strides[d] == l.strides[k][l.rank - 1] * l.sizes[l.rank - 1];
    if (joins) {
      l.sizes[l.rank - 1] *= y.sizes[d];
      continue;
    }
    l.sizes[l.rank] = y.sizes[d];
    for (int k = 0; k < N; k++) l.strides[k][l.rank] = views[k]->strides[d];
    l.rank++;
  }
  if (l.rank) l.resize(0, l.sizes[0]);
  return l;
}

// Calls body(loop, offsets) for parts of less than 2^31 elements, cut across the outer dimensions; offsets: where each operand begins.
template <int N, class F> void forEachPart(const Loop<N>& l, F&& body, const int64_t (&begin)[N] = {}) {
  if (l.total == 0) return;
  if (l.total < int64_t{1} << 31) return body(l, begin);
  const int outer = l.rank - 1;
  const int64_t whole = l.sizes[outer], half = l.rank > 1 ? whole / 2 : whole / 2 / 64 * 64;   // a loop of one dimension stays aligned
  int64_t second[N];
  for (int k = 0; k < N; k++) second[k] = begin[k] + half * l.strides[k][outer];
  Loop<N> part = l;
  part.resize(outer, half);
  forEachPart(part, body, begin);
  part.resize(outer, whole - half);
  forEachPart(part, body, second);
}

// Operand k can be read V elements at a time: they are adjacent and aligned, or one and the same.
template <class T, int V, int N> bool vectors(const Loop<N>& l, int k, const void* data) {
  const int64_t inner = l.rank ? l.strides[k][0] : 1;
  if (inner == 0 && k > 0) return true;
  bool good = inner == 1 && aligned(data, alignof(Vector<T, V>));
  for (int d = 1; d < l.rank; d++) good = good && l.strides[k][d] % V == 0;
  return good;
}

// What functions see: float32 for floating types, the element itself for others.
template <class T> WW_DEVICE auto decoded(T v) {
  if constexpr (kIsFloat<T>) return toFloat(v);
  else return v;
}
template <class T, class V> WW_DEVICE T encoded(V v) {
  if constexpr (kIsFloat<T>) return fromFloat<T>(static_cast<float>(v));
  else return static_cast<T>(v);
}

template <int V, class T> WW_DEVICE Vector<T, V> readVector(const T* p, int64_t innerStride) {
  if (V == 1 || innerStride != 0) return load<V, Cache::streamed>(p);
  Vector<T, V> v;
  const T one = *p;
  WW_UNROLL for (int i = 0; i < V; i++) v.v[i] = one;
  return v;
}

template <class Y, class F, class... X> WW_DEVICE void applyToOne(const F& f, bool accumulate, Y* y, const X&... x) {
  auto v = f(decoded(x)...);
  if constexpr (kIsFloat<Y>) {
    if (accumulate) v += toFloat(*y);
  }
  *y = encoded<Y>(v);
}

template <int V, class F, class Y, size_t... K, class... X>
WW_DEVICE void apply(const F& f, const Loop<sizeof...(X) + 1>& l, bool accumulate, int64_t i, std::index_sequence<K...>, Y* y, const X*... x) {
  int64_t o[sizeof...(X) + 1];
  l.offsets(i, o);
  if (V > 1 && i + V > l.total) {   // the rest of a loop of one dimension
    for (int64_t j = 0; j < l.total - i; j++) applyToOne<Y>(f, accumulate, y + o[0] + j, x[o[K + 1] + j * l.strides[K + 1][0]]...);
    return;
  }
  const auto compute = [&](const Vector<X, V>&... in) {
    Vector<Y, V> out;
    if constexpr (kIsFloat<Y>) {
      if (accumulate) out = load<V>(y + o[0]);
    }
    WW_UNROLL for (int j = 0; j < V; j++) {
      auto v = f(decoded(in.v[j])...);
      if constexpr (kIsFloat<Y>) {
        if (accumulate) v += toFloat(out.v[j]);
      }
      out.v[j] = encoded<Y>(v);
    }
    store(y + o[0], out);
  };
  compute(readVector<V>(x + o[K + 1], l.rank ? l.strides[K + 1][0] : 1)...);
}

// y = f(x …), or y += f(x …). One vector a thread: 2048 threads of a multiprocessor have 32 KB a operand under way, more than its share of the latency.
template <int V, class F, class Y, class... X>
__global__ void __launch_bounds__(kLoopThreads) elementwise(F f, Loop<sizeof...(X) + 1> l, bool accumulate, Y* y, const X*... x) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kLoopThreads + threadIdx.x) * V;
  if (i < l.total) apply<V>(f, l, accumulate, i, std::index_sequence_for<X...>{}, y, x...);
}

// Whether V elements at a time will do for all operands.
template <int V, class Y, class... X> bool vectorized(const Loop<sizeof...(X) + 1>& l, const Y* y, const X*... x) {
  if (l.rank > 1 && l.sizes[0] % V != 0) return false;
  int k = 0;
  return vectors<Y, V>(l, k, y) && (vectors<X, V>(l, ++k, x) && ...);
}

template <int V, class F, class Y, class... X> void launchElementwise(Stream stream, const F& f, const Loop<sizeof...(X) + 1>& l, bool accumulate, Y* y, const X*... x) {
  forEachPart(l, [&](const Loop<sizeof...(X) + 1>& part, const int64_t (&begin)[sizeof...(X) + 1]) {
    [[maybe_unused]] int k = 0;
    const std::tuple<const X*...> from{x + begin[++k]...};   // in order: braces
    std::apply([&](const X*... p) {
      launch<elementwise<V, F, Y, X...>>(stream, blocksFor(ceilDiv(part.total, V), kLoopThreads), kLoopThreads, 0, f, part, accumulate, y + begin[0], p...);
    }, from);
  });
}

}  // namespace warpweft::cuda
