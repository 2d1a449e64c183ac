#pragma once
// Hopper's copies: a thread begins to copy a box of a tensor (TMA), a barrier in shared memory (mbarrier) says when its bytes are there.
//
// A barrier goes through phases, whose parity is 0, 1, 0, … A phase is over when as many arrivals have come as it was initialised for, and as many bytes as were
// announced. waitFor(barrier, p) returns once the phase of parity p is over: at once for p = 1 at the beginning, since "the phase before the first" counts as over.
//
// The asynchronous proxy (TMA, wgmma) does not see what threads write to shared memory before each of them has called fenceAsyncProxy, and the reader was told by a
// barrier after it. Shared memory that it reads or writes is dynamic shared memory (sharedMemory<T>()).
#include "cuda/device/tensor_map.cuh"
#ifdef WARPWEFT_SIMT
#include "cuda/simt/async.hpp"
#endif

namespace warpweft::cuda {

struct alignas(8) Mbarrier { uint64_t state; };

#ifndef WARPWEFT_SIMT
WW_DEVICE uint32_t sharedAddress(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
#endif

// By one thread. Then fenceMbarrierInit, and a barrier of all threads that use it.
WW_DEVICE void initialise(Mbarrier* b, uint32_t arrivals WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::mbarrierInit(b, arrivals, {"mbarrier init", file, line});
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(sharedAddress(b)), "r"(arrivals) : "memory");
#endif
}
// Shows the barriers that this thread has initialised to the asynchronous proxy.
WW_DEVICE void fenceMbarrierInit(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::mbarrierInitFence({"fenceMbarrierInit", file, line});
#else
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

WW_DEVICE void arrive(Mbarrier* b WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::mbarrierArrive(b, {"mbarrier arrive", file, line});
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(sharedAddress(b)) : "memory");
#endif
}
// Announces bytes of this phase (2^20 - 1 at most) and arrives.
WW_DEVICE void arriveExpecting(Mbarrier* b, uint32_t bytes WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::mbarrierArriveExpect(b, bytes, {"mbarrier arrive", file, line});
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(sharedAddress(b)), "r"(bytes) : "memory");
#endif
}
WW_DEVICE void waitFor(Mbarrier* b, uint32_t parity WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::mbarrierWait(b, parity, {"mbarrier wait", file, line});
#else
  uint32_t over = 0;
  do {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n" : "=r"(over) : "r"(sharedAddress(b)), "r"(parity) : "memory");
  } while (!over);
#endif
}

// What this thread wrote to shared memory is seen by copies and products that begin after a barrier after it.
WW_DEVICE void fenceAsyncProxy(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::proxyFence({"fenceAsyncProxy", file, line});
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// By one thread: begins to bring the box that begins at `place` (innermost coordinate first) to shared memory, at a multiple of 128 bytes, 1024 if it is swizzled. The
// barrier gets all bytes of the box, those outside of the tensor too.
template <int kRank> WW_DEVICE void loadBox(void* to, const TensorMap* map, const int32_t (&place)[kRank], Mbarrier* b WW_AT) {
  static_assert(kRank == 2 || kRank == 3);
#ifdef WARPWEFT_SIMT
  simt::bulkLoad(to, map, place, kRank, b, {"loadBox", file, line});
#else
  if constexpr (kRank == 2)
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(sharedAddress(to)), "l"(map), "r"(place[0]), "r"(place[1]),
                 "r"(sharedAddress(b)) : "memory");
  else
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(sharedAddress(to)), "l"(map), "r"(place[0]),
                 "r"(place[1]), "r"(place[2]), "r"(sharedAddress(b)) : "memory");
#endif
}

// By one thread: begins to store a box. It belongs to the group that bulkCommit ends.
template <int kRank> WW_DEVICE void storeBox(const TensorMap* map, const int32_t (&place)[kRank], const void* from WW_AT) {
  static_assert(kRank == 2 || kRank == 3);
#ifdef WARPWEFT_SIMT
  simt::bulkStore(map, place, kRank, from, {"storeBox", file, line});
#else
  if constexpr (kRank == 2)
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map), "r"(place[0]), "r"(place[1]), "r"(sharedAddress(from)) : "memory");
  else
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(map), "r"(place[0]), "r"(place[1]), "r"(place[2]), "r"(sharedAddress(from))
                 : "memory");
#endif
}

// By one thread: begins to add floats of shared memory to those in global memory, each addition by itself; both at multiples of 16 bytes, as are `bytes`. In which order
// additions to one place happen is not said.
WW_DEVICE void addFloats(float* to, const void* from, uint32_t bytes WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::bulkReduceAdd(to, from, bytes, {"addFloats", file, line});
#else
  asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(to), "r"(sharedAddress(from)), "r"(bytes) : "memory");
#endif
}

WW_DEVICE void bulkCommit(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::bulkCommit({"bulkCommit", file, line});
#else
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}
// Until at most kPending groups of this thread, the latest, still read shared memory. A block may not end before its last group has.
template <int kPending> WW_DEVICE void bulkWaitRead(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::bulkWait(kPending, true, {"bulkWaitRead", file, line});
#else
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
#endif
}
// Until at most kPending groups are under way; what the others wrote is there.
template <int kPending> WW_DEVICE void bulkWait(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::bulkWait(kPending, false, {"bulkWait", file, line});
#else
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// Brings a map near, so that the first copy does not wait for it.
WW_DEVICE void prefetch(const TensorMap* map) {
#ifdef WARPWEFT_SIMT
  static_cast<void>(map);
#else
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
#endif
}

}  // namespace warpweft::cuda
