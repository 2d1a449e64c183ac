#include "cpu/processor.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>

namespace warpweft::cpu {
namespace {

#if defined(__x86_64__)
bool all(unsigned word, unsigned bits) { return (word & bits) == bits; }

// Asked of the processor itself: __builtin_cpu_supports needs a part of the compiler's runtime that zig does not have.
// Intel SDM vol. 1, 14.3 (the system saves the registers) and vol. 2, CPUID leaf 7 (features).
struct Features {
  unsigned c1 = 0, b7 = 0, c7 = 0, d7 = 0, a7_1 = 0, saved = 0, vendor = 0;
  Features() {
    constexpr unsigned kSavesRegisters = 1u << 27;   // OSXSAVE
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0, &a, &vendor, &c, &d) && __get_cpuid(1, &a, &b, &c1, &d) && (c1 & kSavesRegisters)) {
      __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
      if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) && a >= 1) __get_cpuid_count(7, 1, &a7_1, &b, &c, &d);
    }
  }
  bool avx2() const {
    return all(saved, 0x6) && all(c1, 1u << 12 | 1u << 28 | 1u << 29)   // fma, avx, f16c
           && all(b7, 1u << 5 | 1u << 8);                               // avx2, bmi2
  }
  bool avx512() const {
    return avx2() && all(saved, 0xe6) && all(b7, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)   // f, dq, bw, vl
           && all(c7, 1u << 11) && all(a7_1, 1u << 5);                                        // vnni, bf16
  }
  bool tiles() const { return avx512() && all(saved, 3u << 17) && all(d7, 1u << 22 | 1u << 24); }   // amx-bf16, amx-tile
  bool amd() const { return vendor == 0x68747541; }                                                // "Auth", of AuthenticAMD
};
#endif

std::atomic<bool> tiles{false};
std::atomic<bool>& pairs() {
#if defined(__x86_64__)
  static std::atomic<bool> value{Features().amd()};
#else
  static std::atomic<bool> value{false};
#endif
  return value;
}

}  // namespace

#if defined(__x86_64__)
bool hasAvx2() { return Features().avx2(); }
bool hasAvx512() { return Features().avx512(); }
bool hasTiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;   // ARCH_REQ_XCOMP_PERM and XFEATURE_XTILEDATA of arch_prctl(2)
  return Features().tiles() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#else
bool hasAvx2() { return false; }
bool hasAvx512() { return false; }
bool hasTiles() { return false; }
#endif

bool usesTiles() { return tiles.load(std::memory_order_relaxed); }
void useTiles(bool use) { tiles.store(use, std::memory_order_relaxed); }
bool usesPairs() { return pairs().load(std::memory_order_relaxed); }
void usePairs(bool use) { pairs().store(use, std::memory_order_relaxed); }

}  // namespace warpweft::cpu
