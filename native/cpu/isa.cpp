#include "cpu/isa.hpp"

#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/op.hpp"

namespace warpweft::cpu {

#if defined(__x86_64__)
namespace avx512 { const Entry* kernel(int op); }
namespace avx2 { const Entry* kernel(int op); }
#endif
namespace baseline { const Entry* kernel(int op); }

namespace {

constexpr InstructionSet kSets[] = {
#if defined(__x86_64__)
    {"avx512", [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
     }, avx512::kernel},
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }, avx2::kernel},
#endif
    {"baseline", [] { return true; }, baseline::kernel},
};

const InstructionSet& choose() {
  const char* wanted = std::getenv("WARPWEFT_ISA");
  std::string names;
  for (const InstructionSet& set : kSets) {
    const bool here = set.supported();
    if (!wanted || !*wanted) {
      if (here) return set;
      continue;
    }
    if (std::strcmp(wanted, set.name) == 0) {
      if (here) return set;
      throw OpError{"ERR_CONFIG", std::string("WARPWEFT_ISA=") + wanted + ": this processor does not have that instruction set; leave the variable unset"};
    }
    names += (names.empty() ? "" : ", ") + std::string(set.name);
  }
  throw OpError{"ERR_CONFIG", std::string("WARPWEFT_ISA=") + (wanted ? wanted : "") + " is not known, expected one of: " + names};
}

}  // namespace

const InstructionSet& instructionSet() {
  static const InstructionSet& set = choose();
  return set;
}

}  // namespace warpweft::cpu
