// The emulator's tensor maps.
#include "cuda/device/tensor_map.cuh"

#include <cstring>

#include "cuda/simt/async.hpp"

namespace warpweft::cuda {

TensorMap tensorMap(const TensorShape& shape) {
  checkTensorShape(shape);
  simt::TensorBox box{};
  box.mark = simt::kTensorBox;
  box.data = const_cast<char*>(static_cast<const char*>(shape.data));
  box.rank = static_cast<uint8_t>(shape.rank);
  box.elementBytes = static_cast<uint8_t>(sizeOf(shape.dtype));
  box.swizzled = shape.swizzled;
  for (int d = 0; d < shape.rank; d++) {
    box.sizes[d] = shape.sizes[d];
    box.box[d] = static_cast<uint16_t>(shape.box[d]);
    if (d > 0) box.strides[d - 1] = static_cast<uint64_t>(shape.strides[d]) * box.elementBytes;
  }
  TensorMap map{};
  static_assert(sizeof box <= sizeof map);
  std::memcpy(map.opaque, &box, sizeof box);
  return map;
}

}  // namespace warpweft::cuda
