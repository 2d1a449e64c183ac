#include "ops/unary.hpp"

#include "cpu/elementwise/activation.hpp"
#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

// y = f(x) over n adjacent floats. One such function an op; strides and dtypes are the block's business.
using Forward = void (*)(const float* x, float* y, int64_t n);
// dx = dy * slope, from x or y as the table in ops/unary.hpp says.
using Backward = void (*)(const float* dy, const float* saved, float* dx, int64_t n);

template <class F> void forwardOf(const float* x, float* y, int64_t n) {
  map(x, y, n, [](F32 v) { return F{}(v); });
}
template <class F> void backwardOf(const float* dy, const float* saved, float* dx, int64_t n) {
  map(dy, saved, dx, n, [](F32 d, F32 s) { return F{}(d, s); });
}
template <class F> constexpr Forward forward(F) { return forwardOf<F>; }
template <class F> constexpr Backward backward(F) { return backwardOf<F>; }

WW_INLINE F32 one() { return splat(1.f); }
WW_INLINE F32 negated(F32 x) { return splat(-1.f) * x; }
WW_INLINE F32 truth(M32 m) { return andMask(m, one()); }
WW_INLINE F32 sign(F32 x) { return truth(gt(x, zero())) - truth(lt(x, zero())); }

Forward forwardFor(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg: return forward([](F32 x) { return negated(x); });
    case UnaryOp::abs: return forward([](F32 x) { return abs(x); });
    case UnaryOp::exp: return forward([](F32 x) { return exp(x); });
    case UnaryOp::log: return forward([](F32 x) { return log(x); });
    case UnaryOp::log1p: return forward([](F32 x) { return log1p(x); });
    case UnaryOp::sqrt: return forward([](F32 x) { return sqrt(x); });
    case UnaryOp::rsqrt: return forward([](F32 x) { return one() / sqrt(x); });
    case UnaryOp::square: return forward([](F32 x) { return x * x; });
    case UnaryOp::reciprocal: return forward([](F32 x) { return one() / x; });
    case UnaryOp::relu: return forward([](F32 x) { return Relu::value(x); });
    case UnaryOp::gelu: return forward([](F32 x) { return Gelu::value(x); });
    case UnaryOp::geluTanh: return forward([](F32 x) { return GeluTanh::value(x); });
    case UnaryOp::quickGelu: return forward([](F32 x) { return QuickGelu::value(x); });
    case UnaryOp::silu: return forward([](F32 x) { return Silu::value(x); });
    case UnaryOp::tanh: return forward([](F32 x) { return tanh(x); });
    case UnaryOp::sigmoid: return forward([](F32 x) { return sigmoid(x); });
    case UnaryOp::softplus: return forward([](F32 x) { return softplus(x); });
    case UnaryOp::erf: return forward([](F32 x) { return erf(x); });
    case UnaryOp::sin: return forward([](F32 x) { return sin(x); });
    case UnaryOp::cos: return forward([](F32 x) { return cos(x); });
    case UnaryOp::sign: return forward([](F32 x) { return sign(x); });
    case UnaryOp::floor: return forward([](F32 x) { return floor(x); });
    case UnaryOp::ceil: return forward([](F32 x) { return negated(floor(negated(x))); });
    case UnaryOp::round: return forward([](F32 x) { return round(x); });
    case UnaryOp::trunc: return forward([](F32 x) { return withSignOf(floor(abs(x)), x); });
    case UnaryOp::logicalNot: return forward([](F32 x) { return truth(eq(x, zero())); });
    case UnaryOp::isNan: return forward([](F32 x) { return truth(isNan(x)); });
    default: return forward([](F32 x) { return truth(lt(abs(x), splat(kInfinity))); });   // isFinite
  }
}

Backward backwardFor(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg: return backward([](F32 dy, F32) { return negated(dy); });
    case UnaryOp::abs: return backward([](F32 dy, F32 x) { return dy * sign(x); });
    case UnaryOp::exp: return backward([](F32 dy, F32 y) { return dy * y; });
    case UnaryOp::log: return backward([](F32 dy, F32 x) { return dy / x; });
    case UnaryOp::log1p: return backward([](F32 dy, F32 x) { return dy / (x + one()); });
    case UnaryOp::sqrt: return backward([](F32 dy, F32 y) { return dy / (y + y); });
    case UnaryOp::rsqrt: return backward([](F32 dy, F32 y) { return splat(-0.5f) * dy * (y * y * y); });
    case UnaryOp::square: return backward([](F32 dy, F32 x) { return dy * (x + x); });
    case UnaryOp::reciprocal: return backward([](F32 dy, F32 y) { return negated(dy) * (y * y); });
    case UnaryOp::relu: return backward([](F32 dy, F32 y) { return select(le(y, zero()), zero(), dy); });
    case UnaryOp::gelu: return backward([](F32 dy, F32 x) { return dy * Gelu::both(x).slope; });
    case UnaryOp::geluTanh: return backward([](F32 dy, F32 x) { return dy * GeluTanh::both(x).slope; });
    case UnaryOp::quickGelu: return backward([](F32 dy, F32 x) { return dy * QuickGelu::both(x).slope; });
    case UnaryOp::silu: return backward([](F32 dy, F32 x) { return dy * Silu::both(x).slope; });
    case UnaryOp::tanh: return backward([](F32 dy, F32 y) { return dy * fnma(y, y, one()); });
    case UnaryOp::sigmoid: return backward([](F32 dy, F32 y) { return dy * (y * (one() - y)); });
    case UnaryOp::softplus: return backward([](F32 dy, F32 x) { return dy * sigmoid(x); });
    case UnaryOp::erf: return backward([](F32 dy, F32 x) { return dy * (splat(1.12837916709551257f) * exp(negated(x * x))); });
    case UnaryOp::sin: return backward([](F32 dy, F32 x) { return dy * cos(x); });
    default: return backward([](F32 dy, F32 x) { return negated(dy) * sin(x); });   // cos
  }
}

// y = f(x) over n adjacent elements of a half type, without the passes through a buffer that conversion costs elsewhere: for the activations of networks.
template <class T> using HalfForward = void (*)(const T* x, T* y, int64_t n);
template <class T, class A> void halfForwardOf(const T* x, T* y, int64_t n) {
  eachVector(n, [&](int64_t i, auto lanes) WW_ALWAYS { store(y + i, A::value(load(x + i, lanes)), lanes); });
}
template <class T> HalfForward<T> halfForwardFor(UnaryOp op) {
  switch (op) {
    case UnaryOp::relu: return halfForwardOf<T, Relu>;
    case UnaryOp::gelu: return halfForwardOf<T, Gelu>;
    case UnaryOp::geluTanh: return halfForwardOf<T, GeluTanh>;
    case UnaryOp::silu: return halfForwardOf<T, Silu>;
    default: return nullptr;
  }
}

// Whether the block could be, and was, done so.
template <class T> bool runHalf(const Unary& a, const Loop<2>& l, const Block& b) {
  const HalfForward<T> f = halfForwardFor<T>(static_cast<UnaryOp>(a.op));
  if (!f || a.y.dtype != a.x.dtype || !isAdjacent(l, 0, b) || !isAdjacent(l, 1, b)) return false;
  f(a.x.as<const T>() + offsetOf(l, 1, b), a.y.as<T>() + offsetOf(l, 0, b), b.count);
  return true;
}

void mapIntegers(UnaryOp op, const int64_t* x, int64_t* y, int64_t n) {
  const auto each = [&](auto f) {
    for (int64_t i = 0; i < n; i++) y[i] = f(x[i]);
  };
  const auto negative = [](int64_t v) { return static_cast<int64_t>(-static_cast<uint64_t>(v)); };
  switch (op) {
    case UnaryOp::neg: return each(negative);
    case UnaryOp::abs: return each([&](int64_t v) { return v < 0 ? negative(v) : v; });
    case UnaryOp::square: return each([](int64_t v) { return static_cast<int64_t>(static_cast<uint64_t>(v) * static_cast<uint64_t>(v)); });
    case UnaryOp::relu: return each([](int64_t v) { return v > 0 ? v : 0; });
    case UnaryOp::sign: return each([](int64_t v) { return int64_t{v > 0} - int64_t{v < 0}; });
    default: return each([](int64_t v) { return int64_t{v == 0}; });   // logicalNot
  }
}

void run(const Unary& a, Context& c) {
  const View* views[] = {&a.y, &a.x};
  const Loop<2> l = loopOver(views);
  const auto op = static_cast<UnaryOp>(a.op);
  if (!isFloat(a.x.dtype)) {
    forEachBlock(l, c, [&](const Block& b, int) {
      alignas(64) int64_t x[kBlock], y[kBlock];
      mapIntegers(op, readInts(l, 1, a.x, b, x), y, b.count);
      writeInts(l, 0, a.y, b, y);
    });
    return;
  }
  const Forward f = forwardFor(op);
  const bool toBool = a.y.dtype == DType::b8;
  forEachBlock(l, c, [&](const Block& b, int) {
    if (a.x.dtype == DType::bf16 ? runHalf<bf16>(a, l, b) : a.x.dtype == DType::f16 && runHalf<f16>(a, l, b)) return;
    alignas(64) float x[kBlock], y[kBlock];
    float* target = toBool ? y : floatsFor(l, 0, a.y, false, b, y);
    f(readFloats(l, 1, a.x, b, x), target, b.count);
    if (toBool) writeTruth(l, 0, a.y, b, y);
    else writeFloats(l, 0, a.y, false, b, target, y);
  });
}

void run(const UnaryBackward& a, Context& c) {
  if (!a.dx) return;
  const View& saved = a.saved ? a.saved : a.dy;
  const View* views[] = {&a.dx, &a.dy, &saved};
  const Loop<3> l = loopOver(views);
  const Backward f = backwardFor(static_cast<UnaryOp>(a.op));
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float dy[kBlock], s[kBlock], dx[kBlock];
    float* target = floatsFor(l, 0, a.dx, a.dx.accumulate, b, dx);
    f(readFloats(l, 1, a.dy, b, dy), readFloats(l, 2, saved, b, s), target, b.count);
    writeFloats(l, 0, a.dx, a.dx.accumulate, b, target, dx);
  });
}

}  // namespace
WW_KERNEL(Unary)
WW_KERNEL(UnaryBackward)
}  // namespace warpweft::cpu::WW_ISA
