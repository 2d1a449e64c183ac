#pragma once
// Which tile and how many parts of the depth a product gets: the least of an estimate in cycles, which follows from sizes and the model of GPU alone, so that the
// same call adds in the same order every time.
#include "cuda/gemm/fma.cuh"
#include "cuda/gemm/tf32.cuh"

namespace warpweft::cuda::gemm {

enum class TileChoice { large, small, few };

struct Plan {
  TileChoice tile;
  int64_t splits;
};

struct TileSize { int64_t M, N, K; };
template <class Tile> inline constexpr TileSize kSizeOf{Tile::kM, Tile::kN, Tile::kK};

// What multiplies: tensor cores of 16 bits, tensor cores of 19, FMA units.
enum class Engine { half, tf32, fma };
inline Engine engineOf(const Problem& p) { return p.type != DType::f32 ? Engine::half : p.tf32 ? Engine::tf32 : Engine::fma; }

// Few rows of float32 are bound by reading b: they gain nothing by tensor cores, and keep their digits.
inline TileSize sizeOfTile(Engine engine, TileChoice tile) {
  const bool half = engine == Engine::half, tf32 = engine == Engine::tf32;
  switch (tile) {
    case TileChoice::large: return half ? kSizeOf<LargeTile> : tf32 ? kSizeOf<LargeTf32> : kSizeOf<LargeFma>;
    case TileChoice::small: return half ? kSizeOf<SmallTile> : tf32 ? kSizeOf<SmallTf32> : kSizeOf<SmallFma>;
    default: return half ? kSizeOf<FewTile> : kSizeOf<FewFma>;
  }
}

inline Schedule scheduleOf(const Problem& p, const Plan& plan) {
  const TileSize t = sizeOfTile(engineOf(p), plan.tile);
  return {ceilDiv(p.M, t.M), ceilDiv(p.N, t.N), ceilDiv(p.K, t.K), plan.splits, 0};
}

// Blocks follow each other on their multiprocessor; a block takes its steps, each bound by arithmetic or by what L2 delivers, the filling of its pipeline and the way
// out of its tile. A split depth costs the partial sums' way to memory and back, and one more launch.
inline double cyclesOf(const Problem& p, const Plan& plan, int64_t multiprocessors) {
  const Engine engine = engineOf(p);
  const bool half = engine == Engine::half, tensorCores = half || (engine == Engine::tf32 && plan.tile != TileChoice::few);
  const TileSize t = sizeOfTile(engine, plan.tile);
  const Schedule s = scheduleOf(p, plan);
  const double productsPerCycle = half ? 1024 : tensorCores ? 512 : 128, bytesPerCycle = 32;   // of a multiprocessor; sm_80: tensor cores, FMA units, its share of L2
  const double filling = 1000, launch = 4000;
  const double bytesOfElement = half ? 2 : 4, area = static_cast<double>(t.M * t.N);
  const double arithmetic = area * static_cast<double>(t.K) / productsPerCycle, traffic = static_cast<double>((t.M + t.N) * t.K) * bytesOfElement / bytesPerCycle;
  const double wayOut = area * (4. / 64 + 4. / bytesPerCycle);
  const int64_t blocks = s.blocksOfProduct() * p.batch.count;
  double cycles = static_cast<double>(ceilDiv(blocks, multiprocessors)) * (static_cast<double>(ceilDiv(s.steps, s.splits)) * (arithmetic > traffic ? arithmetic : traffic) + filling + wayOut);
  if (s.splits > 1) cycles += launch + static_cast<double>(p.M * p.N * s.splits) * 8 / (bytesPerCycle * static_cast<double>(multiprocessors));
  return cycles;
}

inline Plan planOf(const Problem& p, const DeviceInfo& info) {
  static constexpr int64_t kSplits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};
  static constexpr int64_t kLeastDepth = 256;   // of a part
  const bool half = p.type != DType::f32, few = p.M <= 16 && (!half || p.a.line != 1);   // tiles of few rows are copied along k
  Plan best{TileChoice::small, 1};
  double least = -1;
  for (const TileChoice tile : {TileChoice::large, TileChoice::small, TileChoice::few}) {
    if (tile == TileChoice::few && !few) continue;
    for (const int64_t splits : kSplits) {
      if (splits > 1 && (p.batch.count > 1 || p.K < splits * kLeastDepth)) break;
      const Plan plan{tile, splits};
      const double cycles = cyclesOf(p, plan, most(1, info.multiprocessors));
      if (least < 0 || cycles < least) least = cycles, best = plan;
    }
  }
  return best;
}

inline int64_t partialBytes(const Problem& p, const Plan& plan) {
  return plan.splits > 1 ? ceilDiv(plan.splits * p.M * Partials::pitchOf(p.N) * 4, 256) * 256 : 0;
}

}  // namespace warpweft::cuda::gemm
