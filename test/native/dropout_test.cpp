#include "ops/dropout.hpp"

#include "dropout_reference.hpp"
#include "random_tensors.hpp"

WW_DECLARE(Dropout)

using namespace warpweft;
using namespace warpweft::test;

namespace {

// Every element is x times the factor of its index, rounded once; the bits are those of the definition, whatever the strides and threads.
void masks(const Kernel& k, DType t, int64_t R, int64_t C, bool strided, double p) {
  char what[120];
  std::snprintf(what, sizeof what, "dropout %s %s [%lld, %lld]%s p %g", k.isa, nameOf(t), static_cast<long long>(R), static_cast<long long>(C), strided ? " strided" : "", p);
  const Tensor rng = rngState(0x0123456789ABCDEF, 11, 3), x = randomRows(t, R, C, strided);
  Tensor y[2] = {rows(t, R, C, strided), rows(t, R, C, strided)};
  for (int threads : {1, 3}) TestContext(threads).run(k, Dropout{x.in(), y[threads > 1].grad(), rng.in(), p, 0x1FFFFFFFF});
  expect(y[0].bits() == y[1].bits(), "%s: bits depend on threads", what);
  for (int64_t i = 0; i < x.numel(); i++) {
    Tensor one(t, {1});
    one.set(0, static_cast<double>(static_cast<float>(x.get(i) * factorAt(rng, 0x1FFFFFFFF, p, i))));
    if (!expect(y[0].get(i) == one.get(0), "%s: element %lld is %g, expected %g", what, static_cast<long long>(i), y[0].get(i), one.get(0))) return;
  }
  const Tensor sum = filled(rows(t, R, C, strided), [](int64_t i) { return static_cast<double>(i % 5) - 2; });
  TestContext(1).run(k, Dropout{x.in(), sum.grad(true), rng.in(), p, 0x1FFFFFFFF});
  std::vector<double> expected;
  for (int64_t i = 0; i < x.numel(); i++) expected.push_back(x.get(i) * factorAt(rng, 0x1FFFFFFFF, p, i) + static_cast<double>(i % 5) - 2);
  close(std::string(what) + " accumulated", sum, expected, 1.01 * roundingOf(t), 1e-6);
}

std::vector<bool> drawn(const Kernel& k, int64_t seed, int64_t step, int64_t rank, int64_t call, double p, int64_t n) {
  const Tensor rng = rngState(seed, step, rank), ones = filled(Tensor(DType::f32, {n}), [](int64_t) { return 1; }), y(DType::f32, {n});
  TestContext(2).run(k, Dropout{ones.in(), y.grad(), rng.in(), p, call});
  std::vector<bool> kept;
  for (int64_t i = 0; i < n; i++) kept.push_back(y.get(i) != 0);
  return kept;
}

double correlation(const std::vector<bool>& a, const std::vector<bool>& b, size_t shift = 0) {
  double ab = 0, ma = 0, mb = 0;
  const size_t n = a.size() - shift;
  for (size_t i = 0; i < n; i++) { ab += a[i] && b[i + shift]; ma += a[i]; mb += b[i + shift]; }
  ab /= static_cast<double>(n); ma /= static_cast<double>(n); mb /= static_cast<double>(n);
  return (ab - ma * mb) / std::sqrt(ma * (1 - ma) * mb * (1 - mb));
}

void statistics(const Kernel& k) {
  const int64_t n = 200000;
  const double bound = 4.5 / std::sqrt(static_cast<double>(n));
  for (double p : {0.1, 0.5, 0.9}) {
    const std::vector<bool> a = drawn(k, 1, 2, 3, 4, p, n);
    double rate = 0;
    for (bool b : a) rate += b;
    rate /= static_cast<double>(n);
    expect(std::fabs(rate - (1 - p)) < bound, "%s: keep rate %g at p = %g", k.isa, rate, p);
    for (size_t shift : {1, 2, 7, 8, 16, 64, 1000}) expect(std::fabs(correlation(a, a, shift)) < bound, "%s: elements %zu apart correlate", k.isa, shift);
    expect(std::fabs(correlation(a, drawn(k, 2, 2, 3, 4, p, n))) < bound, "%s: seeds correlate", k.isa);
    expect(std::fabs(correlation(a, drawn(k, 1, 3, 3, 4, p, n))) < bound, "%s: steps correlate", k.isa);
    expect(std::fabs(correlation(a, drawn(k, 1, 2, 4, 4, p, n))) < bound, "%s: ranks correlate", k.isa);
    expect(std::fabs(correlation(a, drawn(k, 1, 2, 3, 5, p, n))) < bound, "%s: calls correlate", k.isa);
  }
}

void rates(const Kernel& k) {
  // 0 copies, 1 drops everything, and NaN is not dropped (as in PyTorch: 0 * NaN).
  const Tensor rng = rngState(1, 1, 1), x = filled(Tensor(DType::f32, {100}), [](int64_t i) { return i == 50 ? NAN : i - 20.5; }), y(DType::f32, {100});
  TestContext(1).run(k, Dropout{x.in(), y.grad(), absentIn(), 0, 0});
  expect(x.bits() == y.bits(), "%s: p = 0 is not a copy", k.isa);
  TestContext(1).run(k, Dropout{x.in(), y.grad(), rng.in(), 1, 0});
  for (int64_t i = 0; i < 100; i++) expect(i == 50 ? std::isnan(y.get(i)) : y.get(i) == 0, "%s: p = 1 gives %g", k.isa, y.get(i));
  const Tensor none(DType::f32, {0, 4});
  TestContext(1).run(k, Dropout{none.in(), none.grad(), rng.in(), 0.5, 0});
}

}  // namespace

int main() {
  for (const Kernel& k : WW_ENTRIES(Dropout)) {
    for (DType t : kFloatTypes)
      for (int64_t C : {1, 3, 8, 17, 63, 64, 65, 257, 1000})
        for (int64_t R : {1, 3, 17})
          for (bool strided : {false, true})
            for (double p : {0.1, 0.5}) masks(k, t, R, C, strided, p);
    masks(k, DType::f32, 3, 40001, false, 0.1);
    masks(k, DType::f32, 1, 5000, false, 0.99999);
    statistics(k);
    rates(k);
  }
  return report("dropout");
}
