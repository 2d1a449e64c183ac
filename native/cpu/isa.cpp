#include "cpu/isa.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/op.hpp"

namespace warpweft::cpu {

#if defined(__x86_64__)
namespace avx512 { const Entry* kernel(int op); double multiplyAdds(int64_t repeats); }
namespace avx2 { const Entry* kernel(int op); double multiplyAdds(int64_t repeats); }
#endif
namespace baseline { const Entry* kernel(int op); double multiplyAdds(int64_t repeats); }

namespace {

#if defined(__x86_64__)
// Asked of the processor itself: __builtin_cpu_supports needs a part of the compiler's runtime that zig does not have.
// Intel SDM vol. 1, 14.3 (the system saves the registers) and vol. 2, CPUID leaf 7 (features).
struct Features {
  unsigned c1 = 0, b7 = 0, c7 = 0, d7 = 0, a7_1 = 0, saved = 0;
  Features() {
    constexpr unsigned kSavesRegisters = 1u << 27;   // OSXSAVE
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c1, &d) || !(c1 & kSavesRegisters)) return;
    __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) && a >= 1) __get_cpuid_count(7, 1, &a7_1, &b, &c, &d);
  }
  static bool all(unsigned word, unsigned bits) { return (word & bits) == bits; }
  bool avx2() const {
    return all(saved, 0x6) && all(c1, 1u << 12 | 1u << 28 | 1u << 29)   // fma, avx, f16c
           && all(b7, 1u << 5 | 1u << 8);                               // avx2, bmi2
  }
  bool avx512() const {
    return avx2() && all(saved, 0xe6) && all(b7, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)   // f, dq, bw, vl
           && all(c7, 1u << 11) && all(a7_1, 1u << 5);                                        // vnni, bf16
  }
  // A process asks the system once for room to save the tiles' 8 KiB (Linux 5.16, Documentation/arch/x86/xstate.rst).
  bool amx() const {
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return avx512() && all(saved, 0x60000) && all(d7, 1u << 22 | 1u << 24)   // amx-bf16, amx-tile
           && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }
};
#endif

std::atomic<bool> tiles{false};

constexpr InstructionSet kSets[] = {
#if defined(__x86_64__)
    {"amx", [] { return Features().amx(); }, avx512::kernel, avx512::multiplyAdds},
    {"avx512", [] { return Features().avx512(); }, avx512::kernel, avx512::multiplyAdds},
    {"avx2", [] { return Features().avx2(); }, avx2::kernel, avx2::multiplyAdds},
#endif
    {"baseline", [] { return true; }, baseline::kernel, baseline::multiplyAdds},
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
  static const InstructionSet& set = []() -> const InstructionSet& {
    const InstructionSet& chosen = choose();
    useTiles(std::strcmp(chosen.name, "amx") == 0);
    return chosen;
  }();
  return set;
}

bool hasTiles() {
#if defined(__x86_64__)
  return Features().amx();
#else
  return false;
#endif
}
bool usesTiles() { return tiles.load(std::memory_order_relaxed); }
void useTiles(bool use) { tiles.store(use, std::memory_order_relaxed); }

}  // namespace warpweft::cpu
