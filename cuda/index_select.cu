#include "ops/index_select.hpp"

#include "cuda/kernel.cuh"
#include "cuda/places.cuh"
#include "cuda/runtime/fault.hpp"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

int64_t rowLength(const View& v) {
  int64_t n = 1;
  for (int d = 1; d < v.rank; d++) n *= v.sizes[d];
  return n;
}

// A unit (16 bytes where all rows are made of such, else an element) a thread.
template <class U> __global__ void __launch_bounds__(kThreads) select(int64_t total, int64_t units, int64_t N, const U* x, int64_t xStride, Indices ids, U* y, int64_t yStride, FaultWord* word) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t m = i / units, unit = i - m * units, id = ids[m];
  const bool valid = id >= 0 && id < N;
  if (!valid && unit == 0) reportIndexFault(word, m, id, N);
  y[m * yStride + unit] = valid ? x[id * xStride + unit] : U{};
}

using Sixteen = Vector<uint32_t, 4>;

// Each element of dx: the rows that go to it, in the order of m.
template <class S, class T>
__global__ void __launch_bounds__(kThreads) addRows(const uint32_t* starts, const uint32_t* places, int64_t N, int64_t C, const S* dy, int64_t dyStride, T* dx, int64_t dxStride, bool accumulate) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, n = i / C, column = i - n * C;
  if (n >= N) return;
  const uint32_t begin = starts[n], end = starts[n + 1];
  if (accumulate && begin == end) return;
  float sum = 0;
  for (uint32_t p = begin; p < end; p++) sum += toFloat(dy[places[p] * dyStride + column]);
  T& to = dx[n * dxStride + column];
  to = fromFloat<T>(accumulate ? toFloat(to) + sum : sum);
}

}  // namespace

void run(const IndexSelect& a, Context& context) {
  const int64_t M = a.ids.numel(), N = a.x.sizes[0], element = sizeOf(a.x.dtype), length = rowLength(a.x), bytes = length * element;
  if (M == 0 || bytes == 0) return;
  const auto with = [&]<class U>() {
    const auto size = static_cast<int64_t>(sizeof(U)), units = bytes / size, total = M * units;
    launch<select<U>>(context.stream(), blocksFor(total, kThreads), kThreads, 0, total, units, N, a.x.as<const U>(), a.x.strides[0] * element / size, Indices::of(a.ids),
                      a.y.as<U>(), a.y.strides[0] * element / size, context.faultWord());
  };
  const auto whole = [&](const View& v) { return aligned(v.data, 16) && (v.sizes[0] <= 1 || v.strides[0] * element % 16 == 0); };
  if (bytes % 16 == 0 && whole(a.x) && whole(a.y)) with.template operator()<Sixteen>();
  else dispatchBytes(a.x.dtype, with);
}

size_t workspace(const IndexAdd& a, const DeviceInfo&) { return a.dx ? Places::bytes("indexAdd", a.ids.numel(), a.dx.sizes[0]) : 0; }

void run(const IndexAdd& a, Context& context) {
  if (!a.dx) return;
  const int64_t N = a.dx.sizes[0], C = rowLength(a.dx);
  const Places places = Places::sort(context, a.ids, N, -1);
  if (N * C == 0) return;
  dispatchFloat(a.dy.dtype, [&]<class S>() {
    dispatchFloat(a.dx.dtype, [&]<class T>() {
      launch<addRows<S, T>>(context.stream(), blocksFor(N * C, kThreads), kThreads, 0, places.starts, places.places, N, C, a.dy.as<const S>(), a.dy.strides[0], a.dx.as<T>(),
                            a.dx.strides[0], a.dx.accumulate);
    });
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(IndexSelect)
WW_CUDA_KERNEL_WITH_WORKSPACE(IndexAdd)
