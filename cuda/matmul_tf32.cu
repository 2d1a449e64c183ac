// Products of float32 by tensor cores.
#include "cuda/gemm/multiply.hpp"

namespace warpweft::cuda::gemm {

void multiplyTf32(const Problem& p, const Plan& plan, void* memory, Stream stream) {
  const bool alongA = quadsAlong(p, kA, true), alongB = quadsAlong(p, kB, true), quadsA = quadsAlong(p, kA, false), quadsB = quadsAlong(p, kB, false);
  const Epilogue epilogue = Epilogue::of(p);
  const Partials partials = partialsOf(p, plan, memory);
  const auto with = [&]<class Tile, bool kAlongA, bool kAlongB>() {
    launchAll<float>(p, plan, epilogue, partials, stream, [&](const Schedule& s, dim3 blocks) {
      launch<tf32Product<Tile, kAlongA, kAlongB>>(stream, blocks, Tile::kThreads, Tile::kShared, Tf32Product{p.a, p.b, p.M, p.N, p.K, quadsA, quadsB, s, p.batch, epilogue, partials});
    });
  };
  const auto withTile = [&]<class Tile>() {
    if (alongA) return alongB ? with.template operator()<Tile, true, true>() : with.template operator()<Tile, true, false>();
    return alongB ? with.template operator()<Tile, false, true>() : with.template operator()<Tile, false, false>();
  };
  if (plan.tile == TileChoice::large) withTile.template operator()<LargeTf32>();
  else withTile.template operator()<SmallTf32>();
}

}  // namespace warpweft::cuda::gemm
