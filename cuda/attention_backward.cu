// Backward attention (Dao 2023, "FlashAttention-2", section 3.1.2), the same bits every time: scores are computed twice, once by the blocks that own keys and once by
// those that own queries, so that no gradient is added to by two blocks and there are no atomics.
#include "ops/attention.hpp"

#include "cuda/attention/bias_gradient.cuh"
#include "cuda/attention/key_gradient.cuh"
#include "cuda/attention/packed.cuh"
#include "cuda/attention/query_gradient.cuh"

namespace warpweft::cuda {

using namespace attention;

size_t workspace(const AttentionBackward& a, const DeviceInfo&) {
  demandSupported(a);
  return flagBytes(a) + static_cast<size_t>(2 * a.lse.numel()) * sizeof(float);
}

void run(const AttentionBackward& a, Context& context) {
  const Stream stream = context.stream();
  const Problem p = Problem::of(a, launchCheck(a, context));
  const int64_t rows = a.lse.numel();
  auto* base = reinterpret_cast<float*>(static_cast<char*>(context.workspace()) + flagBytes(a));
  dispatchFloat(a.q.dtype, [&]<class T>() {
    constexpr int V = kVector<T>;
    BackwardArguments<T> arguments{p, Heads<const T>::of(a.dy), Heads<const T>::of(a.q), Heads<const T>::of(a.k), Heads<const T>::of(a.v), Heads<const T>::of(a.y),
                                   Heads<T>::of(a.dq), Heads<T>::of(a.dk), Heads<T>::of(a.dv), a.dq.accumulate, a.dk.accumulate, a.dv.accumulate, base, base + rows,
                                   inGroups<T>(a.dy, V) && inGroups<T>(a.q, V) && inGroups<T>(a.k, V) && inGroups<T>(a.v, V), inGroups<T>(a.dq, 2),
                                   inGroups<T>(a.dk, 2) && inGroups<T>(a.dv, 2), 0, 0};
    if (!a.dq.accumulate) launchZeros<T>(p, p.queryOffsets, a.dq, nullptr, stream);
    if (!a.dk.accumulate) launchZeros<T>(p, p.keyOffsets, a.dk, nullptr, stream);
    if (!a.dv.accumulate) launchZeros<T>(p, p.keyOffsets, a.dv, nullptr, stream);
    if (rows > 0) launch<attentionDelta<T>>(stream, blocksFor(rows, kDeltaThreads / kWarp), kDeltaThreads, 0, arguments, a.lse.as<const float>());
    if (a.biasGrad) launchBiasGradient(a, arguments, stream);
    if (p.heads == 0) return;
    dispatchWidth<T>(p.dim, [&]<int kWidth>() {
      using Tiles = BackwardTiles<T, kWidth>;
      constexpr unsigned kThreads = Tiles::kWarps * kWarp;
      arguments.queryBlocks = static_cast<int>(p.blocks(p.queries, 16 * Tiles::kWarps));
      arguments.keyBlocks = static_cast<int>(p.blocks(p.keys, 16 * Tiles::kWarps));
      if (a.dq && arguments.queryBlocks > 0)
        launch<attentionQueryGradient<T, kWidth>>(stream, blocksFor(static_cast<int64_t>(arguments.queryBlocks) * p.heads, 1), kThreads, kQueryGradientBytes<T, kWidth>, arguments);
      if ((!a.dk && !a.dv) || arguments.keyBlocks == 0) return;
      const dim3 grid = blocksFor(static_cast<int64_t>(arguments.keyBlocks) * p.groups, 1);
      if constexpr (kWidth <= 128) {
        launch<attentionKeyGradients<T, kWidth, Output::both>>(stream, grid, kThreads, kKeyGradientBytes<T, kWidth>, arguments);
      } else {
        if (a.dk) launch<attentionKeyGradients<T, kWidth, Output::keys>>(stream, grid, kThreads, kKeyGradientBytes<T, kWidth>, arguments);
        if (a.dv) launch<attentionKeyGradients<T, kWidth, Output::values>>(stream, grid, kThreads, kKeyGradientBytes<T, kWidth>, arguments);
      }
    });
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(AttentionBackward)
