#pragma once
// What every kernel file includes. It defines `run` (and `workspace`) of its ops in warpweft::cuda and ends in WW_CUDA_KERNEL(Op) for each.
#include "cuda/device/device.cuh"
#include "cuda/runtime/kernel.hpp"
#include "runtime/view.hpp"

namespace warpweft::cuda {

// Calls body.template operator()<T>() with the storage type of a floating dtype.
template <class F> void dispatchFloat(DType t, F&& body) {
  switch (t) {
    case DType::f32: body.template operator()<float>(); break;
    case DType::f16: body.template operator()<f16>(); break;
    default: body.template operator()<bf16>(); break;
  }
}

// The same with an unsigned integer of as many bytes as an element has: for what is moved and not computed with.
template <class F> void dispatchBytes(DType t, F&& body) {
  switch (sizeOf(t)) {
    case 1: body.template operator()<uint8_t>(); break;
    case 2: body.template operator()<uint16_t>(); break;
    case 4: body.template operator()<uint32_t>(); break;
    default: body.template operator()<uint64_t>(); break;
  }
}

template <class T> inline constexpr bool kIsFloat = std::is_same_v<T, float> || std::is_same_v<T, bf16> || std::is_same_v<T, f16>;

__host__ WW_DEVICE constexpr int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
__host__ WW_DEVICE constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
__host__ WW_DEVICE constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// As many blocks as `threads` threads need.
inline dim3 blocksFor(int64_t threads, int64_t perBlock) { return dim3(static_cast<unsigned>(ceilDiv(threads, perBlock))); }

inline bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

// Rows of V-element vectors: the width divides, the first row and the distance of rows are multiples of a vector. Absent arguments agree with everything.
template <class T, int V> bool rowsOfVectors(const View& v) {
  return !v || (v.columns() % V == 0 && aligned(v.data, alignof(Vector<T, V>)) && (v.rows() <= 1 || v.rowStride() % V == 0));
}

// An id, label or index of either integer type.
struct Indices {
  const void* data;
  bool wide;
  static Indices of(const View& v) { return {v.data, v.dtype == DType::i64}; }
  WW_DEVICE int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(data)[i] : static_cast<int64_t>(static_cast<const int32_t*>(data)[i]);
  }
};

}  // namespace warpweft::cuda
