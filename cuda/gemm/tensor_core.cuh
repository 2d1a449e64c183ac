#pragma once
// Products of bfloat16 and float16 by tensor cores: a ring of tiles in shared memory that cp.async fills (kStages - 1 of them ahead), fragments that are read one
// step before they are multiplied, sums in registers. For all GPUs since sm_80.
#include "cuda/gemm/epilogue.cuh"
#include "cuda/gemm/loader.cuh"
#include "cuda/gemm/schedule.cuh"

namespace warpweft::cuda::gemm {

// A block's tile of c, kM by kN, in steps of kK; its warps' tiles; stages of the ring.
template <int M, int N, int K, int WarpM, int WarpN, int Stages, int Blocks> struct TensorTile {
  static constexpr int kM = M, kN = N, kK = K, kWarpM = WarpM, kWarpN = WarpN, kStages = Stages;
  static constexpr int kBlocks = Blocks;   // that share a multiprocessor
  static constexpr int kWarpsAcross = N / WarpN, kThreads = M / WarpM * kWarpsAcross * 32;
  static constexpr int kSlabPitch = N + 8;   // of the sums on their way out, WarpM rows at a time; pairs of eight rows lie in different banks
  static constexpr size_t kRing = size_t{2} * Stages * (M + N) * K, kSlab = size_t{4} * WarpM * kSlabPitch;
  static constexpr size_t kShared = kRing > kSlab ? kRing : kSlab;
  static_assert(kShared <= 99 * 1024, "sm_86, 89 and 120 have no more");
};

// Large products; those that would leave multiprocessors idle; few rows, which are bound by reading b.
using LargeTile = TensorTile<128, 128, 32, 64, 64, 3, 2>;
using SmallTile = TensorTile<64, 64, 32, 32, 32, 4, 4>;
using FewTile = TensorTile<16, 64, 64, 16, 16, 4, 4>;

struct TensorProduct {
  Operand a, b;
  int64_t M, N, K;
  bool chunkedA, chunkedB;   // Loader
  Schedule schedule;
  Batch batch;
  Epilogue epilogue;
  Partials partials;
};

// When the tiles of a ring may be read and overwritten, and by whom: tests put mistakes in its place.
template <int kStages> struct Ring {
  // After this the tile of the next step is there for all threads, and nobody reads that of the step before any more.
  static WW_DEVICE void turn() {
    cpAsyncWait<kStages - 2>();
    barrier();
  }
  static WW_DEVICE int64_t stepsOf(int64_t first, int64_t last) { return last - first; }
  static WW_DEVICE int laneOfFragment() { return static_cast<int>(lane()); }
};

// The fragments of sums of all warps leave through shared memory, a row of warps at a time. Nothing is copied to the ring any more.
template <class T, class Tile, class Product, int kDown, int kAcross>
WW_DEVICE void wayOut(const Product& p, const Place& place, const int64_t (&offsets)[kMoving], const float (&sums)[kDown][kAcross][4]) {
  Epilogue epilogue = p.epilogue;
  epilogue.template move<T>(offsets);
  auto* const slab = sharedMemory<float>();
  const int warp = static_cast<int>(warpOfBlock()), g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
  WW_UNROLL for (int turn = 0; turn < Tile::kM / Tile::kWarpM; turn++) {
    barrier();   // nobody reads the ring, or the slab before, any more
    if (warp / Tile::kWarpsAcross == turn)
      WW_UNROLL for (int i = 0; i < kDown; i++)
        WW_UNROLL for (int j = 0; j < kAcross; j++)
          WW_UNROLL for (int half = 0; half < 2; half++) {
            Vector<float, 2> pair;
            pair.v[0] = sums[i][j][2 * half], pair.v[1] = sums[i][j][2 * half + 1];
            store(slab + (16 * i + 8 * half + g) * Tile::kSlabPitch + warp % Tile::kWarpsAcross * Tile::kWarpN + 8 * j + 2 * t, pair);
          }
    barrier();
    finishSlab<T, Tile::kWarpM, Tile::kN, Tile::kSlabPitch, Tile::kThreads>(epilogue, p.partials, place.split, slab, place.down * Tile::kM + turn * Tile::kWarpM, place.across * Tile::kN,
                                                                                   static_cast<int>(threadIdx.x));
  }
}

template <class T, class Tile, Layout kLayoutA, Layout kLayoutB, class Turns = Ring<Tile::kStages>>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) tensorProduct(TensorProduct p) {
  using LoaderA = Loader<T, kLayoutA, Tile::kM, Tile::kK, Tile::kThreads>;
  using LoaderB = Loader<T, kLayoutB, Tile::kN, Tile::kK, Tile::kThreads>;
  constexpr int kDown = Tile::kWarpM / 16, kAcross = Tile::kWarpN / 16, kSteps = Tile::kK / 16, kStage = LoaderA::kElements + LoaderB::kElements;
  static_assert(kSteps % 2 == 0, "fragments alternate between two sets of registers");
  T* const ring = sharedMemory<T>();
  const Place place = placeOf(p.schedule, blockIdx.x);
  int64_t offsets[kMoving];
  p.batch.offsets(place.batch, offsets);
  const int64_t row = place.down * Tile::kM, column = place.across * Tile::kN, steps = Turns::stepsOf(place.firstStep, place.lastStep);
  LoaderA loaderA(p.a, offsets[kA], p.M, p.K, row, place.firstStep * Tile::kK, p.chunkedA);
  LoaderB loaderB(p.b, offsets[kB], p.N, p.K, column, place.firstStep * Tile::kK, p.chunkedB);
  const int warp = static_cast<int>(warpOfBlock()), warpRow = warp / Tile::kWarpsAcross * Tile::kWarpM, warpColumn = warp % Tile::kWarpsAcross * Tile::kWarpN;

  // The block's next step, `step`, goes to a stage of the ring; a group of copies each step, also where there is none.
  const auto issue = [&](int64_t step, int stage) {
    if (step < steps) {
      T* const tile = ring + stage * kStage;
      loaderA.issue(tile);
      loaderB.issue(tile + LoaderA::kElements);
    }
    cpAsyncCommit();
  };
  uint32_t a[2][kDown][4], b[2][kAcross][4];
  const auto fetch = [&](int set, int stage, int k) {
    const T* const tile = ring + stage * kStage;
    WW_UNROLL for (int i = 0; i < kDown; i++) fragment<LoaderA, true>(a[set][i], tile, warpRow + 16 * i, k, Turns::laneOfFragment());
    WW_UNROLL for (int j = 0; j < kAcross; j++) fragment<LoaderB, false>(b[set][j], tile + LoaderA::kElements, warpColumn + 16 * j, k, Turns::laneOfFragment());
  };

  float sums[kDown][2 * kAcross][4];
  WW_UNROLL for (int i = 0; i < kDown; i++)
    WW_UNROLL for (int j = 0; j < 2 * kAcross; j++) WW_UNROLL for (int v = 0; v < 4; v++) sums[i][j][v] = 0;

  WW_UNROLL for (int s = 0; s + 1 < Tile::kStages; s++) issue(s, s);
  Turns::turn();
  fetch(0, 0, 0);
  int stage = 0, free = Tile::kStages - 1;   // the one that is read, and the one that is filled
  for (int64_t step = 0; step < steps; step++) {
    const int next = stage + 1 == Tile::kStages ? 0 : stage + 1;
    issue(step + Tile::kStages - 1, free);
    WW_UNROLL for (int s = 0; s < kSteps; s++) {
      if (s + 1 < kSteps) {
        fetch((s + 1) % 2, stage, 16 * (s + 1));
      } else {
        Turns::turn();
        fetch((s + 1) % 2, next, 0);   // beyond the last step: nothing that is used
      }
      WW_UNROLL for (int i = 0; i < kDown; i++)
        WW_UNROLL for (int j = 0; j < kAcross; j++) {
          mma<T>(sums[i][2 * j], a[s % 2][i], {b[s % 2][j][0], b[s % 2][j][1]});
          mma<T>(sums[i][2 * j + 1], a[s % 2][i], {b[s % 2][j][2], b[s % 2][j][3]});
        }
    }
    free = stage;
    stage = next;
  }
  cpAsyncWaitAll();
  wayOut<T, Tile>(p, place, offsets, sums);
}

}  // namespace warpweft::cuda::gemm
