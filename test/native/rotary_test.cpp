#include "ops/rotary.hpp"

#include "random_tensors.hpp"

WW_DECLARE(Rotary)

using namespace warpweft;
using namespace warpweft::test;

namespace {

struct Case { int64_t B, T, H, D, R; DType t; bool interleaved, inverse, accumulate, strided, given; };

constexpr int64_t kPositions = 9, kStart = 2;

// [B, T, H, D], or heads that lie apart, as those of queries within a product of queries, keys and values.
Tensor headsOf(const Case& v) {
  const int64_t step = v.D + 3;
  return v.strided ? Tensor(v.t, {v.B, v.T, v.H, v.D}, {v.T * v.H * step, v.H * step, step, 1}, 2) : Tensor(v.t, {v.B, v.T, v.H, v.D});
}

// The definition in double, pair by pair; cos and sin are 0 where a position is not in the table.
std::vector<double> turned(const Case& v, const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& positions) {
  std::vector<double> y = x.values();
  const int64_t half = v.R / 2;
  for (int64_t head = 0; head < v.B * v.T * v.H; head++) {
    const int64_t n = head / v.H, position = v.given ? static_cast<int64_t>(positions.get(n)) : kStart + n % v.T;
    const bool known = position >= 0 && position < kPositions;
    for (int64_t i = 0; i < half; i++) {
      const int64_t first = head * v.D + (v.interleaved ? 2 * i : i), second = head * v.D + (v.interleaved ? 2 * i + 1 : half + i);
      const double c = known ? cos.get(position * half + i) : 0, s = known ? sin.get(position * half + i) * (v.inverse ? -1 : 1) : 0;
      y[static_cast<size_t>(first)] = x.get(first) * c - x.get(second) * s;
      y[static_cast<size_t>(second)] = x.get(second) * c + x.get(first) * s;
    }
    if (!known) for (int64_t i = v.R; i < v.D; i++) y[static_cast<size_t>(head * v.D + i)] = 0;
  }
  return y;
}

// What lies between the heads is not touched. Wipes y.
void expectGaps(const std::string& what, const Tensor& y) {
  const auto size = static_cast<size_t>(sizeOf(y.dtype()));
  for (int64_t i = 0; i < y.numel(); i++) std::memset(static_cast<char*>(y.view().data) + y.offset(i) * static_cast<int64_t>(size), 0xFF, size);
  expect(y.bits().find_first_not_of('\xFF') == std::string::npos, "%s: wrote between the heads", what.c_str());
}

void turn(const Kernel& k, const Case& v, bool outside) {
  char what[200];
  std::snprintf(what, sizeof what, "rotary %s %s [%lld, %lld, %lld, %lld], R %lld%s%s%s%s%s%s", k.isa, nameOf(v.t), static_cast<long long>(v.B), static_cast<long long>(v.T),
                static_cast<long long>(v.H), static_cast<long long>(v.D), static_cast<long long>(v.R), v.interleaved ? " neighbours" : "", v.inverse ? " inverse" : "",
                v.accumulate ? " accumulate" : "", v.strided ? " strided" : "", v.given ? " positions" : "", outside ? " outside" : "");
  const Tensor x = filled(headsOf(v), [](int64_t) { return normal(); });
  const auto table = [&] { return filled(Tensor(DType::f32, {kPositions, v.R / 2}), [](int64_t) { return normal(); }); };
  const Tensor cos = table(), sin = table();
  const Tensor positions = v.given ? filled(Tensor(v.T % 2 ? DType::i32 : DType::i64, {v.B, v.T}), [&](int64_t n) {
    return static_cast<double>(outside && n == v.B * v.T - 1 ? (v.inverse ? -1 : kPositions) : kPositions - 1 - n * 5 % kPositions);
  }) : Tensor();
  const auto before = [&](int64_t i) { return v.accumulate ? static_cast<double>(i % 5) - 2 : 0; };
  Tensor y[2] = {headsOf(v), headsOf(v)};
  for (int threads : {1, 3}) {
    if (v.accumulate) y[threads > 1].fill(before);
    TestContext c(threads);
    c.run(k, Rotary{x.in(), cos.in(), sin.in(), v.given ? positions.in() : absentIn(), y[threads > 1].grad(v.accumulate), kStart, v.interleaved, v.inverse});
    expect((c.faults > 0) == (outside && v.B * v.T > 0), "%s: %lld faults", what, static_cast<long long>(c.faults));
    expect(c.faults == 0 || (c.faultPosition == v.B * v.T - 1 && c.faultSize == kPositions), "%s: fault at %lld of %lld", what, static_cast<long long>(c.faultPosition),
           static_cast<long long>(c.faultSize));
  }
  expect(y[0].bits() == y[1].bits(), "%s: bits depend on threads", what);
  std::vector<double> expected = turned(v, x, cos, sin, positions);
  for (size_t i = 0; i < expected.size(); i++) expected[i] += before(static_cast<int64_t>(i));
  close(what, y[0], expected, roundingOf(v.t), 2e-6);
  if (v.strided) expectGaps(what, y[0]);
}

}  // namespace

int main() {
  for (const Kernel& k : WW_ENTRIES(Rotary))
    for (DType t : kFloatTypes)
      for (const auto& [D, R] : {std::pair<int64_t, int64_t>{2, 2}, {5, 2}, {7, 6}, {16, 16}, {20, 12}, {33, 30}, {64, 64}, {66, 34}, {80, 48}, {128, 128}})
        for (int bits = 0; bits < 32; bits++) {
          const Case v{2, 3, 3, D, R, t, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
          turn(k, v, false);
          if (v.given) turn(k, v, true);
        }
  for (const Kernel& k : WW_ENTRIES(Rotary))
    for (bool interleaved : {false, true}) {
      turn(k, {0, 3, 2, 8, 4, DType::f32, interleaved, false, false, false, true}, false);
      turn(k, {40, 7, 5, 66, 34, DType::bf16, interleaved, false, true, true, false}, false);   // more than one share of the work
      turn(k, {1, 1, 3, 9, 0, DType::f32, interleaved, false, false, false, false}, false);     // nothing turns
    }
  return report("rotary");
}
