#pragma once
// Products of float32 without tensor cores: every product and sum is rounded to float32, as on the CPU. A block's tiles of a and b lie in shared memory with lines
// together for each step of k; a thread keeps the sums of a grid of 4 x 4 pieces of c in registers.
#include "cuda/gemm/epilogue.cuh"
#include "cuda/gemm/schedule.cuh"

namespace warpweft::cuda::gemm {

// A block's tile of c, a thread's part of it, steps of depth, stages of the ring.
template <int M, int N, int ThreadM, int ThreadN, int Blocks> struct FmaTile {
  static constexpr int kM = M, kN = N, kK = 16, kThreadM = ThreadM, kThreadN = ThreadN, kStages = 3, kBlocks = Blocks;
  static constexpr int kThreadsAcross = N / ThreadN, kThreads = M / ThreadM * kThreadsAcross;
  static constexpr int kPitchA = M + 4, kPitchB = N + 4;   // floats; 4 more, so that columns are spread over the banks when they are written
  static constexpr int kSlabRows = M / (ThreadM / 4), kSlabPitch = N + 4;
  static constexpr size_t kRing = size_t{4} * kStages * kK * (kPitchA + kPitchB), kSlab = size_t{4} * kSlabRows * kSlabPitch;
  static constexpr size_t kShared = kRing > kSlab ? kRing : kSlab;
  static_assert(kShared <= 99 * 1024, "sm_86, 89 and 120 have no more");
};

using LargeFma = FmaTile<128, 128, 8, 8, 2>;
using SmallFma = FmaTile<64, 64, 4, 8, 4>;
using FewFma = FmaTile<16, 128, 4, 4, 4>;

struct FmaProduct {
  Operand a, b;
  int64_t M, N, K;
  bool quadsA, quadsB;   // lines lie together, four of them at multiples of 16 bytes
  Schedule schedule;
  Batch batch;
  Epilogue epilogue;
  Partials partials;
};

// Brings kLines lines, kDepth steps of k to tile[step][line]; `from` is the first element, of which `lines` lines and `left` steps are inside of the operand.
template <int kLines, int kPitch, int kDepth, int kThreads> WW_DEVICE void loadLines(float* tile, const float* from, const Operand& x, int lines, int left, bool quads) {
  const int t = static_cast<int>(threadIdx.x);
  if (quads) {
    constexpr int kQuads = kLines / 4 * kDepth;
    WW_UNROLL for (int i = 0; i < (kQuads + kThreads - 1) / kThreads; i++) {
      const int n = i * kThreads + t, line = n % (kLines / 4) * 4, step = n / (kLines / 4), rest = lines - line;
      if (kQuads % kThreads != 0 && n >= kQuads) break;
      cpAsync<16>(tile + step * kPitch + line, from + line + step * x.depth, step >= left || rest <= 0 ? 0u : rest < 4 ? 4u * static_cast<unsigned>(rest) : 16u);
    }
    return;
  }
  // Single elements: neighbouring threads along the lines where these lie together, else 8 along k (a sector of 32 bytes) for each of 4 lines.
  const bool together = x.line == 1;
  static_assert(kLines * kDepth % kThreads == 0 && kDepth % 8 == 0);
  WW_UNROLL_BY(2) for (int i = 0; i < kLines * kDepth / kThreads; i++) {
    const int n = i * kThreads + t;
    const int line = together ? n % kLines : n / 8 % kLines, step = together ? n / kLines : n % 8 + n / (8 * kLines) * 8;
    cpAsync<4>(tile + step * kPitch + line, from + line * x.line + step * x.depth, line < lines && step < left ? 4u : 0u);
  }
}

template <class Tile> __global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) fmaProduct(FmaProduct p) {
  constexpr int kStageA = Tile::kK * Tile::kPitchA, kStage = kStageA + Tile::kK * Tile::kPitchB;
  float* const ring = sharedMemory<float>();
  const Place place = placeOf(p.schedule, blockIdx.x);
  int64_t offsets[kMoving];
  p.batch.offsets(place.batch, offsets);
  const int64_t row = place.down * Tile::kM, column = place.across * Tile::kN;
  const int steps = static_cast<int>(place.lastStep - place.firstStep);   // 2^31 of them are more than memory has
  const int x = static_cast<int>(threadIdx.x) % Tile::kThreadsAcross * 4, y = static_cast<int>(threadIdx.x) / Tile::kThreadsAcross * 4;
  const int64_t k = place.firstStep * Tile::kK;
  const float* fromA = static_cast<const float*>(p.a.data) + offsets[kA] + row * p.a.line + k * p.a.depth;
  const float* fromB = static_cast<const float*>(p.b.data) + offsets[kB] + column * p.b.line + k * p.b.depth;
  const int rows = static_cast<int>(least(Tile::kM, p.M - row)), columns = static_cast<int>(least(Tile::kN, p.N - column));
  const auto issue = [&](int step, int stage) {
    if (step < steps) {
      float* const tile = ring + stage * kStage;
      const int left = static_cast<int>(least(Tile::kK, p.K - k - int64_t{step} * Tile::kK));
      loadLines<Tile::kM, Tile::kPitchA, Tile::kK, Tile::kThreads>(tile, fromA, p.a, rows, left, p.quadsA);
      loadLines<Tile::kN, Tile::kPitchB, Tile::kK, Tile::kThreads>(tile + kStageA, fromB, p.b, columns, left, p.quadsB);
      fromA += Tile::kK * p.a.depth;
      fromB += Tile::kK * p.b.depth;
    }
    cpAsyncCommit();
  };

  float sums[Tile::kThreadM][Tile::kThreadN];
  WW_UNROLL for (int i = 0; i < Tile::kThreadM; i++) WW_UNROLL for (int j = 0; j < Tile::kThreadN; j++) sums[i][j] = 0;
  WW_UNROLL for (int s = 0; s + 1 < Tile::kStages; s++) issue(s, s);
  int stage = 0, free = Tile::kStages - 1;
  for (int step = 0; step < steps; step++) {
    cpAsyncWait<Tile::kStages - 2>();
    barrier();   // the tile is there, and nobody reads the one before any more
    issue(step + Tile::kStages - 1, free);
    const float *tileA = ring + stage * kStage + y, *tileB = ring + stage * kStage + kStageA + x;
    WW_UNROLL_BY(2) for (int k = 0; k < Tile::kK; k++) {
      float a[Tile::kThreadM], b[Tile::kThreadN];
      WW_UNROLL for (int i = 0; i < Tile::kThreadM; i += 4) {
        const auto v = load<4>(tileA + k * Tile::kPitchA + i / 4 * Tile::kSlabRows);
        WW_UNROLL for (int j = 0; j < 4; j++) a[i + j] = v.v[j];
      }
      WW_UNROLL for (int i = 0; i < Tile::kThreadN; i += 4) {
        const auto v = load<4>(tileB + k * Tile::kPitchB + i / 4 * 4 * Tile::kThreadsAcross);
        WW_UNROLL for (int j = 0; j < 4; j++) b[i + j] = v.v[j];
      }
      WW_UNROLL for (int i = 0; i < Tile::kThreadM; i++)
        WW_UNROLL for (int j = 0; j < Tile::kThreadN; j++) sums[i][j] = fma(a[i], b[j], sums[i][j]);
    }
    free = stage;
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
  }
  cpAsyncWaitAll();

  Epilogue epilogue = p.epilogue;
  epilogue.move<float>(offsets);
  float* const slab = ring;
  WW_UNROLL for (int turn = 0; turn < Tile::kThreadM / 4; turn++) {
    barrier();   // nobody reads the ring, or the slab before, any more
    WW_UNROLL for (int i = 0; i < 4; i++)
      WW_UNROLL for (int j = 0; j < Tile::kThreadN; j += 4) {
        Vector<float, 4> v;
        WW_UNROLL for (int l = 0; l < 4; l++) v.v[l] = sums[4 * turn + i][j + l];
        store(slab + (y + i) * Tile::kSlabPitch + x + j * Tile::kThreadsAcross, v);
      }
    barrier();
    finishSlab<float, Tile::kSlabRows, Tile::kN, Tile::kSlabPitch, Tile::kThreads>(epilogue, p.partials, place.split, slab, row + turn * Tile::kSlabRows, column, static_cast<int>(threadIdx.x));
  }
}

}  // namespace warpweft::cuda::gemm
