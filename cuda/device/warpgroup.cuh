#pragma once
// Four warps of Hopper (a warpgroup, whose first warp has a number divisible by four): products of tiles in shared memory, registers that they hand to each other, fragments
// to shared memory. All 128 threads come to the same calls.
//
// c[N / 2] of a product m64nN: warp w of the four has rows 16 w to 16 w + 15, and with g = lane / 4, t = lane % 4
//   c[4 j]: (g, 8 j + 2 t)   c[4 j + 1]: (g, 8 j + 2 t + 1)   c[4 j + 2]: (g + 8, 8 j + 2 t)   c[4 j + 3]: (g + 8, 8 j + 2 t + 1)
// A in registers: a[0..3] are those of mma m16n8k16 (device/matrix.cuh) for the warp's rows. (PTX ISA, "Matrix fragments for wgmma.mma_async.m64nNk16")
#include "cuda/device/bulk.cuh"
#ifdef WARPWEFT_SIMT
#include "cuda/simt/warpgroup.hpp"
#endif

namespace warpweft::cuda {

// How an operand lies in shared memory, in lines of 128 bytes that are swizzled (as loadBox leaves them), from a multiple of 1024 bytes on:
//   depth   a line of the operand after the other, each with 64 steps of k; the next 16 steps of k are 32 bytes further
//   lines   a step of k after the other, each with 64 lines of the operand; the next 64 lines kSlab bytes further, the next 16 steps of k 2048 bytes further
enum class Major { depth, lines };

// Bytes from 16 steps of k to the next 16.
template <Major kMajor> inline constexpr uint32_t kStepBytes = kMajor == Major::depth ? 32 : 2048;

// What wgmma has to know of an operand (PTX ISA, "Matrix descriptor"): address, distance of 64 lines (Major::lines), distance of eight lines or eight steps of k,
// the kind of swizzle; all in units of 16 bytes.
template <Major kMajor, uint32_t kSlab = 0> WW_DEVICE uint64_t descriptorOf(const void* tile WW_AT) {
#ifdef WARPWEFT_SIMT
  const uint32_t address = simt::sharedOffset(tile, 1, {"descriptorOf", file, line});
#else
  const uint32_t address = sharedAddress(tile);
#endif
  return (address & 0x3FFFFu) >> 4 | uint64_t{kMajor == Major::lines ? kSlab >> 4 : 1u} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}
WW_DEVICE uint64_t advanced(uint64_t descriptor, uint32_t bytes) { return descriptor + (bytes >> 4); }

// Registers c and a were written by other instructions: before the first product on them, and after a wait.
WW_DEVICE void wgmmaFence(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::wgmmaFence({"wgmmaFence", file, line});
#else
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
// Ends a group of products.
WW_DEVICE void wgmmaCommit(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::wgmmaCommit({"wgmmaCommit", file, line});
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Until at most kPending groups, the latest, are under way: the others have read their operands.
template <int kPending> WW_DEVICE void wgmmaWait(WW_AT_ALONE) {
#ifdef WARPWEFT_SIMT
  simt::wgmmaWait(kPending, {"wgmmaWait", file, line});
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#endif
}
// The compiler does not touch sums across this place: to be called between a product that is under way and whatever reads or writes them.
template <int kCount> WW_DEVICE void holdRegisters(float (&c)[kCount]) {
#ifdef WARPWEFT_SIMT
  static_cast<void>(c);
#else
  WW_UNROLL for (int i = 0; i < kCount; i++) asm volatile("" : "+f"(c[i])::"memory");
#endif
}

#ifndef WARPWEFT_SIMT
#define WW_TEN(t) "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define WW_FIRST_30 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, " WW_TEN(1) WW_TEN(2)
#define WW_LIST_32 WW_FIRST_30 "%30, %31"
#define WW_LIST_64 WW_FIRST_30 WW_TEN(3) WW_TEN(4) WW_TEN(5) "%60, %61, %62, %63"
#define WW_LIST_128 WW_FIRST_30 WW_TEN(3) WW_TEN(4) WW_TEN(5) WW_TEN(6) WW_TEN(7) WW_TEN(8) WW_TEN(9) WW_TEN(10) WW_TEN(11) "%120, %121, %122, %123, %124, %125, %126, %127"
#define WW_SUMS_8(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define WW_SUMS_32(i) WW_SUMS_8(i), WW_SUMS_8(i + 8), WW_SUMS_8(i + 16), WW_SUMS_8(i + 24)
#define WW_SUMS_64 WW_SUMS_32(0), WW_SUMS_32(32)
#define WW_SUMS_128 WW_SUMS_64, WW_SUMS_32(64), WW_SUMS_32(96)
// n: N as text; list, sums: of the registers of c; the others: places of the operands behind these.
#define WW_WGMMA(n, type, list, sums, a, b, on, majorA, majorB)                                                                                                  \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " on ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" list "}, " a ", " b ", p, 1, 1, " \
               majorA ", " majorB ";\n}\n" : sums : "l"(descriptorA), "l"(descriptorB), "r"(static_cast<int>(accumulate)), "n"(static_cast<int>(kMajorA)),            \
               "n"(static_cast<int>(kMajorB)))
#define WW_WGMMA_REGISTERS(n, type, list, sums, a0, a1, a2, a3, b, on, majorB)                                                                                    \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " on ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" list "}, {" a0 ", " a1 ", " a2    \
               ", " a3 "}, " b ", p, 1, 1, " majorB ";\n}\n" : sums : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(descriptorB),                                 \
               "r"(static_cast<int>(accumulate)), "n"(static_cast<int>(kMajorB)))
#endif

// Begins c = a b, or c += a b: 64 lines of a, N of b, 16 steps of k, of bf16 or f16. Sums are float32, in an order that is not specified. Neither c nor the tiles may be
// touched before a wait that covers the group.
template <class T, int N, Major kMajorA, Major kMajorB> WW_DEVICE void wgmma(float (&c)[N / 2], uint64_t descriptorA, uint64_t descriptorB, bool accumulate WW_AT) {
  static_assert(N == 64 || N == 128 || N == 256);
  constexpr bool kBfloat = dtypeOf<T> == DType::bf16;
#ifdef WARPWEFT_SIMT
  simt::wgmma({N, kBfloat, kMajorA == Major::lines, kMajorB == Major::lines, accumulate}, c, nullptr, descriptorA, descriptorB, {"wgmma", file, line});
#else
  if constexpr (N == 64) {
    if constexpr (kBfloat) WW_WGMMA("64", "bf16", WW_LIST_32, WW_SUMS_32(0), "%32", "%33", "%34", "%35", "%36");
    else WW_WGMMA("64", "f16", WW_LIST_32, WW_SUMS_32(0), "%32", "%33", "%34", "%35", "%36");
  } else if constexpr (N == 128) {
    if constexpr (kBfloat) WW_WGMMA("128", "bf16", WW_LIST_64, WW_SUMS_64, "%64", "%65", "%66", "%67", "%68");
    else WW_WGMMA("128", "f16", WW_LIST_64, WW_SUMS_64, "%64", "%65", "%66", "%67", "%68");
  } else {
    if constexpr (kBfloat) WW_WGMMA("256", "bf16", WW_LIST_128, WW_SUMS_128, "%128", "%129", "%130", "%131", "%132");
    else WW_WGMMA("256", "f16", WW_LIST_128, WW_SUMS_128, "%128", "%129", "%130", "%131", "%132");
  }
#endif
}

// The same with a in registers, which may not be written before the wait either.
template <class T, int N, Major kMajorB> WW_DEVICE void wgmma(float (&c)[N / 2], const uint32_t (&a)[4], uint64_t descriptorB, bool accumulate WW_AT) {
  static_assert(N == 64 || N == 128 || N == 256);
  constexpr bool kBfloat = dtypeOf<T> == DType::bf16;
#ifdef WARPWEFT_SIMT
  simt::wgmma({N, kBfloat, false, kMajorB == Major::lines, accumulate}, c, a, 0, descriptorB, {"wgmma", file, line});
#else
  if constexpr (N == 64) {
    if constexpr (kBfloat) WW_WGMMA_REGISTERS("64", "bf16", WW_LIST_32, WW_SUMS_32(0), "%32", "%33", "%34", "%35", "%36", "%37", "%38");
    else WW_WGMMA_REGISTERS("64", "f16", WW_LIST_32, WW_SUMS_32(0), "%32", "%33", "%34", "%35", "%36", "%37", "%38");
  } else if constexpr (N == 128) {
    if constexpr (kBfloat) WW_WGMMA_REGISTERS("128", "bf16", WW_LIST_64, WW_SUMS_64, "%64", "%65", "%66", "%67", "%68", "%69", "%70");
    else WW_WGMMA_REGISTERS("128", "f16", WW_LIST_64, WW_SUMS_64, "%64", "%65", "%66", "%67", "%68", "%69", "%70");
  } else {
    if constexpr (kBfloat) WW_WGMMA_REGISTERS("256", "bf16", WW_LIST_128, WW_SUMS_128, "%128", "%129", "%130", "%131", "%132", "%133", "%134");
    else WW_WGMMA_REGISTERS("256", "f16", WW_LIST_128, WW_SUMS_128, "%128", "%129", "%130", "%131", "%132", "%133", "%134");
  }
#endif
}

#ifndef WARPWEFT_SIMT
#undef WW_TEN
#undef WW_FIRST_30
#undef WW_LIST_32
#undef WW_LIST_64
#undef WW_LIST_128
#undef WW_SUMS_8
#undef WW_SUMS_32
#undef WW_SUMS_64
#undef WW_SUMS_128
#undef WW_WGMMA
#undef WW_WGMMA_REGISTERS
#endif

// Registers of each thread of the warpgroup from here on, a multiple of 8 from 24 to 256. A block has as many as its launch got: those that some give back, others can have,
// and wait for. By all four warps. More: kMore.
template <int kRegisters, bool kMore> WW_DEVICE void setRegisters(WW_AT_ALONE) {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
#ifdef WARPWEFT_SIMT
  simt::setRegisters(kRegisters, kMore, {"setRegisters", file, line});
#else
  if constexpr (kMore) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
  else asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

// The way back of ldmatrix (device/matrix.cuh): four 8 x 8 matrices of 16-bit elements, lanes 8 i to 8 i + 7 give the addresses of the rows of matrix i.
template <bool kTransposed = false> WW_DEVICE void stmatrix(void* row, const uint32_t (&r)[4] WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::stmatrix(row, r, 4, kTransposed, {"stmatrix", file, line});
#else
  if constexpr (kTransposed)
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(sharedAddress(row)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
  else
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(sharedAddress(row)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
#endif
}

}  // namespace warpweft::cuda
