#pragma once
// Which tile and how many parts of the depth a product gets: the least of an estimate in cycles, which follows from sizes and the model of GPU alone, so that the
// same call adds in the same order every time.
#include <cstdlib>

#include "cuda/gemm/fma.cuh"
#include "cuda/gemm/tf32.cuh"
#include "cuda/gemm/warpgroup.cuh"

namespace warpweft::cuda::gemm {

enum class TileChoice { large, small, few, wideGroups, squareGroups };   // the last two are of warpgroups, for sm_90

inline bool ofWarpgroups(TileChoice tile) { return tile == TileChoice::wideGroups || tile == TileChoice::squareGroups; }

// WARPWEFT_MATMUL_ENGINE: portable keeps products off the warpgroups, warpgroups gives them all that fit; for tests, and to find out which of them is at fault.
enum class Engine { either, portable, warpgroups };
inline Engine engine() {
  static const Engine chosen = [] {
    const char* const text = std::getenv("WARPWEFT_MATMUL_ENGINE");
    const std::string name = text ? text : "";
    if (name.empty()) return Engine::either;
    if (name == "portable") return Engine::portable;
    if (name == "warpgroups") return Engine::warpgroups;
    throw std::runtime_error("WARPWEFT_MATMUL_ENGINE is " + name + ", expected portable or warpgroups");
  }();
  return chosen;
}

struct Plan {
  TileChoice tile;
  int64_t splits;
  int64_t blocks = 1;   // of tiles of warpgroups, at most: they stay where they are and go from place to place
};

struct TileSize { int64_t M, N, K; };
template <class Tile> inline constexpr TileSize kSizeOf{Tile::kM, Tile::kN, Tile::kK};

// What multiplies: tensor cores of 16 bits, tensor cores of 19, FMA units.
enum class Units { half, tf32, fma };
inline Units unitsOf(const Problem& p) { return p.type != DType::f32 ? Units::half : p.tf32 ? Units::tf32 : Units::fma; }

// Few rows of float32 are bound by reading b: they gain nothing by tensor cores, and keep their digits.
inline TileSize sizeOfTile(Units units, TileChoice tile) {
  const bool half = units == Units::half, tf32 = units == Units::tf32;
  switch (tile) {
    case TileChoice::large: return half ? kSizeOf<LargeTile> : tf32 ? kSizeOf<LargeTf32> : kSizeOf<LargeFma>;
    case TileChoice::small: return half ? kSizeOf<SmallTile> : tf32 ? kSizeOf<SmallTf32> : kSizeOf<SmallFma>;
    case TileChoice::wideGroups: return kSizeOf<WideGroups>;
    case TileChoice::squareGroups: return kSizeOf<SquareGroups>;
    default: return half ? kSizeOf<FewTile> : kSizeOf<FewFma>;
  }
}

inline Schedule scheduleOf(const Problem& p, const Plan& plan) {
  const TileSize t = sizeOfTile(unitsOf(p), plan.tile);
  return {ceilDiv(p.M, t.M), ceilDiv(p.N, t.N), ceilDiv(p.K, t.K), plan.splits, 0};
}

// Blocks follow each other on their multiprocessor; a block takes its steps, each bound by arithmetic or by what L2 delivers, the filling of its pipeline and the way
// out of its tile. A split depth costs the partial sums' way to memory and back, and one more launch.
inline double cyclesOf(const Problem& p, const Plan& plan, const DeviceInfo& info) {
  const int64_t multiprocessors = most(1, info.multiprocessors);
  const Units units = unitsOf(p);
  const bool half = units == Units::half, tensorCores = half || (units == Units::tf32 && plan.tile != TileChoice::few);
  const TileSize t = sizeOfTile(units, plan.tile);
  const Schedule s = scheduleOf(p, plan);
  // Of a multiprocessor: tensor cores, FMA units, its share of L2. sm_80 by its data sheet; sm_90 has twice the tensor cores, of which mma takes two thirds and wgmma
  // seven eighths (Luo et al. 2024, arXiv:2402.13499). Numbers of 19 bits go at half the rate of 16.
  const double ofHalf = info.capability != 90 ? 1024 : ofWarpgroups(plan.tile) ? 1792 : 1330;
  const double productsPerCycle = half ? ofHalf : tensorCores ? ofHalf / 2 : 128, bytesPerCycle = 32;
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
  const bool groups = info.capability == 90 && engine() != Engine::portable && fitsWarpgroups(p), portable = !groups || engine() != Engine::warpgroups;
  Plan best{TileChoice::small, 1};
  double least = -1;
  for (const TileChoice tile : {TileChoice::large, TileChoice::small, TileChoice::few, TileChoice::wideGroups, TileChoice::squareGroups}) {
    if ((tile == TileChoice::few && !few) || (ofWarpgroups(tile) ? !groups : !portable)) continue;
    for (const int64_t splits : kSplits) {
      if (splits > 1 && (p.batch.count > 1 || p.K < splits * kLeastDepth)) break;
      const Plan plan{tile, splits, most(1, info.multiprocessors)};
      const double cycles = cyclesOf(p, plan, info);
      if (least < 0 || cycles < least) least = cycles, best = plan;
    }
  }
  return best;
}

inline int64_t partialBytes(const Problem& p, const Plan& plan) {
  return plan.splits > 1 ? ceilDiv(plan.splits * p.M * Partials::pitchOf(p.N) * 4, 256) * 256 : 0;
}

}  // namespace warpweft::cuda::gemm
