#pragma once
// Products of bfloat16 and float16 on Hopper: one thread brings tiles to a ring in shared memory by TMA, two warpgroups multiply them by wgmma with their sums in registers.
// A block stays on its multiprocessor and goes from tile of c to tile of c; while the warpgroups bring one out, the ring fills for the next.
#include "cuda/gemm/epilogue.cuh"
#include "cuda/gemm/schedule.cuh"

namespace warpweft::cuda::gemm {

// A block's tile of c, 128 by N, in steps of 64 of depth: 128 bytes, what a swizzled box has along its innermost dimension. A warpgroup has 64 rows.
template <int N, int Stages> struct WarpgroupTile {
  static constexpr int kM = 128, kN = N, kK = 64, kStages = Stages, kGroups = 2, kThreads = 128 * (kGroups + 1);
  static constexpr uint32_t kBytesA = kM * 128, kBytesB = kN * 128, kStage = kBytesA + kBytesB;
  static constexpr uint32_t kBox = 64 * 128;           // 64 rows of 64 results on their way out
  static constexpr uint32_t kStaging = 2 * kBox;       // of a warpgroup
  static constexpr int kSlabColumns = 32, kSlabPitch = 40;   // of sums on their way out, in the same place; pairs of four rows lie in different banks
  static_assert(4 * 64 * kSlabPitch <= kStaging);
  static constexpr size_t kShared = size_t{kStages} * kStage + kGroups * kStaging + 2 * kStages * sizeof(Mbarrier);
  static_assert(kShared <= 227 * 1024, "sm_90 has no more");
  // Registers of a thread: 65536 / 384 = 168 each would be too few for N / 2 sums, so that the producer's warpgroup gives most of its own away.
  static constexpr int kFewRegisters = 24, kManyRegisters = 240;
};

using WideGroups = WarpgroupTile<256, 4>;
using SquareGroups = WarpgroupTile<128, 6>;

struct WarpgroupProduct {
  TensorMap a, b;
  TensorMap c;                // where `stored`
  int64_t places;
  Schedule schedule;
  Batch batch;
  Epilogue epilogue;
  Partials partials;
  bool movesA, movesB;        // along the batch
  bool stored;                // results of the type of a leave by TMA: alpha, bias and relu at most
};

// What a test changes to see that it is noticed.
struct WarpgroupRules {
  static constexpr bool kReleasesEarly = false;      // a stage is free when the products of the next step have begun and its own are over
  static constexpr uint32_t kAstray = 0;             // bytes that descriptors are off by
  static constexpr uint32_t kFlip = 0;               // of the phase that is waited for
  static WW_DEVICE void fence() { fenceAsyncProxy(); }
};

// The stage of the ring that is next, and the parity of its phase.
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;
  template <int kStages> WW_DEVICE void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

// Lines from `line` on, 64 steps of k from `k` on.
template <Major kMajor, int kLines> WW_DEVICE void loadTile(char* tile, const TensorMap* map, int32_t line, int32_t k, int32_t batch, Mbarrier* full) {
  if constexpr (kMajor == Major::depth) {
    loadBox<3>(tile, map, {k, line, batch}, full);
  } else {
    WW_UNROLL for (int i = 0; i < kLines; i += 64) loadBox<3>(tile + i * 128, map, {line + i, k, batch}, full);
  }
}

template <class T, class Tile, Major kMajorA, Major kMajorB, class Rules = WarpgroupRules>
__global__ void __launch_bounds__(Tile::kThreads, 1) warpgroupProduct(const WW_GRID_CONSTANT WarpgroupProduct p) {
#ifdef WW_SM90
  constexpr int kStages = Tile::kStages, kSums = Tile::kN / 2;
  char* const ring = sharedMemory<char>();
  char* const behind = ring + kStages * Tile::kStage;
  auto* const full = reinterpret_cast<Mbarrier*>(behind + Tile::kGroups * Tile::kStaging);
  Mbarrier* const empty = full + kStages;
  const int group = static_cast<int>(shuffle(warpOfBlock() / 4, 0));   // the same for the warp, as the compiler can see
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; s++) {
      initialise(full + s, 1);
      initialise(empty + s, 4 * Tile::kGroups);   // a warp's products are over when it has waited for them
    }
    fenceMbarrierInit();
  }
  barrier();

  RingPlace next;
  if (group == 0) {
    setRegisters<Tile::kFewRegisters, false>();
    if (threadIdx.x != 0) return;
    prefetch(&p.a);
    prefetch(&p.b);
    for (int64_t i = blockIdx.x; i < p.places; i += gridDim.x) {
      const Place place = placeOf<uint32_t>(p.schedule, i);
      const auto row = static_cast<int32_t>(place.down * Tile::kM), column = static_cast<int32_t>(place.across * Tile::kN), batch = static_cast<int32_t>(place.batch);
      for (auto step = static_cast<int32_t>(place.firstStep); step < static_cast<int32_t>(place.lastStep); step++, next.advance<kStages>()) {
        waitFor(empty + next.stage, next.parity ^ 1);
        arriveExpecting(full + next.stage, Tile::kStage);
        char* const tile = ring + next.stage * Tile::kStage;
        loadTile<kMajorA, Tile::kM>(tile, &p.a, row, step * Tile::kK, p.movesA ? batch : 0, full + next.stage);
        loadTile<kMajorB, Tile::kN>(tile + Tile::kBytesA, &p.b, column, step * Tile::kK, p.movesB ? batch : 0, full + next.stage);
      }
    }
    return;
  }

  setRegisters<Tile::kManyRegisters, true>();
  const int thread = static_cast<int>(threadIdx.x % 128), warp = thread / 32, l = static_cast<int>(lane()), g = l / 4, t = l % 4;
  char* const staging = behind + (group - 1) * Tile::kStaging;
  uint32_t boxes = 0;   // that this warpgroup has stored
  float sums[kSums];
  for (int64_t i = blockIdx.x; i < p.places; i += gridDim.x) {
    const Place place = placeOf<uint32_t>(p.schedule, i);
    const auto steps = static_cast<int32_t>(place.lastStep - place.firstStep);
    WW_UNROLL for (int s = 0; s < kSums; s++) sums[s] = 0;
    int before = 0;
    for (int32_t step = 0; step < steps; step++) {
      waitFor(full + next.stage, next.parity ^ Rules::kFlip);
      const char* const tile = ring + next.stage * Tile::kStage;
      const uint64_t a = descriptorOf<kMajorA>(tile + (group - 1) * 64 * 128), b = descriptorOf<kMajorB, 64 * 128>(tile + Tile::kBytesA);
      wgmmaFence();
      WW_UNROLL for (uint32_t s = 0; s < Tile::kK / 16; s++)
        wgmma<T, Tile::kN, kMajorA, kMajorB>(sums, advanced(a, s * kStepBytes<kMajorA>), advanced(b, s * kStepBytes<kMajorB> + (s == 1 ? Rules::kAstray : 0)), true);
      wgmmaCommit();
      if (Rules::kReleasesEarly) {
        if (l == 0) arrive(empty + next.stage);
        wgmmaWait<1>();
      } else {
        wgmmaWait<1>();   // the products of the step before are over
        if (step > 0 && l == 0) arrive(empty + before);
      }
      before = next.stage;
      next.advance<kStages>();
    }
    wgmmaWait<0>();
    holdRegisters(sums);
    if (!Rules::kReleasesEarly && steps > 0 && l == 0) arrive(empty + before);

    const int64_t row = place.down * Tile::kM + (group - 1) * 64, column = place.across * Tile::kN;
    if (p.stored) {
      const Epilogue& e = p.epilogue;
      const bool relu = e.activation == Activation::relu;
      float ofRow[2] = {-0.f, -0.f};   // x + -0 is x for all x
      if (e.bias && e.biasOfRows)
        WW_UNROLL for (int half = 0; half < 2; half++)
          if (row + 16 * warp + g + 8 * half < e.M) ofRow[half] = e.bias[row + 16 * warp + g + 8 * half];
      WW_UNROLL for (int box = 0; box < Tile::kN / 64; box++) {
        if (column + 64 * box >= e.N) break;
        char* const to = staging + (boxes++ & 1) * Tile::kBox;
        float ofColumn[16];   // columns 8 (k / 2) + 2 t + k % 2 of the box
        WW_UNROLL for (int k = 0; k < 16; k++) ofColumn[k] = -0.f;
        if (e.bias && !e.biasOfRows)
          WW_UNROLL for (int k = 0; k < 16; k++) {
            const int64_t at = column + 64 * box + 8 * (k / 2) + 2 * t + k % 2;
            if (at < e.N) ofColumn[k] = e.bias[at];
          }
        WW_UNROLL for (int j = 0; j < 4; j++) {   // 16 columns: the four matrices of rows 0 and 8, columns 0 and 8
          uint32_t r[4];
          WW_UNROLL for (int m = 0; m < 4; m++) {
            const int first = 32 * box + 8 * j + 4 * (m / 2) + 2 * (m % 2);
            float v[2];
            WW_UNROLL for (int n = 0; n < 2; n++) {
              v[n] = sums[first + n] * e.alpha + (e.biasOfRows ? ofRow[m % 2] : ofColumn[4 * j + 2 * (m / 2) + n]);
              if (relu) v[n] = Relu::value(v[n]);
            }
            r[m] = packed<T>(v[0], v[1]);
          }
          const int rowOfBox = 16 * warp + 8 * (l / 8 % 2) + l % 8, unit = 2 * j + l / 16;
          stmatrix(to + rowOfBox * 128 + (unit ^ rowOfBox % 8) * 16, r);
        }
        Rules::fence();
        if (thread == 0) bulkWaitRead<0>();   // of the box before: its place is free after the barrier
        barrier(group, 128);
        if (thread == 0) {
          storeBox<3>(&p.c, {static_cast<int32_t>(column) + 64 * box, static_cast<int32_t>(row), static_cast<int32_t>(place.batch)}, to);
          bulkCommit();
        }
      }
    } else {
      Epilogue e = p.epilogue;
      int64_t offsets[kMoving];
      p.batch.offsets(place.batch, offsets);
      e.move<T>(offsets);
      auto* const slab = reinterpret_cast<float*>(staging);
      WW_UNROLL_BY(1) for (int turn = 0; turn < Tile::kN / Tile::kSlabColumns; turn++) {   // once in the code, whatever N is: it is long
        if (column + turn * Tile::kSlabColumns >= e.N) break;
        barrier(group, 128);   // nobody reads the slab before any more
        WW_UNROLL for (int k = 0; k < Tile::kN / Tile::kSlabColumns; k++) {
          if (k != turn) continue;
          WW_UNROLL for (int j = 0; j < Tile::kSlabColumns / 8; j++)
            WW_UNROLL for (int half = 0; half < 2; half++) {
              Vector<float, 2> pair;
              pair.v[0] = sums[16 * k + 4 * j + 2 * half], pair.v[1] = sums[16 * k + 4 * j + 2 * half + 1];
              store(slab + (16 * warp + g + 8 * half) * Tile::kSlabPitch + 8 * j + 2 * t, pair);
            }
        }
        barrier(group, 128);
        finishSlab<T, 64, Tile::kSlabColumns, Tile::kSlabPitch, 128>(e, p.partials, place.split, slab, row, column + turn * Tile::kSlabColumns, thread);
      }
    }
  }
  if (p.stored && thread == 0) bulkWaitRead<0>();
#endif
}

// Whether TMA can bring the operands, if there are any: 16-bit elements adjacent along k or across it, rows at multiples of 16 bytes, at most one dimension of the batch; and 32 bits
// count what there is.
inline bool fitsWarpgroups(const Problem& p) {
  constexpr int64_t kMostSize = (int64_t{1} << 31) - 512, kMostStride = int64_t{1} << 39;   // elements
  if (p.type == DType::f32 || p.K == 0 || p.batch.rank > 1 || p.M > kMostSize || p.N > kMostSize || p.K > kMostSize || p.batch.count > kMostSize) return false;
  for (const Moving which : {kA, kB}) {
    const Operand& x = which == kA ? p.a : p.b;
    const Layout layout = layoutOf(p, which);
    if (layout == Layout::elements) return false;
    const int64_t rows = layout == Layout::depth ? (which == kA ? p.M : p.N) : p.K, stride = layout == Layout::depth ? x.line : x.depth;
    if (rows > 1 && (stride <= 0 || stride >= kMostStride)) return false;
    if (p.batch.rank > 0 && (p.batch.strides[0][which] < 0 || p.batch.strides[0][which] >= kMostStride)) return false;
  }
  return ceilDiv(p.M, WideGroups::kM) * ceilDiv(p.N, SquareGroups::kN) * p.batch.count * 32 < kMostSize;
}

// Whether results can leave as boxes.
inline bool storesBoxes(const Problem& p) {
  if (p.outType != p.type || p.preactivation.data || p.derivative.data || p.accumulate || !(p.activation == Activation::none || p.activation == Activation::relu)) return false;
  if (p.c.column != 1 || (p.M > 1 && (p.c.row <= 0 || p.c.row % 8 || p.c.row >= int64_t{1} << 39)) || !aligned(p.c.data, 16)) return false;
  return p.batch.rank == 0 || (p.batch.strides[0][kC] > 0 && p.batch.strides[0][kC] % 8 == 0 && p.batch.strides[0][kC] < int64_t{1} << 39);
}

// A matrix of the batch, rows of 64-element pieces: `inner` adjacent elements, `outer` rows. Strides of one row or one matrix mean nothing, but have to be sound.
inline TensorMap boxesOf(const Problem& p, const void* data, int64_t inner, int64_t outer, int64_t stride, int64_t batchStride, int rows) {
  const bool moves = p.batch.rank > 0 && batchStride != 0;
  const int64_t row = outer > 1 ? stride : ceilDiv(most(inner, 1), 8) * 8;
  return tensorMap({data, p.type, 3, {most(inner, 1), most(outer, 1), moves ? p.batch.count : 1}, {1, row, moves ? batchStride : 8}, {64, rows, 1}, true});
}

}  // namespace warpweft::cuda::gemm
