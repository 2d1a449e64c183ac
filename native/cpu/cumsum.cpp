#include "ops/cumsum.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

// A row from one end to the other. `put` converts, and adds if the gradient accumulates.
template <class T, class Sum, class Put> WW_INLINE void row(const T* x, int64_t n, bool reversed, Sum sum, Put&& put) {
  for (int64_t k = 0; k < n; k++) {
    const int64_t i = reversed ? n - 1 - k : k;
    if constexpr (__is_same(Sum, double)) sum += static_cast<double>(toFloat(x[i]));
    else sum += static_cast<Sum>(static_cast<int64_t>(x[i]));   // unsigned: wraps
    put(i, sum);
  }
}

void run(const Cumsum& a, Context& c) {
  const int64_t R = a.x.rows(), C = a.x.columns(), xStride = a.x.rowStride(), yStride = a.y.rowStride();
  if (R == 0 || C == 0) return;
  c.parallelFor(R, ceilDiv(4096, C), [&](int64_t begin, int64_t end, int) __attribute__((noinline)) {
    for (int64_t r = begin; r < end; r++) {
      if (isFloat(a.x.dtype)) {
        dispatchFloat(a.x.dtype, [&]<class T>() {
          const auto into = [&]<class Y>(Y* y) {
            row(a.x.as<const T>() + r * xStride, C, a.reversed, 0.0, [&](int64_t i, double sum) {
              y[i] = fromFloat<Y>(a.y.accumulate ? toFloat(y[i]) + static_cast<float>(sum) : static_cast<float>(sum));
            });
          };
          if (a.y.dtype == DType::f32) into(a.y.as<float>() + r * yStride);
          else into(a.y.as<T>() + r * yStride);
        });
      } else {
        dispatchInteger(a.x.dtype, [&]<class T>() {
          const auto into = [&]<class Y>(Y* y) {
            row(a.x.as<const T>() + r * xStride, C, a.reversed, uint64_t{0}, [&](int64_t i, uint64_t sum) {
              y[i] = static_cast<Y>(a.y.dtype == DType::b8 ? sum != 0 : sum);
            });
          };
          if (a.y.dtype == DType::i64) into(a.y.as<int64_t>() + r * yStride);
          else into(a.y.as<T>() + r * yStride);
        });
      }
    }
  });
}

}  // namespace
WW_KERNEL(Cumsum)
}  // namespace warpweft::cpu::WW_ISA
