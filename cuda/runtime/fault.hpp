#pragma once
// Device side of FaultWord. Included by kernels that check indices, after the device layer.
#include "runtime/library.hpp"

namespace warpweft::cuda {

// Reports the index `value` at `position`, which is not in [0, size): the lowest position wins, whatever the order of the threads. Rare, so a lock will do: it is
// tried anew in a loop and never waited for inside, so that threads of one warp cannot block each other.
__device__ inline void reportIndexFault(FaultWord* word, int64_t position, int64_t value, int64_t size) {
  volatile FaultWord* w = word;
  while (static_cast<uint64_t>(position) < w->position) {
    if (atomicCAS(&word->lock, ~0u, 0u) != ~0u) continue;
    if (static_cast<uint64_t>(position) < w->position) {
      w->value = value;
      w->size = size;
      w->position = static_cast<uint64_t>(position);
    }
    __threadfence();
    atomicExch(&word->lock, ~0u);
  }
}

}  // namespace warpweft::cuda
