#include "ops/binary.hpp"

#include "cuda/elementwise/arithmetic.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

template <BinaryOp kOp> struct Two { WW_DEVICE float operator()(float a, float b) const { return arithmetic(kOp, a, b); } };
template <BinaryOp kOp, bool kReversed> struct WithScalar {
  float value;
  WW_DEVICE float operator()(float a) const { return kReversed ? arithmetic(kOp, value, a) : arithmetic(kOp, a, value); }
};
// The powers that users write often, without the library's pow.
template <int kExponent> struct Power {
  WW_DEVICE float operator()(float a) const { return kExponent == 2 ? a * a : kExponent == 3 ? a * a * a : kExponent == 1 ? a : 1.f / a; }
};
struct AnyTwo {
  BinaryOp op;
  WW_DEVICE float operator()(float a, float b) const { return arithmetic(op, a, b); }
  template <class I> WW_DEVICE int64_t operator()(I a, I b) const { return arithmetic(op, static_cast<int64_t>(a), static_cast<int64_t>(b)); }
};
struct AnyWithScalar {
  BinaryOp op;
  bool reversed;
  float value;
  int64_t integer;
  WW_DEVICE float operator()(float a) const { return reversed ? arithmetic(op, value, a) : arithmetic(op, a, value); }
  template <class I> WW_DEVICE int64_t operator()(I a) const {
    const auto i = static_cast<int64_t>(a);
    return reversed ? arithmetic(op, integer, i) : arithmetic(op, i, integer);
  }
};

// Calls body.template operator()<op>() for the operations that models spend time in; false for others.
template <class F> bool dispatchUsual(BinaryOp op, F&& body) {
  switch (op) {
#define WW_CASE(name) case BinaryOp::name: body.template operator()<BinaryOp::name>(); return true;
    WW_CASE(add) WW_CASE(sub) WW_CASE(mul) WW_CASE(div) WW_CASE(max) WW_CASE(min)
#undef WW_CASE
    default: return false;
  }
}

// Calls body.template operator()<X>() with the storage type of any dtype.
template <class F> void dispatchAny(DType t, F&& body) {
  switch (t) {
    case DType::i32: return body.template operator()<int32_t>();
    case DType::i64: return body.template operator()<int64_t>();
    case DType::i8: return body.template operator()<int8_t>();
    case DType::u8: case DType::b8: return body.template operator()<uint8_t>();
    default: dispatchFloat(t, body);
  }
}

}  // namespace

void run(const Binary& a, Context& context) {
  const View* views[] = {&a.y, &a.a, &a.b};
  const Loop<3> l = loopOver(views);
  const auto op = static_cast<BinaryOp>(a.op);
  dispatchAny(a.a.dtype, [&]<class T>() {
    const T *u = a.a.as<const T>(), *v = a.b.as<const T>();
    if (a.y.dtype == DType::b8) return launchElementwise<1>(context.stream(), AnyTwo{op}, l, false, a.y.as<uint8_t>(), u, v);
    T* y = a.y.as<T>();
    if constexpr (kIsFloat<T>) {
      constexpr int V = kVector<T>;
      const auto usual = [&]<BinaryOp kOp>() { launchElementwise<V>(context.stream(), Two<kOp>{}, l, a.y.accumulate, y, u, v); };
      if (vectorized<V>(l, y, u, v) && dispatchUsual(op, usual)) return;
    }
    launchElementwise<1>(context.stream(), AnyTwo{op}, l, a.y.accumulate, y, u, v);
  });
}

void run(const ScalarBinary& a, Context& context) {
  const View* views[] = {&a.y, &a.a};
  const Loop<2> l = loopOver(views);
  const auto op = static_cast<BinaryOp>(a.op);
  const auto value = static_cast<float>(a.value);
  const AnyWithScalar any{op, a.reversed, value, isFloat(a.a.dtype) ? 0 : static_cast<int64_t>(a.value)};
  dispatchAny(a.a.dtype, [&]<class T>() {
    const T* x = a.a.as<const T>();
    if (a.y.dtype == DType::b8) return launchElementwise<1>(context.stream(), any, l, false, a.y.as<uint8_t>(), x);
    T* y = a.y.as<T>();
    if constexpr (kIsFloat<T>) {
      constexpr int V = kVector<T>;
      const auto with = [&](const auto& f) {
        if (vectorized<V>(l, y, x)) launchElementwise<V>(context.stream(), f, l, a.y.accumulate, y, x);
        else launchElementwise<1>(context.stream(), f, l, a.y.accumulate, y, x);
      };
      if (op == BinaryOp::pow && !a.reversed) {
        if (a.value == 2) return with(Power<2>{});
        if (a.value == 3) return with(Power<3>{});
        if (a.value == 1) return with(Power<1>{});
        if (a.value == -1) return with(Power<-1>{});
      }
      const auto usual = [&]<BinaryOp kOp>() {
        if (a.reversed) launchElementwise<V>(context.stream(), WithScalar<kOp, true>{value}, l, a.y.accumulate, y, x);
        else launchElementwise<V>(context.stream(), WithScalar<kOp, false>{value}, l, a.y.accumulate, y, x);
      };
      if (vectorized<V>(l, y, x) && dispatchUsual(op, usual)) return;
    }
    launchElementwise<1>(context.stream(), any, l, a.y.accumulate, y, x);
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Binary)
WW_CUDA_KERNEL(ScalarBinary)
