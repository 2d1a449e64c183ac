#pragma once
// Products of float32 by tensor cores, for those who ask for it: operands are rounded to 10 bits of fraction (ties away from zero) as they are read from shared memory,
// products are exact and sums float32. Tiles lie in shared memory as their operands do, along k or along the lines, at pitches by which the 32 lanes of a fragment read
// 32 banks.
#include "cuda/gemm/fma.cuh"
#include "cuda/gemm/tensor_core.cuh"

namespace warpweft::cuda::gemm {

template <int M, int N, int WarpM, int WarpN, int Stages, int Blocks> struct Tf32Tile {
  static constexpr int kM = M, kN = N, kK = 16, kWarpM = WarpM, kWarpN = WarpN, kStages = Stages, kBlocks = Blocks;
  static constexpr int kWarpsAcross = N / WarpN, kThreads = M / WarpM * kWarpsAcross * 32;
  static constexpr int kPitchDepth = kK + 4;                                  // of lines with their elements along k: 20 g + t are different banks
  static constexpr int pitchLines(int lines) { return lines + 8; }            // of steps of k with their elements along the lines: so are 8 t + g
  static constexpr int floatsOf(int lines) { return lines * kPitchDepth > kK * pitchLines(lines) ? lines * kPitchDepth : kK * pitchLines(lines); }
  static constexpr int kStage = floatsOf(M) + floatsOf(N);
  static constexpr int kSlabPitch = N + 8;
  static constexpr size_t kRing = size_t{4} * Stages * kStage, kSlab = size_t{4} * WarpM * kSlabPitch;
  static constexpr size_t kShared = kRing > kSlab ? kRing : kSlab;
  static_assert(kShared <= 99 * 1024, "sm_86, 89 and 120 have no more");
};

using LargeTf32 = Tf32Tile<128, 128, 64, 64, 3, 2>;
using SmallTf32 = Tf32Tile<64, 64, 32, 32, 3, 3>;

struct Tf32Product {
  Operand a, b;
  int64_t M, N, K;
  bool quadsA, quadsB;   // copied 16 bytes at a time; always along k
  Schedule schedule;
  Batch batch;
  Epilogue epilogue;
  Partials partials;
};

// Brings kLines lines, kDepth steps of k to tile[line][step], 16 bytes at a time; `from` is the first element.
template <int kLines, int kPitch, int kDepth, int kThreads> WW_DEVICE void loadDepth(float* tile, const float* from, const Operand& x, int lines, int left) {
  constexpr int kQuads = kDepth / 4;
  static_assert(kLines * kQuads % kThreads == 0);
  WW_UNROLL for (int i = 0; i < kLines * kQuads / kThreads; i++) {
    const int n = i * kThreads + static_cast<int>(threadIdx.x), line = n / kQuads, step = n % kQuads * 4, rest = left - step;
    cpAsync<16>(tile + line * kPitch + step, from + line * x.line + step, line >= lines || rest <= 0 ? 0u : rest < 4 ? 4u * static_cast<unsigned>(rest) : 16u);
  }
}

// kAlong: of each operand, whether its tile lies along k.
template <class Tile, bool kAlongA, bool kAlongB> __global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) tf32Product(Tf32Product p) {
  constexpr int kDown = Tile::kWarpM / 16, kAcross = Tile::kWarpN / 8, kPitchA = kAlongA ? Tile::kPitchDepth : Tile::pitchLines(Tile::kM);
  constexpr int kPitchB = kAlongB ? Tile::kPitchDepth : Tile::pitchLines(Tile::kN), kStageA = Tile::floatsOf(Tile::kM);
  float* const ring = sharedMemory<float>();
  const Place place = placeOf(p.schedule, blockIdx.x);
  int64_t offsets[kMoving];
  p.batch.offsets(place.batch, offsets);
  const int64_t row = place.down * Tile::kM, column = place.across * Tile::kN, k = place.firstStep * Tile::kK;
  const int steps = static_cast<int>(place.lastStep - place.firstStep);   // 2^31 of them are more than memory has
  const float* fromA = static_cast<const float*>(p.a.data) + offsets[kA] + row * p.a.line + k * p.a.depth;
  const float* fromB = static_cast<const float*>(p.b.data) + offsets[kB] + column * p.b.line + k * p.b.depth;
  const int rows = static_cast<int>(least(Tile::kM, p.M - row)), columns = static_cast<int>(least(Tile::kN, p.N - column));
  const auto issue = [&](int step, int stage) {
    if (step < steps) {
      float* const tile = ring + stage * Tile::kStage;
      const int left = static_cast<int>(least(Tile::kK, p.K - k - int64_t{step} * Tile::kK));
      if constexpr (kAlongA) loadDepth<Tile::kM, kPitchA, Tile::kK, Tile::kThreads>(tile, fromA, p.a, rows, left);
      else loadLines<Tile::kM, kPitchA, Tile::kK, Tile::kThreads>(tile, fromA, p.a, rows, left, p.quadsA);
      if constexpr (kAlongB) loadDepth<Tile::kN, kPitchB, Tile::kK, Tile::kThreads>(tile + kStageA, fromB, p.b, columns, left);
      else loadLines<Tile::kN, kPitchB, Tile::kK, Tile::kThreads>(tile + kStageA, fromB, p.b, columns, left, p.quadsB);
      fromA += Tile::kK * p.a.depth;
      fromB += Tile::kK * p.b.depth;
    }
    cpAsyncCommit();
  };

  const int warp = static_cast<int>(warpOfBlock()), g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
  const int warpRow = warp / Tile::kWarpsAcross * Tile::kWarpM + g, warpColumn = warp % Tile::kWarpsAcross * Tile::kWarpN + g;
  float sums[kDown][kAcross][4];
  WW_UNROLL for (int i = 0; i < kDown; i++) WW_UNROLL for (int j = 0; j < kAcross; j++) WW_UNROLL for (int v = 0; v < 4; v++) sums[i][j][v] = 0;
  WW_UNROLL for (int s = 0; s + 1 < Tile::kStages; s++) issue(s, s);
  int stage = 0, free = Tile::kStages - 1;
  for (int step = 0; step < steps; step++) {
    cpAsyncWait<Tile::kStages - 2>();
    barrier();   // the tile is there, and nobody reads the one before any more
    issue(step + Tile::kStages - 1, free);
    const float *const tileA = ring + stage * Tile::kStage, *const tileB = tileA + kStageA;
    const auto at = [](const float* tile, bool along, int pitch, int line, int depth) { return toTf32(tile[along ? line * pitch + depth : depth * pitch + line]); };
    WW_UNROLL for (int s = 0; s < Tile::kK; s += 8) {
      uint32_t a[kDown][4], b[kAcross][2];
      WW_UNROLL for (int i = 0; i < kDown; i++)
        WW_UNROLL for (int v = 0; v < 4; v++) a[i][v] = at(tileA, kAlongA, kPitchA, warpRow + 16 * i + 8 * (v % 2), s + t + 4 * (v / 2));
      WW_UNROLL for (int j = 0; j < kAcross; j++)
        WW_UNROLL for (int v = 0; v < 2; v++) b[j][v] = at(tileB, kAlongB, kPitchB, warpColumn + 8 * j, s + t + 4 * v);
      WW_UNROLL for (int i = 0; i < kDown; i++) WW_UNROLL for (int j = 0; j < kAcross; j++) mmaTf32(sums[i][j], a[i], b[j]);
    }
    free = stage;
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
  }
  cpAsyncWaitAll();
  wayOut<float, Tile>(p, place, offsets, sums);
}

}  // namespace warpweft::cuda::gemm
