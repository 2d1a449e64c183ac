#include "ops/unary.hpp"

#include "cuda/elementwise/activation.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

// The functions of ops/unary.hpp by their number: a constant in the kernels of vectors, a branch that all threads take alike in the others.
WW_DEVICE float forward(UnaryOp op, float x) {
  switch (op) {
    case UnaryOp::neg: return -x;
    case UnaryOp::abs: return abs(x);
    case UnaryOp::exp: return exp(x);
    case UnaryOp::log: return log(x);
    case UnaryOp::log1p: return log1p(x);
    case UnaryOp::sqrt: return sqrt(x);
    case UnaryOp::rsqrt: return 1.f / sqrt(x);
    case UnaryOp::square: return x * x;
    case UnaryOp::reciprocal: return 1.f / x;
    case UnaryOp::relu: return Relu::value(x);
    case UnaryOp::gelu: return Gelu::value(x);
    case UnaryOp::geluTanh: return GeluTanh::value(x);
    case UnaryOp::quickGelu: return QuickGelu::value(x);
    case UnaryOp::silu: return Silu::value(x);
    case UnaryOp::tanh: return tanh(x);
    case UnaryOp::sigmoid: return sigmoid(x);
    case UnaryOp::softplus: return maximum(x, 0.f) + log1p(exp(-abs(x)));
    case UnaryOp::erf: return erf(x);
    case UnaryOp::sin: return library::sin(x);
    case UnaryOp::cos: return library::cos(x);
    case UnaryOp::sign: return static_cast<float>(x > 0.f) - static_cast<float>(x < 0.f);
    case UnaryOp::floor: return library::floor(x);
    case UnaryOp::ceil: return library::ceil(x);
    case UnaryOp::round: return library::nearbyint(x);
    case UnaryOp::trunc: return library::trunc(x);
    case UnaryOp::logicalNot: return static_cast<float>(x == 0.f);
    case UnaryOp::isNan: return static_cast<float>(x != x);
    default: return static_cast<float>(abs(x) < floatOf(0x7F800000u));   // isFinite
  }
}

// dx, from x or y as the table says.
WW_DEVICE float backward(UnaryOp op, float dy, float saved) {
  switch (op) {
    case UnaryOp::neg: return -dy;
    case UnaryOp::abs: return dy * (static_cast<float>(saved > 0.f) - static_cast<float>(saved < 0.f));
    case UnaryOp::exp: return dy * saved;
    case UnaryOp::log: return dy / saved;
    case UnaryOp::log1p: return dy / (saved + 1.f);
    case UnaryOp::sqrt: return dy / (saved + saved);
    case UnaryOp::rsqrt: return -0.5f * dy * (saved * saved * saved);
    case UnaryOp::square: return dy * (saved + saved);
    case UnaryOp::reciprocal: return -dy * (saved * saved);
    case UnaryOp::relu: return saved <= 0.f ? 0.f : dy;
    case UnaryOp::gelu: return dy * Gelu::both(saved).slope;
    case UnaryOp::geluTanh: return dy * GeluTanh::both(saved).slope;
    case UnaryOp::quickGelu: return dy * QuickGelu::both(saved).slope;
    case UnaryOp::silu: return dy * Silu::both(saved).slope;
    case UnaryOp::tanh: return dy * fma(-saved, saved, 1.f);
    case UnaryOp::sigmoid: return dy * (saved * (1.f - saved));
    case UnaryOp::softplus: return dy * sigmoid(saved);
    case UnaryOp::erf: return dy * (1.12837916709551257f * exp(-saved * saved));
    case UnaryOp::sin: return dy * library::cos(saved);
    default: return -dy * library::sin(saved);   // cos
  }
}

// Two's complement, without undefined overflow.
WW_DEVICE int64_t forward(UnaryOp op, int64_t x) {
  const auto u = static_cast<uint64_t>(x);
  switch (op) {
    case UnaryOp::neg: return static_cast<int64_t>(-u);
    case UnaryOp::abs: return x < 0 ? static_cast<int64_t>(-u) : x;
    case UnaryOp::square: return static_cast<int64_t>(u * u);
    case UnaryOp::relu: return x > 0 ? x : 0;
    case UnaryOp::sign: return int64_t{x > 0} - int64_t{x < 0};
    default: return int64_t{x == 0};   // logicalNot
  }
}

template <UnaryOp kOp> struct Forward { WW_DEVICE float operator()(float x) const { return forward(kOp, x); } };
template <UnaryOp kOp> struct Backward { WW_DEVICE float operator()(float dy, float saved) const { return backward(kOp, dy, saved); } };
struct AnyForward {
  UnaryOp op;
  WW_DEVICE float operator()(float x) const { return forward(op, x); }
  template <class I> WW_DEVICE int64_t operator()(I x) const { return forward(op, static_cast<int64_t>(x)); }
};
struct AnyBackward {
  UnaryOp op;
  WW_DEVICE float operator()(float dy, float saved) const { return backward(op, dy, saved); }
};

// Calls body.template operator()<op>() for the functions that models spend time in; false for others.
template <class F> bool dispatchUsual(UnaryOp op, F&& body) {
  switch (op) {
#define WW_CASE(name) case UnaryOp::name: body.template operator()<UnaryOp::name>(); return true;
    WW_CASE(neg) WW_CASE(exp) WW_CASE(log) WW_CASE(sqrt) WW_CASE(rsqrt) WW_CASE(square) WW_CASE(relu) WW_CASE(gelu) WW_CASE(geluTanh)
    WW_CASE(quickGelu) WW_CASE(silu) WW_CASE(tanh) WW_CASE(sigmoid)
#undef WW_CASE
    default: return false;
  }
}

template <class X, class Y> void anyForward(const Unary& a, const Loop<2>& l, Stream stream) {
  launchElementwise<1>(stream, AnyForward{static_cast<UnaryOp>(a.op)}, l, false, a.y.as<Y>(), a.x.as<const X>());
}

template <class T> void floats(const Unary& a, const Loop<2>& l, Stream stream) {
  if (a.y.dtype == DType::b8) return anyForward<T, uint8_t>(a, l, stream);
  T* y = a.y.as<T>();
  const T* x = a.x.as<const T>();
  constexpr int V = kVector<T>;
  if (vectorized<V>(l, y, x) && dispatchUsual(static_cast<UnaryOp>(a.op), [&]<UnaryOp kOp>() { launchElementwise<V>(stream, Forward<kOp>{}, l, false, y, x); })) return;
  anyForward<T, T>(a, l, stream);
}

template <class T> void integers(const Unary& a, const Loop<2>& l, Stream stream) {
  if (a.y.dtype == DType::b8 && a.x.dtype != DType::b8) anyForward<T, uint8_t>(a, l, stream);
  else anyForward<T, T>(a, l, stream);
}

}  // namespace

void run(const Unary& a, Context& context) {
  const View* views[] = {&a.y, &a.x};
  const Loop<2> l = loopOver(views);
  switch (a.x.dtype) {
    case DType::i32: return integers<int32_t>(a, l, context.stream());
    case DType::i64: return integers<int64_t>(a, l, context.stream());
    case DType::i8: return integers<int8_t>(a, l, context.stream());
    case DType::u8: case DType::b8: return integers<uint8_t>(a, l, context.stream());
    default: dispatchFloat(a.x.dtype, [&]<class T>() { floats<T>(a, l, context.stream()); });
  }
}

void run(const UnaryBackward& a, Context& context) {
  if (!a.dx) return;
  const View& saved = a.saved ? static_cast<const View&>(a.saved) : a.dy;
  const View* views[] = {&a.dx, &a.dy, &saved};
  const Loop<3> l = loopOver(views);
  const auto op = static_cast<UnaryOp>(a.op);
  dispatchFloat(a.dy.dtype, [&]<class T>() {
    T* dx = a.dx.as<T>();
    const T *dy = a.dy.as<const T>(), *s = saved.as<const T>();
    constexpr int V = kVector<T>;
    const auto usual = [&]<UnaryOp kOp>() { launchElementwise<V>(context.stream(), Backward<kOp>{}, l, a.dx.accumulate, dx, dy, s); };
    if (vectorized<V>(l, dx, dy, s) && dispatchUsual(op, usual)) return;
    launchElementwise<1>(context.stream(), AnyBackward{op}, l, a.dx.accumulate, dx, dy, s);
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Unary)
WW_CUDA_KERNEL(UnaryBackward)
