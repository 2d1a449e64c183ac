#include "cpu/isa.hpp"

#include <cstdlib>
#include <cstring>
#include <string>

#include "cpu/processor.hpp"
#include "runtime/op.hpp"

namespace warpweft::cpu {

#if defined(__x86_64__)
namespace avx512 { const Entry* kernel(int op); double multiplyAdds(int64_t repeats); }
namespace avx2 { const Entry* kernel(int op); double multiplyAdds(int64_t repeats); }
#endif
namespace baseline { const Entry* kernel(int op); double multiplyAdds(int64_t repeats); }

namespace {

constexpr InstructionSet kSets[] = {
#if defined(__x86_64__)
    {"amx", hasTiles, avx512::kernel, avx512::multiplyAdds},   // the kernels of avx512, with matrix tiles
    {"avx512", hasAvx512, avx512::kernel, avx512::multiplyAdds},
    {"avx2", hasAvx2, avx2::kernel, avx2::multiplyAdds},
#endif
    {"baseline", [] { return true; }, baseline::kernel, baseline::multiplyAdds},
};

const InstructionSet& choose() {
  const char* wanted = std::getenv("WARPWEFT_ISA");
  std::string names;
  for (const InstructionSet& set : kSets) {
    if (!wanted || !*wanted) {
      if (set.supported()) return set;
      continue;
    }
    if (std::strcmp(wanted, set.name) == 0) {   // others are not asked: asking for "amx" makes the state of every thread larger
      if (set.supported()) return set;
      throw OpError{"ERR_CONFIG", std::string("WARPWEFT_ISA=") + wanted + ": this processor does not have that instruction set; leave the variable unset"};
    }
    names += (names.empty() ? "" : ", ") + std::string(set.name);
  }
  throw OpError{"ERR_CONFIG", std::string("WARPWEFT_ISA=") + (wanted ? wanted : "") + " is not known, expected one of: " + names};
}

}  // namespace

const InstructionSet& instructionSet() {
  static const InstructionSet& set = []() -> const InstructionSet& {
    const InstructionSet& chosen = choose();
    useTiles(std::strcmp(chosen.name, "amx") == 0);
    return chosen;
  }();
  return set;
}

}  // namespace warpweft::cpu
