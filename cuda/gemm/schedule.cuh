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

// Divisions are in Int: 64 bits take long, where 32 are enough the caller says so (of the number of all places, and of steps times splits).
template <class Int = int64_t> WW_DEVICE Place placeOf(const Schedule& s, int64_t index) {
  const Int block = static_cast<Int>(index), down = static_cast<Int>(s.tilesDown), across = static_cast<Int>(s.tilesAcross), splits = static_cast<Int>(s.splits);
  const Int steps = static_cast<Int>(s.steps), full = static_cast<Int>(Schedule::kGroup), tiles = down * across;
  const Int rest = block / tiles, tile = block - rest * tiles;
  const Int group = tile / (full * across), within = tile - group * full * across, left = down - group * full;
  const Int height = left < full ? left : full, column = within / height, batch = rest / splits, split = rest - batch * splits;
  Place p;
  p.across = column;
  p.down = group * full + (within - column * height);
  p.split = split;
  p.batch = s.firstBatch + batch;
  p.firstStep = steps * split / splits;
  p.lastStep = steps * (split + 1) / splits;
  return p;
}

}  // namespace warpweft::cuda::gemm
