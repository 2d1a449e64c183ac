#pragma once
// Conversions between dtypes as ops/copy.hpp defines them.
#include "cuda/simt/half.hpp"
#include "cuda/kernel.cuh"

namespace warpweft::cuda {

// The bits of a float32 value in a floating type, on the host.
template <class T> uint32_t hostBits(float v) {
  if constexpr (std::is_same_v<T, float>) return simt::bits(v);
  else if constexpr (std::is_same_v<T, bf16>) return simt::bfloatFromFloat(v);
  else return simt::halfFromFloat(v);
}

// Toward zero, saturating, NaN to 0.
template <class T, class F> __host__ WW_DEVICE T truncated(F x) {
  constexpr T low = static_cast<T>(T(-1) < T(0) ? T(1) << (8 * sizeof(T) - 1) : 0), high = static_cast<T>(~low);
  if (!(x > static_cast<F>(low))) return x == x ? low : T(0);
  return x >= static_cast<F>(high) ? high : static_cast<T>(x);
}

// Any element as float32 or as int64, and back; integers wrap, truth is x != 0.
WW_DEVICE float readFloat(const void* p, DType t, int64_t i) {
  switch (t) {
    case DType::f32: return static_cast<const float*>(p)[i];
    case DType::f16: return toFloat(static_cast<const f16*>(p)[i]);
    default: return toFloat(static_cast<const bf16*>(p)[i]);
  }
}
WW_DEVICE int64_t readInteger(const void* p, DType t, int64_t i) {
  switch (t) {
    case DType::i32: return static_cast<const int32_t*>(p)[i];
    case DType::i64: return static_cast<const int64_t*>(p)[i];
    case DType::i8: return static_cast<const int8_t*>(p)[i];
    default: return static_cast<const uint8_t*>(p)[i];
  }
}
WW_DEVICE void writeFloat(void* p, DType t, int64_t i, float v) {
  switch (t) {
    case DType::f32: static_cast<float*>(p)[i] = v; break;
    case DType::f16: static_cast<f16*>(p)[i] = fromFloat<f16>(v); break;
    case DType::bf16: static_cast<bf16*>(p)[i] = fromFloat<bf16>(v); break;
    case DType::i32: static_cast<int32_t*>(p)[i] = truncated<int32_t>(v); break;
    case DType::i64: static_cast<int64_t*>(p)[i] = truncated<int64_t>(v); break;
    case DType::i8: static_cast<int8_t*>(p)[i] = truncated<int8_t>(v); break;
    case DType::u8: static_cast<uint8_t*>(p)[i] = truncated<uint8_t>(v); break;
    case DType::b8: static_cast<uint8_t*>(p)[i] = v != 0.f; break;
  }
}
WW_DEVICE void writeInteger(void* p, DType t, int64_t i, int64_t v) {
  switch (t) {
    case DType::i32: static_cast<int32_t*>(p)[i] = static_cast<int32_t>(v); break;
    case DType::i64: static_cast<int64_t*>(p)[i] = v; break;
    case DType::i8: static_cast<int8_t*>(p)[i] = static_cast<int8_t>(v); break;
    case DType::u8: static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(v); break;
    case DType::b8: static_cast<uint8_t*>(p)[i] = v != 0; break;
    default: writeFloat(p, t, i, static_cast<float>(v));
  }
}

}  // namespace warpweft::cuda
