#include "ops/rotary.hpp"

#include "cuda/kernel.cuh"
#include "cuda/runtime/fault.hpp"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct Heads {
  int64_t T, H, D, half;      // half: pairs of a head
  int64_t x[3], y[3];         // strides of B, T, H
  int64_t start, P;
  bool interleaved, inverse, accumulate;
};

// A thread a pair of coordinates, and after the pairs of a head one for each coordinate that stays. Neighbours have neighbouring pairs, so that both halves of
// a head are read in whole lines.
template <class T>
__global__ void __launch_bounds__(kThreads) turn(Heads h, int64_t total, const T* x, const float* cos, const float* sin, Indices positions, T* y, FaultWord* word) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t work = h.D - h.half, head = i / work, k = i - head * work;   // of a head: `half` pairs, D - 2 half others
  const int64_t n = head / h.H, hd = head - n * h.H, b = n / h.T, t = n - b * h.T;
  const T* from = x + b * h.x[0] + t * h.x[1] + hd * h.x[2];
  T* to = y + b * h.y[0] + t * h.y[1] + hd * h.y[2];
  const auto put = [&](int64_t at, float v) { to[at] = fromFloat<T>(h.accumulate ? v + toFloat(to[at]) : v); };
  const int64_t position = positions.data ? positions[n] : h.start + t;
  const bool known = position >= 0 && position < h.P;
  if (!known && k == 0 && hd == 0) reportIndexFault(word, n, position, h.P);
  if (k >= h.half) return put(h.half + k, known ? toFloat(from[h.half + k]) : 0.f);
  const int64_t first = h.interleaved ? 2 * k : k, second = h.interleaved ? first + 1 : k + h.half;
  if (!known) {
    put(first, 0.f);
    return put(second, 0.f);
  }
  const float a = toFloat(from[first]), c = toFloat(from[second]), u = cos[position * h.half + k], positive = sin[position * h.half + k], v = h.inverse ? -positive : positive;
  put(first, fma(a, u, -(c * v)));
  put(second, fma(c, u, a * v));
}

}  // namespace

void run(const Rotary& a, Context& context) {
  const int64_t T_ = a.x.sizes[1], H = a.x.sizes[2], D = a.x.sizes[3], half = a.cos.sizes[1], total = a.x.sizes[0] * T_ * H * (D - half);
  if (total == 0) return;
  const Heads heads{T_, H, D, half, {a.x.strides[0], a.x.strides[1], a.x.strides[2]}, {a.y.strides[0], a.y.strides[1], a.y.strides[2]},
                    a.start, a.cos.sizes[0], a.interleaved, a.inverse, a.y.accumulate};
  const Indices positions = a.positions ? Indices::of(a.positions) : Indices{nullptr, false};
  dispatchFloat(a.x.dtype, [&]<class T>() {
    launch<turn<T>>(context.stream(), blocksFor(total, kThreads), kThreads, 0, heads, total, a.x.as<const T>(), a.cos.as<const float>(), a.sin.as<const float>(), positions,
                    a.y.as<T>(), a.positions ? context.faultWord() : nullptr);
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Rotary)
