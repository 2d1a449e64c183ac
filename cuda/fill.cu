#include "ops/fill.hpp"

#include "cuda/elementwise/convert.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

template <class T> struct Constant {
  T value;
  WW_DEVICE T operator()() const { return value; }
};

template <class T> void fillWith(const Fill& a, const Loop<1>& l, T value, Stream stream) {
  T* y = a.y.as<T>();
  constexpr int V = kVector<T>;
  if (vectorized<V>(l, y)) launchElementwise<V>(stream, Constant<T>{value}, l, false, y);
  else launchElementwise<1>(stream, Constant<T>{value}, l, false, y);
}

}  // namespace

void run(const Fill& a, Context& context) {
  const View* views[] = {&a.y};
  const Loop<1> l = loopOver(views);
  const auto value = static_cast<float>(a.value);
  const Stream stream = context.stream();
  switch (a.y.dtype) {
    case DType::f32: return fillWith<uint32_t>(a, l, hostBits<float>(value), stream);
    case DType::f16: return fillWith<uint16_t>(a, l, static_cast<uint16_t>(hostBits<f16>(value)), stream);
    case DType::bf16: return fillWith<uint16_t>(a, l, static_cast<uint16_t>(hostBits<bf16>(value)), stream);
    case DType::i32: return fillWith<int32_t>(a, l, truncated<int32_t>(a.value), stream);
    case DType::i64: return fillWith<int64_t>(a, l, truncated<int64_t>(a.value), stream);
    case DType::i8: return fillWith<int8_t>(a, l, truncated<int8_t>(a.value), stream);
    case DType::u8: return fillWith<uint8_t>(a, l, truncated<uint8_t>(a.value), stream);
    case DType::b8: return fillWith<uint8_t>(a, l, a.value != 0, stream);
  }
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Fill)
