#include "ops/gated.hpp"

#include "cpu/elementwise/activation.hpp"
#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

using Forward = void (*)(const float* gate, const float* up, float* y, int64_t n);
// Either output may be null.
using Backward = void (*)(const float* dy, const float* gate, const float* up, float* dgate, float* dup, int64_t n);

template <class A> void forward(const float* gate, const float* up, float* y, int64_t n) {
  map(gate, up, y, n, [](F32 g, F32 u) { return A::value(g) * u; });
}

template <class A> void backward(const float* dy, const float* gate, const float* up, float* dgate, float* dup, int64_t n) {
  const auto step = [&](int64_t i, auto lanes) {
    const F32 d = load(dy + i, lanes);
    const ValueAndSlope a = A::both(load(gate + i, lanes));
    if (dgate) store(dgate + i, d * load(up + i, lanes) * a.slope, lanes);
    if (dup) store(dup + i, d * a.value, lanes);
  };
  eachVector(n, step);
}

// Calls body.template operator()<A>() with the activation.
template <class F> void dispatchActivation(int64_t activation, F&& body) {
  switch (static_cast<GateActivation>(activation)) {
    case GateActivation::relu: return body.template operator()<Relu>();
    case GateActivation::gelu: return body.template operator()<Gelu>();
    case GateActivation::geluTanh: return body.template operator()<GeluTanh>();
    case GateActivation::silu: return body.template operator()<Silu>();
    case GateActivation::sigmoid: return body.template operator()<Sigmoid>();
  }
}

void run(const Gated& a, Context& c) {
  const View* views[] = {&a.y, &a.gate, &a.up};
  const Loop<3> l = loopOver(views);
  Forward f = nullptr;
  dispatchActivation(a.activation, [&]<class A>() { f = forward<A>; });
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float gate[kBlock], up[kBlock], y[kBlock];
    float* target = floatsFor(l, 0, a.y, false, b, y);
    f(readFloats(l, 1, a.gate, b, gate), readFloats(l, 2, a.up, b, up), target, b.count);
    writeFloats(l, 0, a.y, false, b, target, y);
  });
}

void run(const GatedBackward& a, Context& c) {
  if (!a.dgate && !a.dup) return;
  const View* views[] = {&a.dy, &a.gate, &a.up, a.dgate ? &a.dgate : &a.dup, a.dup ? &a.dup : &a.dgate};
  const Loop<5> l = loopOver(views);
  Backward f = nullptr;
  dispatchActivation(a.activation, [&]<class A>() { f = backward<A>; });
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float dy[kBlock], gate[kBlock], up[kBlock], dgate[kBlock], dup[kBlock];
    float* gateTarget = a.dgate ? floatsFor(l, 3, a.dgate, a.dgate.accumulate, b, dgate) : nullptr;
    float* upTarget = a.dup ? floatsFor(l, 4, a.dup, a.dup.accumulate, b, dup) : nullptr;
    f(readFloats(l, 0, a.dy, b, dy), readFloats(l, 1, a.gate, b, gate), readFloats(l, 2, a.up, b, up), gateTarget, upTarget, b.count);
    if (a.dgate) writeFloats(l, 3, a.dgate, a.dgate.accumulate, b, gateTarget, dgate);
    if (a.dup) writeFloats(l, 4, a.dup, a.dup.accumulate, b, upTarget, dup);
  });
}

}  // namespace
WW_KERNEL(Gated)
WW_KERNEL(GatedBackward)
}  // namespace warpweft::cpu::WW_ISA
