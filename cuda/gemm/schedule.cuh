#pragma once
// Which part of a batch of products a block computes. Blocks are numbered in one dimension; neighbours share rows of a and columns of b, so that what one has read
// the other finds in L2: down the rows of a group of kGroup tiles, then across.
#include "cuda/gemm/problem.hpp"

namespace warpweft::cuda::gemm {

struct Schedule {
  static constexpr int64_t kGroup = 8;
  int64_t tilesDown, tilesAcross;   // of c
  int64_t steps, splits;            // steps of depth, and the parts that they are cut into
  int64_t firstBatch;

  int64_t blocksOfProduct() const { return tilesDown * tilesAcross * splits; }
};

struct Place { int64_t down, across, split, batch, firstStep, lastStep; };

WW_DEVICE Place placeOf(const Schedule& s) {
  const int64_t tiles = s.tilesDown * s.tilesAcross, block = blockIdx.x;
  const int64_t tile = block % tiles, rest = block / tiles;
  const int64_t group = tile / (Schedule::kGroup * s.tilesAcross), within = tile - group * Schedule::kGroup * s.tilesAcross;
  const int64_t height = least(Schedule::kGroup, s.tilesDown - group * Schedule::kGroup);
  Place p;
  p.across = within / height;
  p.down = group * Schedule::kGroup + (within - p.across * height);
  p.split = rest % s.splits;
  p.batch = s.firstBatch + rest / s.splits;
  p.firstStep = s.steps * p.split / s.splits;
  p.lastStep = s.steps * (p.split + 1) / s.splits;
  return p;
}

}  // namespace warpweft::cuda::gemm
