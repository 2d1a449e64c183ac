#include "ops/binary.hpp"

#include "cpu/elementwise/arithmetic.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

void run(const Binary& a, Context& c) {
  const View* views[] = {&a.y, &a.a, &a.b};
  const Loop<3> l = loopOver(views);
  const auto op = static_cast<BinaryOp>(a.op);
  if (!isFloat(a.a.dtype)) {
    const Arithmetic<int64_t> f = integerArithmetic(op);
    forEachBlock(l, c, [&](const Block& b, int) {
      alignas(64) int64_t u[kBlock], v[kBlock], y[kBlock];
      f(readInts(l, 1, a.a, b, u), readInts(l, 2, a.b, b, v), y, b.count);
      writeInts(l, 0, a.y, b, y);
    });
    return;
  }
  const Arithmetic<float> f = floatArithmetic(op);
  const bool toBool = a.y.dtype == DType::b8;
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float u[kBlock], v[kBlock], y[kBlock];
    float* target = toBool ? y : floatsFor(l, 0, a.y, a.y.accumulate, b, y);
    f(readFloats(l, 1, a.a, b, u), readFloats(l, 2, a.b, b, v), target, b.count);
    if (toBool) writeTruth(l, 0, a.y, b, y);
    else writeFloats(l, 0, a.y, a.y.accumulate, b, target, y);
  });
}

// Powers that users write often, without the C library's pow: a -> a^value; null for others.
Arithmetic<float> knownPower(double value) {
  if (value == 2) return floats([](F32 a, F32) { return a * a; });
  if (value == 3) return floats([](F32 a, F32) { return a * a * a; });
  if (value == 1) return floats([](F32 a, F32) { return a; });
  if (value == -1) return floats([](F32 a, F32) { return splat(1.f) / a; });
  return nullptr;
}

void run(const ScalarBinary& a, Context& c) {
  const View* views[] = {&a.y, &a.a};
  const Loop<2> l = loopOver(views);
  const auto op = static_cast<BinaryOp>(a.op);
  if (!isFloat(a.a.dtype)) {
    const Arithmetic<int64_t> f = integerArithmetic(op);
    alignas(64) int64_t scalar[kBlock];
    for (int64_t i = 0; i < kBlock; i++) scalar[i] = static_cast<int64_t>(a.value);
    forEachBlock(l, c, [&](const Block& b, int) {
      alignas(64) int64_t u[kBlock], y[kBlock];
      const int64_t* x = readInts(l, 1, a.a, b, u);
      f(a.reversed ? scalar : x, a.reversed ? x : scalar, y, b.count);
      writeInts(l, 0, a.y, b, y);
    });
    return;
  }
  Arithmetic<float> f = op == BinaryOp::pow && !a.reversed ? knownPower(a.value) : nullptr;
  if (!f) f = floatArithmetic(op);
  const bool toBool = a.y.dtype == DType::b8;
  alignas(64) float scalar[kBlock];
  for (float& x : scalar) x = static_cast<float>(a.value);
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float u[kBlock], y[kBlock];
    float* target = toBool ? y : floatsFor(l, 0, a.y, a.y.accumulate, b, y);
    const float* x = readFloats(l, 1, a.a, b, u);
    f(a.reversed ? scalar : x, a.reversed ? x : scalar, target, b.count);
    if (toBool) writeTruth(l, 0, a.y, b, y);
    else writeFloats(l, 0, a.y, a.y.accumulate, b, target, y);
  });
}

}  // namespace
WW_KERNEL(Binary)
WW_KERNEL(ScalarBinary)
}  // namespace warpweft::cpu::WW_ISA
