#include "ops/index_select.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kGrainBytes = 65536;

WW_INLINE int64_t rowLength(const View& v) {
  int64_t n = 1;
  for (int d = 1; d < v.rank; d++) n *= v.sizes[d];
  return n;
}

void run(const IndexSelect& a, Context& c) {
  const int64_t M = a.ids.numel(), N = a.x.sizes[0], element = sizeOf(a.x.dtype), bytes = rowLength(a.x) * element;
  const int64_t xStride = a.x.strides[0] * element, yStride = a.y.strides[0] * element;
  if (bytes == 0) return;
  c.parallelFor(M, ceilDiv(kGrainBytes, maximum(bytes, 64)), [&](int64_t begin, int64_t end, int) {
    for (int64_t m = begin; m < end; m++) {
      const int64_t id = indexAt(a.ids, m);
      char* y = a.y.as<char>() + m * yStride;
      if (id >= 0 && id < N) {
        std::memcpy(y, a.x.as<const char>() + id * xStride, static_cast<size_t>(bytes));
      } else {
        std::memset(y, 0, static_cast<size_t>(bytes));
        c.indexFault(m, id, N);
      }
    }
  });
}

// Rows sorted by destination: after a stable counting sort, first[n] … first[n + 1] - 1 in `order` are the rows that go to n, in the order of m.
struct Buckets { int64_t *first, *order; };

Buckets sortByDestination(const IndexAdd& a, int64_t N, Context& c) {
  const int64_t M = a.ids.numel();
  auto* first = static_cast<int64_t*>(c.workspace());
  int64_t* order = first + N + 1;
  for (int64_t n = 0; n <= N; n++) first[n] = 0;
  for (int64_t m = 0; m < M; m++) {
    const int64_t id = indexAt(a.ids, m);
    if (id >= 0 && id < N) first[id + 1]++;
    else c.indexFault(m, id, N);
  }
  for (int64_t n = 0; n < N; n++) first[n + 1] += first[n];
  const int64_t total = first[N];
  for (int64_t m = M - 1; m >= 0; m--) {   // from the back: first[n + 1] ends as the start of bucket n
    const int64_t id = indexAt(a.ids, m);
    if (id >= 0 && id < N) order[--first[id + 1]] = m;
  }
  for (int64_t n = 0; n < N; n++) first[n] = first[n + 1];
  first[N] = total;
  return {first, order};
}

template <class S, class T> void addRows(const IndexAdd& a, const Buckets& buckets, Context& c) {
  const int64_t N = a.dx.sizes[0], C = rowLength(a.dx);
  c.parallelFor(N, ceilDiv(kGrain, maximum(C, 16)), [&](int64_t begin, int64_t end, int) {
    alignas(64) float sum[kBlock];
    for (int64_t n = begin; n < end; n++) {
      if (a.dx.accumulate && buckets.first[n] == buckets.first[n + 1]) continue;
      for (int64_t column = 0; column < C; column += kBlock) {
        const int64_t count = minimum(kBlock, C - column);
        for (int64_t i = 0; i < count; i++) sum[i] = 0.f;
        for (int64_t k = buckets.first[n]; k < buckets.first[n + 1]; k++) {
          const S* dy = a.dy.as<const S>() + buckets.order[k] * a.dy.strides[0] + column;
          eachVector(count, [&](int64_t i, auto lanes) { store(sum + i, load(sum + i, lanes) + load(dy + i, lanes), lanes); });
        }
        T* dx = a.dx.as<T>() + n * a.dx.strides[0] + column;
        if (a.dx.accumulate) addFloats(sum, dx, 1, count);
        else scatterFloats(sum, dx, 1, count);
      }
    }
  });
}

void run(const IndexAdd& a, Context& c) {
  if (!a.dx) return;
  const Buckets buckets = sortByDestination(a, a.dx.sizes[0], c);
  dispatchFloat(a.dy.dtype, [&]<class S>() { dispatchFloat(a.dx.dtype, [&]<class T>() { addRows<S, T>(a, buckets, c); }); });
}

size_t workspace(const IndexAdd& a) { return a.dx ? static_cast<size_t>(a.dx.sizes[0] + 1 + a.ids.numel()) * sizeof(int64_t) : 0; }

}  // namespace
WW_KERNEL(IndexSelect)
WW_KERNEL_WITH_WORKSPACE(IndexAdd)
}  // namespace warpweft::cpu::WW_ISA
