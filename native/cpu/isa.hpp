#pragma once
#include "runtime/backend.hpp"

// The instruction sets that kernels are compiled for, best first, and the choice among them.
namespace warpweft::cpu {

struct InstructionSet {
  const char* name;
  bool (*supported)();
  const Entry* (*kernel)(int op);
  double (*multiplyAdds)(int64_t repeats);   // floating-point operations done
};

// Whether kernels may use the processor's matrix tiles (simd/tiles.hpp): in the instruction set "amx", which is avx512 with them.
bool usesTiles();
// For tests of the kernels alone: whether the processor and the system allow it, and a choice of one's own.
bool hasTiles();
void useTiles(bool use);

// The best one that the processor has, or the one that WARPWEFT_ISA names; throws OpError ERR_CONFIG if that is unknown or not supported here.
const InstructionSet& instructionSet();

}  // namespace warpweft::cpu
