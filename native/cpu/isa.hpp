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

// The best one that the processor has, or the one that WARPWEFT_ISA names; throws OpError ERR_CONFIG if that is unknown or not supported here.
const InstructionSet& instructionSet();

}  // namespace warpweft::cpu
