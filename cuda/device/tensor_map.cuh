#pragma once
// What TMA has to know of a tensor and of the boxes that it copies. Made on the host for each launch and handed to the kernel as a WW_GRID_CONSTANT parameter: it holds
// an address, so that it is not kept. By the driver's cuTensorMapEncodeTiled, which is looked up at run time (runtime/tensor_map.cu), or by the emulator.
#include <stdexcept>
#include <string>

#include "cuda/device/platform.cuh"
#include "runtime/dtype.hpp"

namespace warpweft::cuda {

#ifdef WARPWEFT_SIMT
struct alignas(8) TensorMap { unsigned char opaque[128]; };
#else
struct alignas(64) TensorMap { unsigned char opaque[128]; };
#endif

inline constexpr int kMostTensorRank = 5;

// Dimensions innermost first. Elements beyond the sizes (or before the first one) are zeros when they are loaded and left alone when they are stored.
struct TensorShape {
  const void* data;                         // at a multiple of 16 bytes
  DType dtype;
  int rank;
  int64_t sizes[kMostTensorRank];           // 1 to 2^32
  int64_t strides[kMostTensorRank];         // elements; of dimensions 1 and up multiples of 16 bytes, the innermost is 1
  int box[kMostTensorRank];                 // 1 to 256; the innermost a multiple of 16 bytes
  bool swizzled;                            // by 128 bytes, which is then what the innermost dimension of the box has
};

// Throws std::runtime_error for a shape that TMA does not take.
TensorMap tensorMap(const TensorShape& shape);

// What both makers of maps look at.
inline void checkTensorShape(const TensorShape& s) {
  const auto refuse = [](const std::string& text) { throw std::runtime_error("tensor map: " + text); };
  const int64_t bytes = sizeOf(s.dtype);
  if (s.rank < 1 || s.rank > kMostTensorRank) refuse("rank " + std::to_string(s.rank) + ", expected 1 to " + std::to_string(kMostTensorRank));
  if (reinterpret_cast<uintptr_t>(s.data) % 16) refuse("the address is not a multiple of 16 bytes");
  for (int d = 0; d < s.rank; d++) {
    if (s.sizes[d] < 1 || s.sizes[d] > int64_t{1} << 32) refuse("size " + std::to_string(s.sizes[d]) + ", expected 1 to 2^32");
    if (s.box[d] < 1 || s.box[d] > 256) refuse("a box of " + std::to_string(s.box[d]) + " elements, expected 1 to 256");
    const int64_t stride = s.strides[d] * bytes;
    if (d > 0 && (stride <= 0 || stride % 16 || stride >= int64_t{1} << 40)) refuse("a stride of " + std::to_string(stride) + " bytes, expected a multiple of 16 below 2^40");
  }
  const int64_t inner = s.box[0] * bytes;
  if (inner % 16 || (s.swizzled && inner != 128)) refuse("a box of " + std::to_string(inner) + " bytes along the innermost dimension, expected " + (s.swizzled ? "128" : "a multiple of 16"));
}

}  // namespace warpweft::cuda
