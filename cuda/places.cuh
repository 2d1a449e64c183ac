#pragma once
// The places of each id, in their order: what gradients of lookups add.
#include <string>

#include "cuda/sort.cuh"
#include "cuda/runtime/fault.hpp"   // wants the device layer before it

namespace warpweft::cuda {
namespace {   // kernels that are no templates: each file has its own

constexpr unsigned kPlaceThreads = 256;

// What is sorted: the id of a place, or `rows` where it does not count.
__global__ void __launch_bounds__(kPlaceThreads) prepareIds(Indices ids, uint32_t N, int64_t rows, int64_t ignored, uint32_t* keys, uint32_t* places, FaultWord* word) {
  const uint32_t n = blockIdx.x * kPlaceThreads + threadIdx.x;
  if (n >= N) return;
  const int64_t id = ids[n];
  const bool inside = id >= 0 && id < rows;
  if (!inside) reportIndexFault(word, n, id, rows);
  keys[n] = static_cast<uint32_t>(inside && id != ignored ? id : rows);
  places[n] = n;
}

// starts[v]: the first sorted place of an id of v or more.
__global__ void __launch_bounds__(kPlaceThreads) findStarts(const uint32_t* keys, uint32_t N, uint32_t rows, uint32_t* starts) {
  const uint32_t p = blockIdx.x * kPlaceThreads + threadIdx.x;
  if (p > N) return;
  const uint32_t from = p == 0 ? 0 : keys[p - 1] + 1, through = p == N ? rows : keys[p];
  for (uint32_t v = from; v <= through; v++) starts[v] = p;
}

// Places of v: places[starts[v]] … places[starts[v + 1] - 1].
struct Places {
  const uint32_t *starts, *places;

  // Of the workspace, for N ids of [0, rows).
  static size_t bytes(const char* op, int64_t N, int64_t rows) {
    if (N >= int64_t{1} << 31 || rows >= int64_t{1} << 31) throw Unsupported(std::string(op) + ": 2^31 ids or rows and more are not supported on this device");
    return static_cast<size_t>(rows + 2 + 2 * N) * sizeof(uint32_t) + SortScratch::bytes(N);
  }
  static Places sort(Context& context, const View& ids, int64_t rows, int64_t ignored) {
    const int64_t N = ids.numel();
    auto* starts = static_cast<uint32_t*>(context.workspace());
    uint32_t *keys = starts + rows + 2, *places = keys + N;
    const auto n = static_cast<uint32_t>(N), r = static_cast<uint32_t>(rows);
    const Stream stream = context.stream();
    if (N > 0) launch<prepareIds>(stream, blocksFor(N, kPlaceThreads), kPlaceThreads, 0, Indices::of(ids), n, rows, ignored, keys, places, context.faultWord());
    const SortedPairs sorted = sortPairs(stream, keys, places, n, r, SortScratch::in(places + N, N));
    launch<findStarts>(stream, blocksFor(N + 1, kPlaceThreads), kPlaceThreads, 0, sorted.keys, n, r, starts);
    return {starts, sorted.values};
  }
};

}  // namespace
}  // namespace warpweft::cuda
