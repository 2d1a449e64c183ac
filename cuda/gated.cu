#include "ops/gated.hpp"

#include "cuda/elementwise/activation.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

template <class A> struct Forward { WW_DEVICE float operator()(float gate, float up) const { return A::value(gate) * up; } };

template <class F> void dispatchActivation(int64_t activation, F&& body) {
  switch (static_cast<GateActivation>(activation)) {
    case GateActivation::relu: return body.template operator()<Relu>();
    case GateActivation::gelu: return body.template operator()<Gelu>();
    case GateActivation::geluTanh: return body.template operator()<GeluTanh>();
    case GateActivation::silu: return body.template operator()<Silu>();
    case GateActivation::sigmoid: return body.template operator()<Sigmoid>();
  }
}

// Either output may be null.
template <int V, class A, class T>
__global__ void __launch_bounds__(kLoopThreads) backward(Loop<5> l, const T* dy, const T* gate, const T* up, T* dgate, bool addGate, T* dup, bool addUp) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kLoopThreads + threadIdx.x) * V;
  if (i >= l.total) return;
  int64_t o[5];
  l.offsets(i, o);
  const auto d = readVector<V>(dy + o[0], l.rank ? l.strides[0][0] : 1), g = readVector<V>(gate + o[1], l.rank ? l.strides[1][0] : 1),
             u = readVector<V>(up + o[2], l.rank ? l.strides[2][0] : 1);
  Vector<T, V> toGate, toUp;
  if (dgate && addGate) toGate = load<V>(dgate + o[3]);
  if (dup && addUp) toUp = load<V>(dup + o[4]);
  WW_UNROLL for (int j = 0; j < V; j++) {
    const ValueAndSlope a = A::both(g[j]);
    const float forGate = d[j] * u[j] * a.slope, forUp = d[j] * a.value;
    toGate.set(j, dgate && addGate ? toGate[j] + forGate : forGate);
    toUp.set(j, dup && addUp ? toUp[j] + forUp : forUp);
  }
  if (dgate) store(dgate + o[3], toGate);
  if (dup) store(dup + o[4], toUp);
}

}  // namespace

void run(const Gated& a, Context& context) {
  const View* views[] = {&a.y, &a.gate, &a.up};
  const Loop<3> l = loopOver(views);
  dispatchFloat(a.gate.dtype, [&]<class T>() {
    T* y = a.y.as<T>();
    const T *gate = a.gate.as<const T>(), *up = a.up.as<const T>();
    constexpr int V = kVector<T>;
    dispatchActivation(a.activation, [&]<class A>() {
      if (vectorized<V>(l, y, gate, up)) launchElementwise<V>(context.stream(), Forward<A>{}, l, false, y, gate, up);
      else launchElementwise<1>(context.stream(), Forward<A>{}, l, false, y, gate, up);
    });
  });
}

void run(const GatedBackward& a, Context& context) {
  if (!a.dgate && !a.dup) return;
  const View &dgate = a.dgate ? a.dgate : a.dup, &dup = a.dup ? a.dup : a.dgate;
  const View* views[] = {&a.dy, &a.gate, &a.up, &dgate, &dup};
  const Loop<5> l = loopOver(views);
  dispatchFloat(a.gate.dtype, [&]<class T>() {
    const T *dy = a.dy.as<const T>(), *gate = a.gate.as<const T>(), *up = a.up.as<const T>();
    T *toGate = a.dgate ? a.dgate.as<T>() : nullptr, *toUp = a.dup ? a.dup.as<T>() : nullptr;
    constexpr int V = kVector<T>;
    const auto written = [&](int k, const T* p) { return vectors<T, V>(l, k, p) && (l.rank == 0 || l.strides[k][0] == 1); };
    const bool whole = l.total % V == 0 && (l.rank <= 1 || l.sizes[0] % V == 0) && vectors<T, V>(l, 0, dy) && (l.rank == 0 || l.strides[0][0] == 1) &&
                       vectors<T, V>(l, 1, gate) && vectors<T, V>(l, 2, up) && written(3, dgate.as<const T>()) && written(4, dup.as<const T>());
    dispatchActivation(a.activation, [&]<class A>() {
      const auto with = [&]<int W>() {
        forEachPart(l, [&](const Loop<5>& part, const int64_t (&o)[5]) {
          launch<backward<W, A, T>>(context.stream(), blocksFor(part.total / W, kLoopThreads), kLoopThreads, 0, part, dy + o[0], gate + o[1], up + o[2],
                                    toGate ? toGate + o[3] : nullptr, a.dgate && a.dgate.accumulate, toUp ? toUp + o[4] : nullptr, a.dup && a.dup.accumulate);
        });
      };
      if (whole) with.template operator()<V>();
      else with.template operator()<1>();
    });
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Gated)
WW_CUDA_KERNEL(GatedBackward)
