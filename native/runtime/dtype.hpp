#pragma once
#include <cstddef>
#include <cstdint>

// Everything in this header is shared with objects that are compiled for one instruction set, hence always_inline: the linker must never
// hand an AVX-512 copy of a shared function to a machine without it.
#ifdef __CUDACC__   // kernels on GPUs use it too
#define WW_INLINE __host__ __device__ __forceinline__
#else
#define WW_INLINE inline __attribute__((always_inline))
#endif

namespace warpweft {

enum class DType : uint8_t { f32, f16, bf16, i32, i64, u8, i8, b8 };
inline constexpr int kDTypeCount = 8;

// Storage types of the half precisions; arithmetic happens in float32.
struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

WW_INLINE constexpr int64_t sizeOf(DType t) {
  switch (t) {
    case DType::f32: case DType::i32: return 4;
    case DType::f16: case DType::bf16: return 2;
    case DType::i64: return 8;
    default: return 1;
  }
}

WW_INLINE constexpr const char* nameOf(DType t) {
  constexpr const char* names[kDTypeCount] = {"float32", "float16", "bfloat16", "int32", "int64", "uint8", "int8", "bool"};
  return names[static_cast<int>(t)];
}

WW_INLINE constexpr bool isFloat(DType t) { return t <= DType::bf16; }

template <class T> inline constexpr DType dtypeOf = DType::u8;
template <> inline constexpr DType dtypeOf<float> = DType::f32;
template <> inline constexpr DType dtypeOf<f16> = DType::f16;
template <> inline constexpr DType dtypeOf<bf16> = DType::bf16;
template <> inline constexpr DType dtypeOf<int32_t> = DType::i32;
template <> inline constexpr DType dtypeOf<int64_t> = DType::i64;
template <> inline constexpr DType dtypeOf<int8_t> = DType::i8;
template <> inline constexpr DType dtypeOf<bool> = DType::b8;

}  // namespace warpweft
