#pragma once
// What products of a few rows have alike: they are bound by reading b once, where it lies.
#include "cpu/gemm/epilogue.hpp"
#include "cpu/gemm/workers.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Up to here a product is bound by reading b once.
inline constexpr int64_t kFewRows = 16;
// How far ahead of its use memory is asked for, in each of several runs that are read side by side.
inline constexpr int64_t kFetchBytes = 4096;
// Lines of b, columns of c, of a task at most.
inline constexpr int64_t kMaxLines = 256;
// Bytes of b that are worth waking a thread for: some two microseconds of reading.
inline constexpr int64_t kWakeBytes = 64 << 10;

WW_INLINE int64_t roundUp(int64_t x, int64_t multiple) { return ceilDiv(x, multiple) * multiple; }
WW_INLINE int64_t bytesOfB(const Product& p) { return p.N * p.K * sizeOf(p.type); }

// What a task reads of b: enough tasks for the threads to end together, in pieces that are long enough to be read at full speed.
WW_INLINE int64_t taskBytes(const Product& p) { return maximum(32 << 10, minimum(256 << 10, bytesOfB(p) / 16)); }

// The rows of a as adjacent floats: where they lie, or in `copy`.
template <class T> static const float* adjacentRows(const Product& p, float* copy) {
  if (p.type == DType::f32 && p.a.depth == 1 && (p.M == 1 || p.a.line == p.K)) return reinterpret_cast<const float*>(p.a.data);
  for (int64_t i = 0; i < p.M; i++) {
    const T* const row = reinterpret_cast<const T*>(p.a.data) + i * p.a.line;
    float* const y = copy + i * p.K;
    if (p.a.depth == 1) eachVector(p.K, [&](int64_t k, auto lanes) { store(y + k, load(row + k, lanes), lanes); });
    else for (int64_t k = 0; k < p.K; k++) y[k] = toFloat(row[k * p.a.depth]);
  }
  return copy;
}

}  // namespace warpweft::cpu::WW_ISA::gemm
