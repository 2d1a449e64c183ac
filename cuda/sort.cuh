#pragma once
// Sorts pairs of a key and a value by key, stably: a radix sort from the lowest byte up (Satish, Harris, Garland 2009). No result depends on an order of atomics.
#include "cuda/kernel.cuh"

namespace warpweft::cuda {
namespace {   // kernels that are no templates: each file has its own

constexpr unsigned kSortThreads = 256, kSortRounds = 4, kSortTile = kSortThreads * kSortRounds, kDigits = 256;

struct SortedPairs { const uint32_t *keys, *values; };

// Memory that a sort of n pairs needs besides theirs.
struct SortScratch {
  uint32_t *keys, *values, *counts;
  static int64_t tiles(int64_t n) { return ceilDiv(n, kSortTile); }
  static size_t bytes(int64_t n) { return static_cast<size_t>(2 * n + tiles(n) * kDigits) * sizeof(uint32_t); }
  static SortScratch in(uint32_t* memory, int64_t n) { return {memory, memory + n, memory + 2 * n}; }
};

// counts[digit][tile]: how many keys of a tile have the digit.
__global__ void __launch_bounds__(kSortThreads) countDigits(const uint32_t* keys, uint32_t n, unsigned shift, uint32_t* counts) {
  WW_SHARED(uint32_t, count, [kDigits]);
  count[threadIdx.x] = 0;
  barrier();
  for (unsigned r = 0; r < kSortRounds; r++) {
    const uint32_t i = blockIdx.x * kSortTile + r * kSortThreads + threadIdx.x;
    if (i < n) atomicAdd(&count[keys[i] >> shift & (kDigits - 1)], 1u);
  }
  barrier();
  counts[threadIdx.x * gridDim.x + blockIdx.x] = count[threadIdx.x];
}

// Each count becomes the sum of those before it. One block: a run of counts a thread.
constexpr unsigned kScanThreads = 1024;
__global__ void __launch_bounds__(kScanThreads) scanCounts(uint32_t* counts, uint32_t n) {
  WW_SHARED(uint32_t, warps, [kWarp]);
  const uint32_t run = (n + kScanThreads - 1) / kScanThreads, begin = threadIdx.x * run, end = begin + run < n ? begin + run : n;
  uint32_t mine = 0;
  for (uint32_t i = begin; i < end; i++) mine += counts[i];
  uint32_t through = mine;   // of the lanes up to this one
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const uint32_t before = shuffleUp(through, distance);
    if (lane() >= distance) through += before;
  }
  if (lane() == kWarp - 1) warps[warpOfBlock()] = through;
  barrier();
  uint32_t before = through - mine;
  for (unsigned w = 0; w < warpOfBlock(); w++) before += warps[w];
  for (uint32_t i = begin; i < end; i++) {
    const uint32_t count = counts[i];
    counts[i] = before;
    before += count;
  }
}

// Moves the pairs of a tile to their places: in rounds, in each round warp after warp, in a warp lane after lane.
__global__ void __launch_bounds__(kSortThreads)
scatterPairs(const uint32_t* keys, const uint32_t* values, uint32_t n, unsigned shift, const uint32_t* starts, uint32_t* keysOut, uint32_t* valuesOut) {
  constexpr unsigned kWarps = kSortThreads / kWarp;
  WW_SHARED(uint32_t, count, [kWarps][kDigits]);
  WW_SHARED(uint32_t, start, [kDigits]);
  const unsigned warp = warpOfBlock();
  start[threadIdx.x] = starts[threadIdx.x * gridDim.x + blockIdx.x];
  for (unsigned r = 0; r < kSortRounds; r++) {
    for (unsigned w = 0; w < kWarps; w++) count[w][threadIdx.x] = 0;
    barrier();
    const uint32_t i = blockIdx.x * kSortTile + r * kSortThreads + threadIdx.x;
    const uint32_t key = i < n ? keys[i] : 0, digit = key >> shift & (kDigits - 1);
    const uint32_t same = lanesWithSame(i < n ? digit : kDigits);
    const unsigned rank = bitCount(same & lanesBelow());
    if (i < n && rank == 0) count[warp][digit] = bitCount(same);
    barrier();
    uint32_t total = start[threadIdx.x];   // of digit threadIdx.x: where each warp's keys begin
    for (unsigned w = 0; w < kWarps; w++) {
      const uint32_t here = count[w][threadIdx.x];
      count[w][threadIdx.x] = total;
      total += here;
    }
    start[threadIdx.x] = total;
    barrier();
    if (i < n) {
      const uint32_t to = count[warp][digit] + rank;
      keysOut[to] = key;
      valuesOut[to] = values[i];
    }
    barrier();
  }
}

// Keys are at most `highest`. The result lies in the memory of the pairs or in the scratch.
SortedPairs sortPairs(Stream stream, uint32_t* keys, uint32_t* values, uint32_t n, uint32_t highest, const SortScratch& scratch) {
  uint32_t *from = keys, *fromValues = values, *to = scratch.keys, *toValues = scratch.values;
  if (n == 0) return {from, fromValues};
  const auto tiles = static_cast<uint32_t>(SortScratch::tiles(n));
  for (unsigned shift = 0; shift < 32 && highest >> shift != 0; shift += 8) {
    launch<countDigits>(stream, tiles, kSortThreads, 0, from, n, shift, scratch.counts);
    launch<scanCounts>(stream, 1, kScanThreads, 0, scratch.counts, tiles * kDigits);
    launch<scatterPairs>(stream, tiles, kSortThreads, 0, from, fromValues, n, shift, scratch.counts, to, toValues);
    std::swap(from, to);
    std::swap(fromValues, toValues);
  }
  return {from, fromValues};
}

}  // namespace
}  // namespace warpweft::cuda
