#include "ops/cross_entropy.hpp"

#include "random_tensors.hpp"

WW_DECLARE(CrossEntropy)
WW_DECLARE(CrossEntropyBackward)

using namespace warpweft;
using namespace warpweft::test;

namespace {

constexpr int64_t kIgnore = -100;

struct Case { int64_t R, V; DType t, labels; double smoothing, zLoss; bool strided; double mean, deviation; };

std::string describe(const char* op, const Kernel& k, const Case& v) {
  char text[200];
  std::snprintf(text, sizeof text, "%s %s %s [%lld, %lld] labels %s smoothing %g zLoss %g%s mean %g deviation %g", op, k.isa, nameOf(v.t), static_cast<long long>(v.R),
                static_cast<long long>(v.V), nameOf(v.labels), v.smoothing, v.zLoss, v.strided ? " strided" : "", v.mean, v.deviation);
  return text;
}

struct Reference {
  std::vector<double> loss, lse;
  std::vector<double> gradient;   // of each row's loss
  double counted = 0;
};

// By the definition with a smoothed target distribution, and not by the kernel's rearrangement.
Reference referenceOf(const Case& v, const std::vector<double>& x, const Tensor& labels) {
  Reference f;
  const double share = v.smoothing / static_cast<double>(v.V);
  f.gradient.assign(x.size(), 0);
  for (int64_t r = 0; r < v.R; r++) {
    f.loss.push_back(0), f.lse.push_back(0);
    const auto label = static_cast<int64_t>(labels.get(r));
    if (label < 0 || label >= v.V) continue;
    f.counted++;
    const double* row = x.data() + r * v.V;
    double m = -INFINITY, s = 0;
    for (int64_t j = 0; j < v.V; j++) m = std::fmax(m, row[j]);
    for (int64_t j = 0; j < v.V; j++) s += std::exp(row[j] - m);
    const double lse = m + std::log(s);
    for (int64_t j = 0; j < v.V; j++) {
      const double target = (j == label) * (1 - v.smoothing) + share, logp = row[j] - lse;
      f.loss.back() -= target * logp;
      f.gradient[static_cast<size_t>(r * v.V + j)] = std::exp(logp) * (1 + 2 * v.zLoss * lse) - target;
    }
    f.loss.back() += v.zLoss * lse * lse;
    f.lse.back() = lse;
  }
  return f;
}

void run(const Kernel& k, const Kernel& back, const Case& v, bool eachScale) {
  const std::string what = describe("crossEntropy", k, v);
  const Tensor logits = randomRows(v.t, v.R, v.V, v.strided, v.mean, v.deviation);
  const Tensor labels = filled(Tensor(v.labels, {v.R}), [&](int64_t r) { return static_cast<double>(r % 4 == 2 ? kIgnore : (r * 7919 + 3) % v.V); });
  const Reference reference = referenceOf(v, logits.values(), labels);
  struct Outputs { Tensor loss, lse, counted, dlogits, sum; } outputs[2];
  const Tensor scale = filled(Tensor(DType::f32, {eachScale ? v.R : 1}), [](int64_t r) { return 0.5 + static_cast<double>(r % 3); });
  for (int threads : {1, 3}) {
    Outputs& o = outputs[threads > 1];
    o = {Tensor(DType::f32, {v.R}), Tensor(DType::f32, {v.R}), Tensor(DType::f32, {1}), rows(v.t, v.R, v.V, !v.strided), rows(v.t, v.R, v.V, v.strided)};
    TestContext c(threads);
    c.run(k, CrossEntropy{logits.in(), labels.in(), o.loss.out(), o.lse.out(), o.counted.out(), v.smoothing, kIgnore, v.zLoss});
    c.run(back, CrossEntropyBackward{logits.in(), labels.in(), o.lse.in(), scale.in(), o.dlogits.grad(), v.smoothing, kIgnore, v.zLoss});
    o.sum.fill([](int64_t i) { return static_cast<double>(i % 5) - 2; });
    c.run(back, CrossEntropyBackward{logits.in(), labels.in(), o.lse.in(), scale.in(), o.sum.grad(true), v.smoothing, kIgnore, v.zLoss});
    expect(c.faults == 0, "%s: fault reported for good labels", what.c_str());
  }
  const Outputs& o = outputs[0];
  expect(o.loss.bits() == outputs[1].loss.bits() && o.lse.bits() == outputs[1].lse.bits() && o.dlogits.bits() == outputs[1].dlogits.bits() &&
         o.sum.bits() == outputs[1].sum.bits(), "%s: bits depend on threads", what.c_str());
  close(what + ": loss", o.loss, reference.loss, 1e-6, 2e-7 * (1 + v.deviation));
  close(what + ": lse", o.lse, reference.lse, 2e-7, 2e-7);
  close(what + ": counted", o.counted, {reference.counted}, 0);
  std::vector<double> gradient = reference.gradient;
  double largest = 0;
  for (size_t i = 0; i < gradient.size(); i++) gradient[i] *= scale.get(eachScale ? static_cast<int64_t>(i) / v.V : 0);
  for (double l : reference.lse) largest = std::fmax(largest, std::fabs(l));
  const double absolute = 3e-7 * (1 + largest) * (1 + v.zLoss * largest) + (v.t == DType::f16 ? 3.1e-8 : 0);   // lse is rounded to float32
  close(what + ": dlogits", o.dlogits, gradient, roundingOf(v.t) + 1e-6, absolute);
  for (size_t i = 0; i < gradient.size(); i++) gradient[i] += static_cast<double>(i % 5) - 2;
  close(what + ": dlogits accumulated", o.sum, gradient, roundingOf(v.t) + 1e-6, absolute + 1e-7);
  // In place: the same bits.
  Tensor copy = filled(rows(v.t, v.R, v.V, !v.strided), [&](int64_t i) { return logits.get(i); });
  TestContext(2).run(back, CrossEntropyBackward{copy.in(), labels.in(), o.lse.in(), scale.in(), copy.grad(), v.smoothing, kIgnore, v.zLoss});
  expect(copy.values() == o.dlogits.values(), "%s: dlogits in place differs", what.c_str());
}

void selfCheck() {
  const Case v{1, 4, DType::f32, DType::i64, 0.2, 0.05, false, 0, 1};
  const Tensor label = filled(Tensor(DType::i64, {1}), [](int64_t) { return 2; });
  const std::vector<double> x = {0.3, -1, 0.8, 2};
  const Reference f = referenceOf(v, x, label);
  for (size_t i = 0; i < x.size(); i++) {
    std::vector<double> a = x, b = x;
    a[i] -= 1e-6, b[i] += 1e-6;
    const double numeric = (referenceOf(v, b, label).loss[0] - referenceOf(v, a, label).loss[0]) / 2e-6;
    expect(std::fabs(numeric - f.gradient[i]) < 1e-8, "reference gradient is %g, by differences %g", f.gradient[i], numeric);
  }
}

// Two rows by hand: with smoothing 0.1 and three classes, loss = 0.9 (lse - x_label) + 0.1 / 3 * sum of (lse - x_j), as torch.nn.functional.cross_entropy has it.
// The first row is [1, 2, 3] with label 2, and its lse is 3.4076059644.
void known(const Kernel& k) {
  const double x[] = {1, 2, 3, 0.5, -1, 0};
  const Tensor logits = filled(Tensor(DType::f32, {2, 3}), [&](int64_t i) { return x[i]; });
  const Tensor labels = filled(Tensor(DType::i64, {2}), [](int64_t i) { return i ? 1 : 2; }), loss(DType::f32, {2}), lse(DType::f32, {2});
  TestContext(1).run(k, CrossEntropy{logits.in(), labels.in(), loss.out(), lse.out(), absentOut(), 0.1, kIgnore, 0});
  const double lse1 = std::log(std::exp(0.5) + std::exp(-1) + 1);
  close("crossEntropy of known rows", loss, {0.9 * 0.4076059644443804 + 0.1 / 3 * (3 * 3.4076059644443804 - 6), 0.9 * (lse1 + 1) + 0.1 / 3 * (3 * lse1 + 0.5)}, 1e-6);
}

void faults(const Kernel& k, const Kernel& back) {
  // Labels V and -1 are faults (reported with place and value), -100 is not; the other rows are as ever. -infinity: probability 0.
  const int64_t R = 5, V = 21;
  const Tensor logits = filled(Tensor(DType::f32, {R, V}), [](int64_t i) { return i >= 84 && i % 21 == 4 ? -INFINITY : static_cast<double>(i % 7); });
  const double given[R] = {3, 21, -1, -100, 4};
  const Tensor labels = filled(Tensor(DType::i32, {R}), [&](int64_t r) { return given[r]; });
  const Tensor loss(DType::f32, {R}), lse(DType::f32, {R}), counted(DType::f32, {1}), one = filled(Tensor(DType::f32, {1}), [](int64_t) { return 1; }), d(DType::f32, {R, V});
  TestContext c(1);
  c.run(k, CrossEntropy{logits.in(), labels.in(), loss.out(), lse.out(), counted.out(), 0, kIgnore, 0});
  expect(c.reported(2) && c.faultPosition == 1 && c.faultValue == 21 && c.faultSize == V, "%s: %lld faults, first at %lld", k.isa, static_cast<long long>(c.faults), static_cast<long long>(c.faultPosition));
  expect(counted.get(0) == 2, "%s: %g rows counted, expected 2", k.isa, counted.get(0));
  for (int64_t r : {1, 2, 3}) expect(loss.get(r) == 0 && lse.get(r) == 0, "%s: row %lld does not count but has loss %g", k.isa, static_cast<long long>(r), loss.get(r));
  expect(loss.get(0) > 0 && std::isfinite(loss.get(0)), "%s: good row has loss %g", k.isa, loss.get(0));
  expect(loss.get(4) == INFINITY, "%s: a label of probability 0 has loss %g", k.isa, loss.get(4));
  c.run(back, CrossEntropyBackward{logits.in(), labels.in(), lse.in(), one.in(), d.grad(), 0, kIgnore, 0});
  expect(c.reported(2), "%s: %lld faults in backward", k.isa, static_cast<long long>(c.faults));
  for (int64_t i = V; i < 4 * V; i++) expect(d.get(i) == 0, "%s: gradient %g where no row counts", k.isa, d.get(i));
  // An ignoreIndex inside of [0, V) is ignored all the same.
  c.run(k, CrossEntropy{logits.in(), labels.in(), loss.out(), lse.out(), counted.out(), 0, 3, 0});
  expect(loss.get(0) == 0 && counted.get(0) == 1, "%s: ignoreIndex 3 is not ignored", k.isa);
  const Tensor none(DType::f32, {0, 5}), noLabels(DType::i64, {0}), empty(DType::f32, {0});
  c.run(k, CrossEntropy{none.in(), noLabels.in(), empty.out(), empty.out(), counted.out(), 0.1, kIgnore, 0});
  expect(counted.get(0) == 0, "%s: counted %g of no rows", k.isa, counted.get(0));
  c.run(back, CrossEntropyBackward{none.in(), noLabels.in(), empty.in(), one.in(), none.grad(), 0.1, kIgnore, 0});
}

}  // namespace

int main() {
  selfCheck();
  const auto forwards = WW_ENTRIES(CrossEntropy), backwards = WW_ENTRIES(CrossEntropyBackward);
  for (size_t k = 0; k < forwards.size(); k++) {
    int n = 0;
    for (DType t : kFloatTypes)
      for (int64_t V : {1, 3, 17, 63, 65, 257, 1000, 9001})
        for (int64_t R : {1, 3, 33})
          for (double smoothing : {0., 0.1})
            for (double zLoss : {0., 1e-2}) {
              if (R * V > 50000) continue;
              n++;
              run(forwards[k], backwards[k], {R, V, t, n % 2 ? DType::i32 : DType::i64, smoothing, zLoss, n % 3 == 0, n % 5 == 0 ? 50. : 0., n % 7 == 0 ? 10. : 1.}, n % 2 == 0);
            }
    known(forwards[k]);
    faults(forwards[k], backwards[k]);
  }
  return report("cross_entropy");
}
