#include "ops/fill.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

template <class T> void fillWith(const Fill& a, const Loop<1>& l, T value, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    forEachRun(l, 0, b, [&](int64_t offset, int64_t n, int64_t) {
      T* y = a.y.as<T>() + offset;
      const int64_t stride = l.innerStride(0);
      if (stride == 1) for (int64_t i = 0; i < n; i++) y[i] = value;
      else for (int64_t i = 0; i < n; i++) y[i * stride] = value;
    });
  });
}

// Toward zero, saturating, NaN to 0.
template <class T> WW_INLINE T truncated(double x) {
  constexpr T least = static_cast<T>(T(-1) < T(0) ? T(1) << (8 * sizeof(T) - 1) : 0), most = static_cast<T>(~least);
  if (!(x > static_cast<double>(least))) return x == x ? least : T(0);
  return x >= static_cast<double>(most) ? most : static_cast<T>(x);
}

void run(const Fill& a, Context& c) {
  const View* views[] = {&a.y};
  const Loop<1> l = loopOver(views);
  switch (a.y.dtype) {
    case DType::f32: return fillWith<float>(a, l, static_cast<float>(a.value), c);
    case DType::f16: return fillWith<uint16_t>(a, l, fromFloat<f16>(static_cast<float>(a.value)).bits, c);
    case DType::bf16: return fillWith<uint16_t>(a, l, fromFloat<bf16>(static_cast<float>(a.value)).bits, c);
    case DType::i32: return fillWith<int32_t>(a, l, truncated<int32_t>(a.value), c);
    case DType::i64: return fillWith<int64_t>(a, l, truncated<int64_t>(a.value), c);
    case DType::i8: return fillWith<int8_t>(a, l, truncated<int8_t>(a.value), c);
    case DType::u8: return fillWith<uint8_t>(a, l, truncated<uint8_t>(a.value), c);
    case DType::b8: return fillWith<uint8_t>(a, l, a.value != 0, c);
  }
}

}  // namespace
WW_KERNEL(Fill)
}  // namespace warpweft::cpu::WW_ISA
