#include "ops/where.hpp"

#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

struct Choose {
  template <class T> WW_DEVICE T operator()(uint8_t condition, T a, T b) const { return condition ? a : b; }
};

template <class T> void choose(const Where& a, const Loop<4>& l, Stream stream) {
  T* y = a.y.as<T>();
  const auto* condition = a.condition.as<const uint8_t>();
  const T *u = a.a.as<const T>(), *v = a.b.as<const T>();
  constexpr int V = kVector<T>;
  if (vectorized<V>(l, y, condition, u, v)) launchElementwise<V>(stream, Choose{}, l, a.y.accumulate, y, condition, u, v);
  else launchElementwise<1>(stream, Choose{}, l, a.y.accumulate, y, condition, u, v);
}

}  // namespace

// Elements are moved as so many bytes: NaN payloads and 64-bit integers stay as they are.
void run(const Where& a, Context& context) {
  const View* views[] = {&a.y, &a.condition, &a.a, &a.b};
  const Loop<4> l = loopOver(views);
  const auto with = [&]<class T>() { choose<T>(a, l, context.stream()); };
  if (a.y.accumulate) dispatchFloat(a.y.dtype, with);
  else dispatchBytes(a.y.dtype, with);
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Where)
