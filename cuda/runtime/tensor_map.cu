// Tensor maps by the driver. Its function is looked up at run time: the library needs no libcuda to load.
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstring>

#include "cuda/device/tensor_map.cuh"

namespace warpweft::cuda {
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                            CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

Encode encode() {
  static const Encode function = [] {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &result);
    if (error != cudaSuccess || result != cudaDriverEntryPointSuccess || !f)
      throw std::runtime_error("the NVIDIA driver has no cuTensorMapEncodeTiled: update it to one for CUDA 13");
    return reinterpret_cast<Encode>(f);
  }();
  return function;
}

CUtensorMapDataType typeOf(DType t) {
  switch (t) {
    case DType::bf16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::f16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::f32: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    default: throw std::runtime_error("tensor map: a dtype that is not floating");
  }
}

}  // namespace

TensorMap tensorMap(const TensorShape& s) {
  checkTensorShape(s);
  cuuint64_t sizes[kMostTensorRank], strides[kMostTensorRank];
  cuuint32_t box[kMostTensorRank], ones[kMostTensorRank];
  for (int d = 0; d < s.rank; d++) {
    sizes[d] = static_cast<cuuint64_t>(s.sizes[d]);
    box[d] = static_cast<cuuint32_t>(s.box[d]);
    ones[d] = 1;
    if (d > 0) strides[d - 1] = static_cast<cuuint64_t>(s.strides[d] * sizeOf(s.dtype));
  }
  CUtensorMap encoded;
  const CUresult result = encode()(&encoded, typeOf(s.dtype), static_cast<cuuint32_t>(s.rank), const_cast<void*>(s.data), sizes, strides, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                   s.swizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) throw std::runtime_error("cuTensorMapEncodeTiled refused a tensor map (error " + std::to_string(static_cast<int>(result)) + ")");
  TensorMap map;
  static_assert(sizeof map == sizeof encoded);
  std::memcpy(&map, &encoded, sizeof map);
  return map;
}

}  // namespace warpweft::cuda
