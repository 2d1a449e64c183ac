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

// Adds the parts of the depth.
template <class T> void combineParts(const Problem& p, const Plan& plan, const Epilogue& epilogue, const Partials& partials, Stream stream) {
  if (plan.splits > 1) launch<combine<T>>(stream, blocksFor(p.M * (partials.pitch / kUnit), kCombineThreads), kCombineThreads, 0, epilogue, partials, plan.splits);
}

// Launches for as many products of the batch at a time as there may be blocks, then adds the parts of the depth. begin(Schedule, blocks) launches.
template <class T, class F> void launchAll(const Problem& p, const Plan& plan, const Epilogue& epilogue, const Partials& partials, Stream stream, F&& begin) {
  constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
  Schedule s = scheduleOf(p, plan);
  const int64_t atOnce = most(1, kMostBlocks / s.blocksOfProduct());
  for (; s.firstBatch < p.batch.count; s.firstBatch += atOnce)
    begin(s, dim3(static_cast<unsigned>(s.blocksOfProduct() * least(atOnce, p.batch.count - s.firstBatch))));
  combineParts<T>(p, plan, epilogue, partials, stream);
}

// On sm_90, by warpgroups. The table of instantiations for each type: two tiles, four ways for operands to lie.
template <class T> void multiplyByWarpgroups(const Problem& p, const Plan& plan, void* memory, Stream stream);
template <> void multiplyByWarpgroups<bf16>(const Problem& p, const Plan& plan, void* memory, Stream stream);
template <> void multiplyByWarpgroups<f16>(const Problem& p, const Plan& plan, void* memory, Stream stream);

template <class T, class Rules = WarpgroupRules> void multiplyByGroups(const Problem& p, const Plan& plan, void* memory, Stream stream) {
  const auto boxes = [&](Moving which, int lines) {
    const Operand& x = which == kA ? p.a : p.b;
    const int64_t count = which == kA ? p.M : p.N, batch = p.batch.rank > 0 ? p.batch.strides[0][which] : 0;
    return layoutOf(p, which) == Layout::depth ? boxesOf(p, x.data, p.K, count, x.line, batch, lines) : boxesOf(p, x.data, count, p.K, x.depth, batch, 64);
  };
  const auto with = [&]<class Tile, Major kMajorA, Major kMajorB>() {
    WarpgroupProduct product{};
    product.a = boxes(kA, Tile::kM);
    product.b = boxes(kB, Tile::kN);
    product.stored = plan.splits == 1 && storesBoxes(p);
    if (product.stored) product.c = boxesOf(p, p.c.data, p.N, p.M, p.c.row, p.batch.rank > 0 ? p.batch.strides[0][kC] : 0, 64);
    product.schedule = scheduleOf(p, plan);
    product.places = product.schedule.blocksOfProduct() * p.batch.count;
    product.batch = p.batch;
    product.epilogue = Epilogue::of(p);
    product.partials = partialsOf(p, plan, memory);
    product.movesA = p.batch.rank > 0 && p.batch.strides[0][kA] != 0;
    product.movesB = p.batch.rank > 0 && p.batch.strides[0][kB] != 0;
    launch<warpgroupProduct<T, Tile, kMajorA, kMajorB, Rules>>(stream, dim3(static_cast<unsigned>(least(plan.blocks, product.places))), Tile::kThreads, Tile::kShared, product);
    combineParts<T>(p, plan, product.epilogue, product.partials, stream);
  };
  const auto withTile = [&]<class Tile>() {
    constexpr Major D = Major::depth, L = Major::lines;
    const bool linesA = layoutOf(p, kA) == Layout::lines, linesB = layoutOf(p, kB) == Layout::lines;
    if (linesA && linesB) return with.template operator()<Tile, L, L>();
    if (linesA) return with.template operator()<Tile, L, D>();
    if (linesB) return with.template operator()<Tile, D, L>();
    with.template operator()<Tile, D, D>();
  };
  if (plan.tile == TileChoice::wideGroups) withTile.template operator()<WideGroups>();
  else withTile.template operator()<SquareGroups>();
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
    default: return multiplyByWarpgroups<T>(p, plan, memory, stream);
  }
}

}  // namespace warpweft::cuda::gemm
