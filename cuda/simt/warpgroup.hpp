#pragma once
// What four warps of Hopper do together: products of tiles in shared memory (wgmma), and handing registers to each other (setmaxnreg). A warp's rows of a product are
// its own, so that each warp has a queue of its own; that the four bring the same is checked.
#include "cuda/simt/async.hpp"

namespace warpweft::simt {

// A product m64nNk16 of 16-bit elements. `a` is a descriptor, or null where the fragments of A are in registers. majorA, majorB: 0 along k, 1 along the lines.
struct WgmmaShape { int N; bool bfloat, majorA, majorB, accumulate; };
void wgmma(const WgmmaShape& shape, float* d, const uint32_t* a, uint64_t descriptorA, uint64_t descriptorB, Site at);
void wgmmaFence(Site at);
void wgmmaCommit(Site at);
void wgmmaWait(uint32_t pending, Site at);

void setRegisters(uint32_t registers, bool more, Site at);

void stmatrix(void* row, const uint32_t* r, int count, bool transposed, Site at);

}  // namespace warpweft::simt
