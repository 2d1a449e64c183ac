// rotary against double: both pairings, parts of a head, offsets and positions, strides, accumulation, faults; turning back and forth is the identity.
#include "ops/rotary.hpp"

#include "random_tensors.hpp"

WW_DECLARE(Rotary)

using namespace warpweft;
using namespace warpweft::test;

namespace {

struct Case { int64_t B, T, H, D, half; bool interleaved, inverse, positions, accumulate, strided; };

std::vector<double> reference(const Case& v, const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& positions, int64_t start, const std::vector<double>& before) {
  std::vector<double> y = before;
  for (int64_t n = 0; n < v.B * v.T; n++) {
    const int64_t p = v.positions ? static_cast<int64_t>(positions.get(n)) : start + n % v.T;
    for (int64_t h = 0; h < v.H; h++) {
      const int64_t at = (n * v.H + h) * v.D;
      for (int64_t i = 0; i < v.half; i++) {
        const int64_t first = at + (v.interleaved ? 2 * i : i), second = at + (v.interleaved ? 2 * i + 1 : i + v.half);
        const double c = cos.get(p * v.half + i), s = (v.inverse ? -1 : 1) * sin.get(p * v.half + i);
        y[static_cast<size_t>(first)] += x.get(first) * c - x.get(second) * s;
        y[static_cast<size_t>(second)] += x.get(second) * c + x.get(first) * s;
      }
      for (int64_t i = 2 * v.half; i < v.D; i++) y[static_cast<size_t>(at + i)] += x.get(at + i);
    }
  }
  return y;
}

void check(const Kernel& k, DType t, const Case& v) {
  constexpr int64_t P = 19;
  const std::string what = std::string("rotary ") + k.isa + " " + nameOf(t) + " D " + std::to_string(v.D) + " half " + std::to_string(v.half) + (v.interleaved ? " interleaved" : "") +
                           (v.inverse ? " inverse" : "") + (v.positions ? " positions" : "") + (v.accumulate ? " accumulate" : "") + (v.strided ? " strided" : "");
  const std::vector<int64_t> sizes = {v.B, v.T, v.H, v.D};
  // Heads before positions in memory, and room behind each head.
  const std::vector<int64_t> strides = v.strided ? std::vector<int64_t>{v.T * v.H * (v.D + 3), v.D + 3, v.T * (v.D + 3), 1} : std::vector<int64_t>{};
  const auto wave = [](double f) { return [f](int64_t i) { return std::sin(f * static_cast<double>(i)); }; };
  Tensor x(t, sizes, strides), cos(DType::f32, {P, v.half}), sin(DType::f32, {P, v.half}), positions(DType::i32, {v.B, v.T});
  x.fill(wave(0.7));
  cos.fill(wave(1.3));
  sin.fill(wave(0.9));
  positions.fill([](int64_t i) { return static_cast<double>(i * 5 % P); });
  std::string bits[2];
  for (int threads : {1, 3}) {
    Tensor y(t, sizes, strides);
    if (v.accumulate) y.fill([](int64_t i) { return static_cast<double>(i % 4) - 1; });
    std::vector<double> before = y.values();
    if (!v.accumulate) before.assign(before.size(), 0);
    TestContext(threads).run(k, Rotary{x.in(), cos.in(), sin.in(), v.positions ? positions.in() : absentIn(), y.grad(v.accumulate), 4, v.interleaved, v.inverse});
    close(what, y, reference(v, x, cos, sin, positions, 4, before), 2 * roundingOf(t) + 1e-6, 1e-6 + (v.accumulate ? 4 * roundingOf(t) : 0));
    bits[threads > 1] = y.bits();
  }
  expect(bits[0] == bits[1], "%s: bits depend on threads", what.c_str());
}

void faults(const Kernel& k) {
  Tensor x(DType::f32, {1, 3, 2, 4}), cos(DType::f32, {2, 2}), sin(DType::f32, {2, 2}), positions(DType::i64, {1, 3}), y(DType::f32, {1, 3, 2, 4});
  for (Tensor* v : {&x, &cos, &sin}) v->fill([](int64_t i) { return static_cast<double>(i + 1); });
  positions.fill([](int64_t i) { return i == 0 ? 1 : i == 1 ? -2 : 2; });
  TestContext c(1);
  c.run(k, Rotary{x.in(), cos.in(), sin.in(), positions.in(), y.grad(), 0, false, false});
  expect(c.faults > 0 && c.faultPosition == 1 && c.faultValue == -2 && c.faultSize == 2, "%s: the fault is position %lld value %lld", k.isa, static_cast<long long>(c.faultPosition),
         static_cast<long long>(c.faultValue));
  for (int64_t i = 0; i < 24; i++) expect((y.get(i) == 0) == (i >= 8), "%s: element %lld after a fault is %g", k.isa, static_cast<long long>(i), y.get(i));
}

}  // namespace

int main() {
  for (const Kernel& k : WW_ENTRIES(Rotary)) {
    for (DType t : kFloatTypes)
      for (int bits = 0; bits < 32; bits++)
        for (const auto& [D, half] : {std::pair<int64_t, int64_t>{64, 32}, {10, 3}, {6, 0}, {2, 1}})
          check(k, t, {2, 5, 3, D, half, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0});
    faults(k);
  }
  return report("rotary");
}
