#include "ops/top_k.hpp"

#include "cpu/kernel.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

struct Candidate { int32_t key; int32_t index; };

// A number in the order of ops/top_k.hpp: NaN largest, -0 equal to 0.
WW_INLINE int32_t keyOf(float x) {
  if (x != x) return INT32_MAX;
  const auto bits = static_cast<int32_t>(bitsOf(x + 0.f));
  return bits ^ ((bits >> 31) & INT32_MAX);
}
// a comes after b in the result.
WW_INLINE bool worse(Candidate a, Candidate b) { return a.key != b.key ? a.key < b.key : a.index > b.index; }

// Heap with the worst on top.
WW_INLINE void sink(Candidate* heap, int64_t n, int64_t at, Candidate e) {
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && worse(heap[child + 1], heap[child])) child++;
    if (!worse(heap[child], e)) break;
    heap[at] = heap[child];
  }
  heap[at] = e;
}

// The first K make a heap; behind them only what is better than the worst kept one matters, which for most vectors one comparison denies.
template <class T> void selectBest(const T* x, int64_t V, int64_t K, Candidate* heap) {
  for (int64_t i = 0; i < K; i++) heap[i] = {keyOf(toFloat(x[i])), static_cast<int32_t>(i)};
  for (int64_t i = K / 2 - 1; i >= 0; i--) sink(heap, K, i, heap[i]);
  float bar = toFloat(x[heap[0].index]);
  const auto offer = [&](int64_t i) {
    const Candidate e{keyOf(toFloat(x[i])), static_cast<int32_t>(i)};
    if (!worse(heap[0], e)) return;
    sink(heap, K, 0, e);
    bar = toFloat(x[heap[0].index]);
  };
  int64_t i = K;
  for (; i + kWidth <= V; i += kWidth)
    if (!all(le(load(x + i), splat(bar))))   // NaN is not <= anything
      for (int64_t j = i; j < i + kWidth; j++) offer(j);
  for (; i < V; i++) offer(i);
  // Taking the worst away again and again leaves the best first.
  for (int64_t n = K - 1; n > 0; n--) {
    const Candidate last = heap[n];
    heap[n] = heap[0];
    sink(heap, n, 0, last);
  }
}

void run(const TopK& a, Context& c) {
  const int64_t R = a.x.rows(), V = a.x.columns(), K = a.values.columns(), stride = a.x.rowStride();
  if (R == 0 || K == 0) return;
  dispatchFloat(a.x.dtype, [&]<class T>() {
    c.parallelFor(R, ceilDiv(16384, V), [&](int64_t begin, int64_t end, int thread) {
      auto* heap = static_cast<Candidate*>(c.threadScratch(thread, static_cast<size_t>(K) * sizeof(Candidate)));
      for (int64_t r = begin; r < end; r++) {
        const T* x = a.x.as<const T>() + r * stride;
        selectBest(x, V, K, heap);
        for (int64_t k = 0; k < K; k++) {
          const int64_t at = heap[k].index;
          if (a.values.dtype == DType::f32) a.values.as<float>()[r * K + k] = toFloat(x[at]);
          else a.values.as<T>()[r * K + k] = x[at];
          if (a.indices.dtype == DType::i64) a.indices.as<int64_t>()[r * K + k] = at;
          else a.indices.as<int32_t>()[r * K + k] = static_cast<int32_t>(at);
        }
      }
    });
  });
}

}  // namespace
WW_KERNEL(TopK)
}  // namespace warpweft::cpu::WW_ISA
