#pragma once
// Packed sequences: offsets are checked on the device, and rows that no sequence owns get their zeros.
#include "cuda/attention/problem.cuh"
#include "cuda/runtime/fault.hpp"

namespace warpweft::cuda::attention {
namespace {   // kernels that are no templates: each file has its own

constexpr unsigned kCheckThreads = 256;

// broken = whether an offset falls or leaves [0, size]. One block.
__global__ void __launch_bounds__(kCheckThreads) checkOffsets(const int32_t* queryOffsets, const int32_t* keyOffsets, int count, int queries, int keys, uint32_t* broken,
                                                              FaultWord* word) {
  WW_SHARED(uint32_t, any, [1]);
  if (threadIdx.x == 0) any[0] = 0;
  barrier();
  for (int n = static_cast<int>(threadIdx.x); n < 2 * count; n += static_cast<int>(kCheckThreads)) {
    const int32_t* offsets = n < count ? queryOffsets : keyOffsets;
    const int i = n < count ? n : n - count, size = n < count ? queries : keys;
    if (offsets[i] >= (i ? offsets[i - 1] : 0) && offsets[i] <= size) continue;
    atomicOr(any, 1u);
    reportIndexFault(word, i, offsets[i], size + 1);
  }
  barrier();
  if (threadIdx.x == 0) *broken = any[0];
}

// Zeros in the rows [B, T, H] of `rows`, a warp each, before the first sequence and behind the last one; all of them where the offsets are broken. lse: -infinity there.
template <class T> __global__ void __launch_bounds__(kCheckThreads) zeroUnowned(Problem p, const int32_t* offsets, int total, int heads, Heads<T> rows, float* lse) {
  const unsigned n = blockIdx.x * (kCheckThreads / kWarp) + warpOfBlock();
  const int row = static_cast<int>(n / static_cast<unsigned>(heads)), head = static_cast<int>(n % static_cast<unsigned>(heads));
  if (row >= total) return;
  if (!*p.broken && row >= offsets[0] && row < offsets[p.sequences]) return;
  T* to = rows.at(0, row, head);
  for (int d = static_cast<int>(lane()); d < p.dim; d += static_cast<int>(kWarp)) to[d] = fromFloat<T>(0.f);
  if (lse && lane() == 0) lse[static_cast<int64_t>(head) * total + row] = -infinity();
}

}  // namespace

// The first piece of the workspace of ops with packed sequences.
template <class Op> size_t flagBytes(const Op& a) { return a.queryOffsets ? 256 : 0; }

// Launches the check and returns its result's place.
template <class Op> const uint32_t* launchCheck(const Op& a, Context& context) {
  if (!a.queryOffsets) return nullptr;
  auto* broken = static_cast<uint32_t*>(context.workspace());
  launch<checkOffsets>(context.stream(), 1, kCheckThreads, 0, a.queryOffsets.template as<const int32_t>(), a.keyOffsets.template as<const int32_t>(),
                       static_cast<int>(a.queryOffsets.sizes[0]), static_cast<int>(a.q.sizes[1]), static_cast<int>(a.k.sizes[1]), broken, context.faultWord());
  return broken;
}

template <class T> void launchZeros(const Problem& p, const int32_t* offsets, const View& rows, float* lse, Stream stream) {
  if (!p.queryOffsets || !rows || rows.sizes[1] * rows.sizes[2] == 0) return;
  launch<zeroUnowned<T>>(stream, blocksFor(rows.sizes[1] * rows.sizes[2], kCheckThreads / kWarp), kCheckThreads, 0, p, offsets, static_cast<int>(rows.sizes[1]),
                         static_cast<int>(rows.sizes[2]), Heads<T>::of(rows), lse);
}

}  // namespace warpweft::cuda::attention
