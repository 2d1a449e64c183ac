#include "ops/dequantize.hpp"

#include "random_tensors.hpp"

WW_DECLARE(DequantizeInt8)
WW_DECLARE(DequantizeNF4)

using namespace warpweft;
using namespace warpweft::test;

namespace {

// The float32 values that a rounded product may have, then the rounding of y.
double tolerance(DType t) { return roundingOf(t) + 3e-7; }

template <class Op> void twice(const std::string& what, const Kernel& k, const Op& op, Tensor& y, const std::vector<double>& expected) {
  std::string bits[2];
  for (int t : {0, 1}) {
    y.fill([](int64_t) { return NAN; });
    TestContext(t ? 3 : 1).run(k, op);
    bits[t] = y.bits();
    close(what, y, expected, tolerance(y.dtype()), y.dtype() == DType::f16 ? 6e-8 : 1e-9);
  }
  expect(bits[0] == bits[1], "%s: bits depend on threads", what.c_str());
}

// offset: where codes and y begin in their memory; at 1 nothing is aligned.
void int8(const Kernel& k, DType t, int64_t N, int64_t K, int64_t offset) {
  Tensor codes(DType::i8, {N, K}, {K, 1}, offset), scale = randomVector(N), y(t, {N, K}, {K, 1}, offset);
  codes.fill([](int64_t i) { return static_cast<double>(i * 37 % 256 - 128); });
  std::vector<double> expected;
  for (int64_t i = 0; i < N * K; i++) expected.push_back(codes.get(i) * scale.get(i / K));
  const DequantizeInt8 op{codes.in(), scale.in(), y.out()};
  op.check(Check("dequantizeInt8"));
  twice(std::string("dequantizeInt8 ") + k.isa + " " + nameOf(t) + " [" + std::to_string(N) + ", " + std::to_string(K) + "] at " + std::to_string(offset), k, op, y, expected);
}

// Dettmers et al. 2023, appendix E, to the digits that are printed there.
constexpr double kValues[16] = {-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
                                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1};

void nf4(const Kernel& k, DType t, int64_t N, bool grouped, int64_t offset) {
  const int64_t blocks = (N + 63) / 64;
  Tensor codes(DType::u8, {(N + 1) / 2}, {1}, offset), absmax(grouped ? DType::i8 : DType::f32, {blocks}), groups = grouped ? Tensor(DType::f32, {(blocks + 255) / 256}) : Tensor(),
         y(t, {N}, {1}, offset);
  codes.fill([](int64_t i) { return static_cast<double>(i * 89 % 256); });
  absmax.fill([&](int64_t i) { return grouped ? static_cast<double>(i * 31 % 256 - 128) : 0.5 + static_cast<double>(i % 5); });
  if (grouped) groups.fill([](int64_t i) { return 0.0625 * static_cast<double>(i + 1); });
  std::vector<double> expected;
  for (int64_t i = 0; i < N; i++) {
    const auto byte = static_cast<int>(codes.get(i / 2));
    const double most = grouped ? 9.5 + groups.get(i / 64 / 256) * absmax.get(i / 64) : absmax.get(i / 64);
    expected.push_back(most * kValues[i % 2 ? byte & 15 : byte >> 4]);
  }
  const DequantizeNF4 op{codes.in(), absmax.in(), groups.in(), y.out(), 9.5};
  op.check(Check("dequantizeNF4"));
  twice(std::string("dequantizeNF4 ") + k.isa + " " + nameOf(t) + " [" + std::to_string(N) + "]" + (grouped ? " grouped" : "") + " at " + std::to_string(offset), k, op, y, expected);
}

}  // namespace

int main() {
  for (const DType t : kFloatTypes)
    for (const int64_t offset : {0, 1}) {
      for (const Kernel& k : WW_ENTRIES(DequantizeInt8))
        for (const auto& [N, K] : {std::pair<int64_t, int64_t>{1, 1}, {3, 8}, {5, 129}, {40, 64}, {0, 5}, {7, 0}, {300, 3}}) int8(k, t, N, K, offset);
      for (const Kernel& k : WW_ENTRIES(DequantizeNF4))
        for (const int64_t N : {0, 1, 7, 8, 64, 65, 1000, 64 * 256 + 37})
          for (const bool grouped : {false, true}) nf4(k, t, N, grouped, offset);
    }
  return report("dequantize");
}
