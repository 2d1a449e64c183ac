// argmax, topK and cumsum: ties, NaN, infinities, long rows, strided rows, threads.
#include "test_context.hpp"

#include <algorithm>
#include <numeric>

#include "ops/argmax.hpp"
#include "ops/cumsum.hpp"
#include "ops/top_k.hpp"

WW_DECLARE(ArgMax)
WW_DECLARE(TopK)
WW_DECLARE(Cumsum)

using namespace warpweft;
using namespace warpweft::test;

namespace {

// The order of both ops: NaN before everything, then the larger, then the lower index.
bool before(double a, int64_t i, double b, int64_t j) {
  if (std::isnan(a) != std::isnan(b)) return std::isnan(a);
  if (!std::isnan(a) && a != b) return a > b;
  return i < j;
}

std::vector<int64_t> sorted(const Tensor& x, int64_t row, int64_t C) {
  std::vector<int64_t> order(static_cast<size_t>(C));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return before(x.get(row * C + i), i, x.get(row * C + j), j); });
  return order;
}

// Rows of different temper: random, constant, ascending, descending, all -infinity, NaN somewhere, infinities, few distinct values, signed zeros.
double element(int64_t row, int64_t i, int64_t C) {
  switch (row % 9) {
    case 0: return std::sin(static_cast<double>(i * 12.9898 + static_cast<double>(row))) * 43758.5453;
    case 1: return 1;
    case 2: return static_cast<double>(i);
    case 3: return static_cast<double>(-i);
    case 4: return -INFINITY;
    case 5: return i % 97 == C * 2 / 3 % 97 ? static_cast<double>(NAN) : std::sin(static_cast<double>(i));
    case 6: return i % 31 == 7 ? static_cast<double>(INFINITY) : i % 5 == 0 ? -static_cast<double>(INFINITY) : static_cast<double>(i % 13);
    case 7: return static_cast<double>(i * 7 % 5);
    default: return i % 2 ? 0.0 : -0.0;
  }
}

void argmaxes() {
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8})
    for (int64_t C : {1, 3, 17, 63, 65, 257, 1000, 5003}) {
      const int64_t R = 9;
      for (int64_t gap : {int64_t{0}, int64_t{5}}) {
        Tensor x(t, {R, C}, {C + gap, 1});
        x.fill([&](int64_t i) { return isFloat(t) ? element(i / C, i % C, C) : static_cast<double>(i * 37 % 101); });
        std::vector<double> expected;
        for (int64_t r = 0; r < R; r++) expected.push_back(static_cast<double>(sorted(x, r, C)[0]));
        for (const Kernel& k : WW_ENTRIES(ArgMax))
          for (DType index : {DType::i32, DType::i64}) {
            Tensor y(index, {R});
            TestContext c(2);
            c.run(k, ArgMax{x.in(), y.out()});
            close(std::string(k.isa) + " argmax " + nameOf(t) + " of " + std::to_string(C), y, expected, 0);
          }
      }
    }
}

void topKs() {
  for (DType t : {DType::f32, DType::bf16, DType::f16})
    for (int64_t V : {1, 3, 17, 63, 65, 1000, 50257})
      for (int64_t K : {1, 2, 5, 50, 64, 1000}) {
        if (K > V || (V > 10000 && (K == 2 || t == DType::f16))) continue;
        const int64_t R = 9;
        Tensor x(t, {R, V}, {V + 3, 1});
        x.fill([&](int64_t i) { return element(i / V, i % V, V); });
        std::vector<double> indices, values;
        for (int64_t r = 0; r < R; r++) {
          const std::vector<int64_t> order = sorted(x, r, V);
          for (int64_t i = 0; i < K; i++) {
            indices.push_back(static_cast<double>(order[static_cast<size_t>(i)]));
            values.push_back(x.get(r * V + order[static_cast<size_t>(i)]));
          }
        }
        for (const Kernel& k : WW_ENTRIES(TopK))
          for (DType vt : {DType::f32, t}) {
            Tensor v(vt, {R, K}), at(vt == t ? DType::i64 : DType::i32, {R, K});
            TestContext c(3);
            c.run(k, TopK{x.in(), v.out(), at.out()});
            const std::string what = std::string(k.isa) + " topK " + nameOf(t) + " " + std::to_string(K) + " of " + std::to_string(V);
            close(what + " values", v, values, 0);
            close(what + " indices", at, indices, 0);
          }
      }
  for (const Kernel& k : WW_ENTRIES(TopK)) {
    Tensor x(DType::f32, {3, 4}), v(DType::f32, {3, 0}), at(DType::i32, {3, 0});
    TestContext c;
    c.run(k, TopK{x.in(), v.out(), at.out()});
  }
}

void cumsums() {
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::b8})
    for (int64_t C : {0, 1, 3, 17, 257, 5000})
      for (bool reversed : {false, true})
        for (bool accumulate : {false, true}) {
          if (accumulate && !isFloat(t)) continue;
          const int64_t R = 5;
          Tensor x(t, {R, C}, {C + 2, 1});
          x.fill([&](int64_t i) { return isFloat(t) ? std::sin(static_cast<double>(i)) : static_cast<double>(i % 3); });
          std::vector<double> expected(static_cast<size_t>(R * C));
          for (int64_t r = 0; r < R; r++) {
            double sum = 0;
            for (int64_t j = 0; j < C; j++) {
              const int64_t i = r * C + (reversed ? C - 1 - j : j);
              sum += x.get(i);
              expected[static_cast<size_t>(i)] = sum + (accumulate ? 1 : 0);
            }
          }
          const DType wide = isFloat(t) ? DType::f32 : DType::i64;
          for (const Kernel& k : WW_ENTRIES(Cumsum))
            for (DType yt : {wide, t}) {
              if (yt == DType::b8) continue;
              Tensor y(yt, {R, C}, {C + 1, 1});
              if (accumulate) y.fill([](int64_t) { return 1; });
              TestContext c(2);
              c.run(k, Cumsum{x.in(), y.grad(accumulate), reversed});
              close(std::string(k.isa) + " cumsum " + nameOf(t) + " of " + std::to_string(C), y, expected, roundingOf(yt) * 1.01, 1e-7);
            }
        }
  // A running float32 sum would stop growing at 2^24.
  const int64_t n = (int64_t{1} << 24) + 100;
  Tensor ones(DType::b8, {n});
  for (const Kernel& k : WW_ENTRIES(Cumsum)) {
    Tensor y(DType::i64, {n});
    TestContext c;
    c.run(k, Cumsum{ones.in(), y.grad(), false});
    expect(y.get(n - 1) == static_cast<double>(n), "%s cumsum of %lld ones ends at %g", k.isa, static_cast<long long>(n), y.get(n - 1));
  }
}

}  // namespace

int main() {
  argmaxes();
  topKs();
  cumsums();
  return report("selection");
}
