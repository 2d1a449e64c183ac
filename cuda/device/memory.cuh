#pragma once
// Storage types to float32 and back, 16-byte vectors, asynchronous copies to shared memory.
#include "cuda/device/platform.cuh"
#include "runtime/dtype.hpp"
#ifdef WARPWEFT_SIMT
#include <cstring>

#include "cuda/simt/async.hpp"
#include "cuda/simt/half.hpp"
#endif

namespace warpweft::cuda {

template <class T> WW_DEVICE uint32_t bitsOf(T v) {
  static_assert(sizeof(T) == 4);
#ifdef WARPWEFT_SIMT
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return bits;
#else
  return __float_as_uint(v);
#endif
}
WW_DEVICE float floatOf(uint32_t bits) {
#ifdef WARPWEFT_SIMT
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
#else
  return __uint_as_float(bits);
#endif
}

// Exact.
WW_DEVICE float toFloat(float v) { return v; }
WW_DEVICE float toFloat(bf16 v) { return floatOf(static_cast<uint32_t>(v.bits) << 16); }
WW_DEVICE float toFloat(f16 v) {
#ifdef WARPWEFT_SIMT
  return simt::floatFromHalf(v.bits);
#else
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v.bits));
  return r;
#endif
}

// Rounds to the nearest, ties to even; overflow gives infinity, NaN stays NaN.
template <class T> WW_DEVICE T fromFloat(float v) {
  if constexpr (sizeof(T) == 4) {
    return v;
  } else {
    T r;
#ifdef WARPWEFT_SIMT
    r.bits = sizeof(T) == 2 && dtypeOf<T> == DType::bf16 ? simt::bfloatFromFloat(v) : simt::halfFromFloat(v);
#else
    if constexpr (dtypeOf<T> == DType::bf16) asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
    else asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
#endif
    return r;
  }
}

// Two values of a 16-bit type in a register, the first in the low half: a fragment's register.
template <class T> WW_DEVICE uint32_t packed(float low, float high) {
#ifdef WARPWEFT_SIMT
  return fromFloat<T>(low).bits | static_cast<uint32_t>(fromFloat<T>(high).bits) << 16;
#else
  uint32_t r;
  if constexpr (dtypeOf<T> == DType::bf16) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#endif
}
template <class T> WW_DEVICE float lowOf(uint32_t pair) { return toFloat(T{static_cast<uint16_t>(pair)}); }
template <class T> WW_DEVICE float highOf(uint32_t pair) { return toFloat(T{static_cast<uint16_t>(pair >> 16)}); }

// Elements of 16 bytes.
template <class T> inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

// N adjacent elements as they lie in memory; its address has to be a multiple of its size, or of 16 where it is larger.
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Vector {
  T v[N];
  WW_DEVICE float operator[](int i) const { return toFloat(v[i]); }
  WW_DEVICE void set(int i, float x) { v[i] = fromFloat<T>(x); }
};

// kStreamed data is read or written once: it should not push out of the caches what is used again.
enum class Cache { usual, streamed };

template <int N, Cache kCache = Cache::usual, class T> WW_DEVICE Vector<T, N> load(const T* p WW_AT) {
  static_assert((N & (N - 1)) == 0);
#ifdef WARPWEFT_SIMT
  simt::checkAligned(p, alignof(Vector<T, N>), "load", file, line);
  return *reinterpret_cast<const Vector<T, N>*>(p);
#else
  constexpr int bytes = sizeof(T) * N;
  union { Vector<T, N> v; uint4 q[bytes >= 16 ? bytes / 16 : 1]; uint2 d; unsigned w; } u;
  if constexpr (kCache == Cache::streamed && bytes >= 16) {
    WW_UNROLL for (int i = 0; i < bytes / 16; i++) u.q[i] = __ldcs(reinterpret_cast<const uint4*>(p) + i);
  } else if constexpr (bytes >= 16) {
    WW_UNROLL for (int i = 0; i < bytes / 16; i++) u.q[i] = *(reinterpret_cast<const uint4*>(p) + i);
  } else {
    u.v = *reinterpret_cast<const Vector<T, N>*>(p);
  }
  return u.v;
#endif
}

template <Cache kCache = Cache::usual, class T, int N> WW_DEVICE void store(T* p, const Vector<T, N>& v WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::checkAligned(p, alignof(Vector<T, N>), "store", file, line);
  simt::noteWrite(p, sizeof v);
  *reinterpret_cast<Vector<T, N>*>(p) = v;
#else
  constexpr int bytes = sizeof(T) * N;
  if constexpr (bytes >= 16) {
    union { Vector<T, N> v; uint4 q[bytes / 16]; } u{v};
    WW_UNROLL for (int i = 0; i < bytes / 16; i++) {
      if constexpr (kCache == Cache::streamed) __stcs(reinterpret_cast<uint4*>(p) + i, u.q[i]);
      else *(reinterpret_cast<uint4*>(p) + i) = u.q[i];
    }
  } else {
    *reinterpret_cast<Vector<T, N>*>(p) = v;
  }
#endif
}

// Copies kBytes (4, 8 or 16) to shared memory without passing through registers; the last kBytes - valid are zeros, of which nothing is read (valid 0: `from`
// is any address). Both addresses are multiples of kBytes. Nobody may read the target before cpAsyncWait and, if somebody else issued the copy, a barrier after
// that; nobody may issue it while others still read what lay there.
template <int kBytes = 16> WW_DEVICE void cpAsync(void* to, const void* from, unsigned valid = kBytes WW_AT) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#ifdef WARPWEFT_SIMT
  simt::copyIssue(to, from, kBytes, valid, file, line);
#else
  const unsigned target = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16) asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(target), "l"(from), "r"(valid) : "memory");
  else asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(from), "n"(kBytes), "r"(valid) : "memory");
#endif
}
// Ends a group of copies of this thread.
WW_DEVICE void cpAsyncCommit() {
#ifdef WARPWEFT_SIMT
  simt::copyCommit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most kPending of this thread's groups, the latest, are under way.
template <int kPending> WW_DEVICE void cpAsyncWait() {
#ifdef WARPWEFT_SIMT
  simt::copyWait(kPending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}
// Waits for all copies of this thread, committed or not.
WW_DEVICE void cpAsyncWaitAll() {
#ifdef WARPWEFT_SIMT
  simt::copyWaitAll();
#else
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

}  // namespace warpweft::cuda

#ifdef WARPWEFT_SIMT
// CUDA's atomics, of which one thread at a time runs here anyway.
template <class T> T atomicAdd(T* p, T v) { const T old = *p; *p = static_cast<T>(old + v); return old; }
template <class T> T atomicMin(T* p, T v) { const T old = *p; if (v < old) *p = v; return old; }
template <class T> T atomicMax(T* p, T v) { const T old = *p; if (v > old) *p = v; return old; }
template <class T> T atomicOr(T* p, T v) { const T old = *p; *p = old | v; return old; }
template <class T> T atomicExch(T* p, T v) { const T old = *p; *p = v; return old; }
template <class T> T atomicCAS(T* p, T expected, T v) { const T old = *p; if (old == expected) *p = v; return old; }
inline void __threadfence() {}        // NOLINT: CUDA's name
inline void __threadfence_block() {}  // NOLINT: CUDA's name
#endif
