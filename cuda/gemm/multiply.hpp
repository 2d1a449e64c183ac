#pragma once
// A product, once it is known how it is cut. Each type of element is compiled in a file of its own.
#include "cuda/gemm/plan.hpp"

namespace warpweft::cuda::gemm {

// `memory` has partialBytes(p, plan), at a multiple of 16 bytes. None of M, N and the batch is empty.
template <class T> void multiply(const Problem& p, const Plan& plan, void* memory, Stream stream);
template <> void multiply<float>(const Problem& p, const Plan& plan, void* memory, Stream stream);
template <> void multiply<bf16>(const Problem& p, const Plan& plan, void* memory, Stream stream);
template <> void multiply<f16>(const Problem& p, const Plan& plan, void* memory, Stream stream);
// float32 by tensor cores, for large and small tiles.
void multiplyTf32(const Problem& p, const Plan& plan, void* memory, Stream stream);

inline Partials partialsOf(const Problem& p, const Plan& plan, void* memory) {
  return plan.splits > 1 ? Partials{static_cast<float*>(memory), Partials::pitchOf(p.N)} : Partials{nullptr, 0};
}

// Launches for as many products of the batch at a time as there may be blocks, then adds the parts of the depth. begin(Schedule, blocks) launches.
template <class T, class F> void launchAll(const Problem& p, const Plan& plan, const Epilogue& epilogue, const Partials& partials, Stream stream, F&& begin) {
  constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
  Schedule s = scheduleOf(p, plan);
  const int64_t atOnce = most(1, kMostBlocks / s.blocksOfProduct());
  for (; s.firstBatch < p.batch.count; s.firstBatch += atOnce)
    begin(s, dim3(static_cast<unsigned>(s.blocksOfProduct() * least(atOnce, p.batch.count - s.firstBatch))));
  if (plan.splits > 1) launch<combine<T>>(stream, blocksFor(p.M * (partials.pitch / kUnit), kCombineThreads), kCombineThreads, 0, epilogue, partials, plan.splits);
}

// Whether lines of a float32 operand lie together in quads: four of them at multiples of 16 bytes in every step of k. The same along k is quadsAlong(…, true).
inline bool quadsAlong(const Problem& p, Moving which, bool alongDepth) {
  const Operand& x = which == kA ? p.a : p.b;
  const int64_t lines = which == kA ? p.M : p.N;
  bool whole = aligned(x.data, 16) && (alongDepth ? x.depth == 1 && (lines == 1 || x.line % 4 == 0) : (x.line == 1 || lines == 1) && x.depth % 4 == 0);
  for (int d = 0; d < p.batch.rank; d++) whole = whole && p.batch.strides[d][which] % 4 == 0;
  return whole;
}

// The table of instantiations for 16-bit types, 13 for each: large and small tiles of all layouts, few rows copied along k.
template <class T> void multiplyHalf(const Problem& p, const Plan& plan, void* memory, Stream stream) {
  const Layout layoutA = layoutOf(p, kA), layoutB = layoutOf(p, kB);
  const Epilogue epilogue = Epilogue::of(p);
  const Partials partials = partialsOf(p, plan, memory);
  const auto with = [&]<class Tile, Layout kLayoutA, Layout kLayoutB>() {
    launchAll<T>(p, plan, epilogue, partials, stream, [&](const Schedule& s, dim3 blocks) {
      launch<tensorProduct<T, Tile, kLayoutA, kLayoutB>>(stream, blocks, Tile::kThreads, Tile::kShared,
                                                         TensorProduct{p.a, p.b, p.M, p.N, p.K, layoutA == Layout::depth, layoutB == Layout::depth, s, p.batch, epilogue, partials});
    });
  };
  const auto withTile = [&]<class Tile, bool kLinesOfA>() {
    constexpr Layout D = Layout::depth, L = Layout::lines, E = Layout::elements;
    if constexpr (kLinesOfA) {
      if (layoutA == L && layoutB == D) return with.template operator()<Tile, L, D>();
      if (layoutA == L && layoutB == L) return with.template operator()<Tile, L, L>();
    }
    if (layoutA == D && layoutB == D) return with.template operator()<Tile, D, D>();
    if (layoutA == D && layoutB == L) return with.template operator()<Tile, D, L>();
    with.template operator()<Tile, E, E>();
  };
  switch (plan.tile) {
    case TileChoice::large: return withTile.template operator()<LargeTile, true>();
    case TileChoice::small: return withTile.template operator()<SmallTile, true>();
    case TileChoice::few: return withTile.template operator()<FewTile, false>();
  }
}

}  // namespace warpweft::cuda::gemm
