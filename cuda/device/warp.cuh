#pragma once
// Barriers, and what the lanes of a warp tell each other. All lanes of `mask` (all 32 by default) have to come to the same call.
#include "cuda/device/math.cuh"
#ifdef WARPWEFT_SIMT
#include "cuda/simt/collectives.hpp"
#endif

namespace warpweft::cuda {

WW_DEVICE unsigned lane() { return threadIdx.x % kWarp; }             // in blocks of one dimension, as are all of ours
WW_DEVICE unsigned warpOfBlock() { return threadIdx.x / kWarp; }

// All threads of the block; what they wrote to shared and global memory before is seen by all after.
WW_DEVICE void barrier(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::barrier(0, simt::block.threads, true, {"barrier", file, line});
#else
  __syncthreads();
#endif
}

// `threads` (a multiple of 32) threads of the block at barrier 1 to 15; those that only bring something need not wait (barrierArrive).
WW_DEVICE void barrier(int id, unsigned threads WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::barrier(id, threads, false, {"barrier of a number", file, line});
#else
  asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}
WW_DEVICE void barrierArrive(int id, unsigned threads WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::barrierArrive(id, threads, {"barrierArrive", file, line});
#else
  asm volatile("barrier.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

WW_DEVICE void warpBarrier(uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::warpBarrier(mask, {"warpBarrier", file, line});
#else
  __syncwarp(mask);
#endif
}

// The value of another lane. T: 4 or 8 bytes. A lane that does not exist gives the own value (Up, Down), one that is not in the mask nothing meaningful.
template <class T> WW_DEVICE T shuffleXor(T v, unsigned flip, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::shuffle(v, simt::self->lane ^ flip, mask, {"shuffleXor", file, line});
#else
  return __shfl_xor_sync(mask, v, static_cast<int>(flip));
#endif
}
template <class T> WW_DEVICE T shuffleDown(T v, unsigned distance, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  const unsigned from = simt::self->lane + distance;
  return simt::shuffle(v, from < kWarp ? from : simt::self->lane, mask, {"shuffleDown", file, line});
#else
  return __shfl_down_sync(mask, v, distance);
#endif
}
template <class T> WW_DEVICE T shuffleUp(T v, unsigned distance, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::shuffle(v, simt::self->lane >= distance ? simt::self->lane - distance : simt::self->lane, mask, {"shuffleUp", file, line});
#else
  return __shfl_up_sync(mask, v, distance);
#endif
}
template <class T> WW_DEVICE T shuffle(T v, unsigned from, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::shuffle(v, from % kWarp, mask, {"shuffle", file, line});
#else
  return __shfl_sync(mask, v, static_cast<int>(from));
#endif
}

// Bit k: the answer of lane k.
WW_DEVICE uint32_t ballot(bool v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::ballot(v, mask, {"ballot", file, line});
#else
  return __ballot_sync(mask, v);
#endif
}
WW_DEVICE bool anyOf(bool v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::ballot(v, mask, {"anyOf", file, line}) != 0;
#else
  return __any_sync(mask, v);
#endif
}
WW_DEVICE bool allOf(bool v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::ballot(!v, mask, {"allOf", file, line}) == 0;
#else
  return __all_sync(mask, v);
#endif
}
// The lanes that brought the same value.
WW_DEVICE uint32_t lanesWithSame(uint32_t v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::lanesWithSame(v, mask, {"lanesWithSame", file, line});
#else
  return __match_any_sync(mask, v);
#endif
}

WW_DEVICE unsigned bitCount(uint32_t v) {
#ifdef WARPWEFT_SIMT
  return static_cast<unsigned>(__builtin_popcount(v));
#else
  return static_cast<unsigned>(__popc(v));
#endif
}
WW_DEVICE uint32_t lanesBelow() { return (1u << lane()) - 1; }

// Integers over the lanes, in one instruction.
WW_DEVICE uint32_t reduceAdd(uint32_t v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::reduce(v, mask, [](uint32_t a, uint32_t b) { return a + b; }, {"reduceAdd", file, line});
#else
  return __reduce_add_sync(mask, v);
#endif
}
WW_DEVICE int32_t reduceMax(int32_t v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::reduce(v, mask, [](int32_t a, int32_t b) { return a > b ? a : b; }, {"reduceMax", file, line});
#else
  return __reduce_max_sync(mask, v);
#endif
}
WW_DEVICE int32_t reduceMin(int32_t v, uint32_t mask = kAllLanes WW_AT) {
#ifdef WARPWEFT_SIMT
  return simt::reduce(v, mask, [](int32_t a, int32_t b) { return a < b ? a : b; }, {"reduceMin", file, line});
#else
  return __reduce_min_sync(mask, v);
#endif
}

// Sum and maximum over a warp (or its neighbouring groups of `kLanes` lanes) in a fixed order; every lane has the result, all the same bits. NaN stays NaN.
template <unsigned kLanes = kWarp, class T> WW_DEVICE T warpSum(T v WW_AT) {
  WW_UNROLL for (unsigned flip = kLanes / 2; flip > 0; flip /= 2) v += shuffleXor(v, flip, kAllLanes WW_PASS);
  return v;
}
template <unsigned kLanes = kWarp> WW_DEVICE float warpMax(float v WW_AT) {
  WW_UNROLL for (unsigned flip = kLanes / 2; flip > 0; flip /= 2) v = maximum(v, shuffleXor(v, flip, kAllLanes WW_PASS));
  return v;
}

// A reduction over a block of kThreads threads (a power of two): warps, then the first words of shared memory. All threads have the result. `scratch` has
// room for kThreads / 32 values and may be used again at once.
template <unsigned kThreads, class T, class F> WW_DEVICE T blockReduce(T v, T* scratch, F&& combine WW_AT) {
  WW_UNROLL for (unsigned flip = kThreads < kWarp ? kThreads / 2 : kWarp / 2; flip > 0; flip /= 2) v = combine(v, shuffleXor(v, flip, kAllLanes WW_PASS));
  if constexpr (kThreads > kWarp) {
    constexpr unsigned kWarps = kThreads / kWarp;
    barrier(WW_PASS_ALONE);
    if (lane() == 0) scratch[warpOfBlock()] = v;
    barrier(WW_PASS_ALONE);
    v = scratch[lane() % kWarps];
    WW_UNROLL for (unsigned flip = kWarps / 2; flip > 0; flip /= 2) v = combine(v, shuffleXor(v, flip, kAllLanes WW_PASS));
  }
  return v;
}

// The same for N sums at once, with two barriers for all of them. `scratch` has room for N kThreads / 32 values.
template <unsigned kThreads, int N> WW_DEVICE void blockSums(float (&v)[N], float* scratch WW_AT) {
  WW_UNROLL for (int n = 0; n < N; n++) v[n] = warpSum<kThreads < kWarp ? kThreads : kWarp>(v[n] WW_PASS);
  if constexpr (kThreads > kWarp) {
    constexpr unsigned kWarps = kThreads / kWarp;
    barrier(WW_PASS_ALONE);
    if (lane() == 0) WW_UNROLL for (unsigned n = 0; n < N; n++) scratch[n * kWarps + warpOfBlock()] = v[n];
    barrier(WW_PASS_ALONE);
    WW_UNROLL for (unsigned n = 0; n < N; n++) v[n] = warpSum<kWarps>(scratch[n * kWarps + lane() % kWarps] WW_PASS);
  }
}

}  // namespace warpweft::cuda
