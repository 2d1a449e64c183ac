#include "ops/rms_norm.hpp"

#include "dropout_reference.hpp"
#include "norm_reference.hpp"
#include "random_tensors.hpp"

WW_DECLARE(RMSNorm)
WW_DECLARE(RMSNormBackward)

using namespace warpweft;
using namespace warpweft::test;

namespace {

struct Case { int64_t R, C; DType t; bool residual, drop, weighted, unitOffset, strided; };

std::string describe(const char* op, const Kernel& k, const Case& v) {
  char text[160];
  std::snprintf(text, sizeof text, "%s %s %s [%lld, %lld]%s%s%s%s%s", op, k.isa, nameOf(v.t), static_cast<long long>(v.R), static_cast<long long>(v.C),
                v.residual ? " residual" : "", v.drop ? " dropout" : "", v.weighted ? " weight" : "", v.unitOffset ? " unitOffset" : "", v.strided ? " strided" : "");
  return text;
}

NormReference referenceOf(const Case& v, const Tensor& s, const Tensor& weight) {
  NormReference n{false, 1e-6, v.R, v.C, s.values(), valuesOf(weight), {}, {}, {}, {}, {}, {}, {}};
  if (v.unitOffset) for (double& w : n.weight) w += 1;
  n.forward();
  return n;
}

void forward(const Kernel& k, const Case& v) {
  const std::string what = describe("rmsNorm", k, v);
  const double p = v.drop ? 0.1 : 0;
  const Tensor rng = rngState(42, 1, 0), weight = v.weighted ? randomVector(v.C) : Tensor();
  const Tensor x = randomRows(v.t, v.R, v.C, v.strided), residual = v.residual ? randomRows(v.t, v.R, v.C, !v.strided) : Tensor();
  struct Outputs { Tensor y, sum, rstd; } outputs[2];
  for (int threads : {1, 3}) {
    Outputs& o = outputs[threads > 1];
    o = {rows(v.t, v.R, v.C, v.strided), rows(v.t, v.R, v.C, v.strided), Tensor(DType::f32, {v.R})};
    TestContext(threads).run(k, RMSNorm{x.in(), residual.in(), weight.in(), rng.in(), o.y.out(), o.sum.out(), o.rstd.out(), 1e-6, p, 3, v.unitOffset});
  }
  const Outputs& o = outputs[0];
  expect(o.y.bits() == outputs[1].y.bits() && o.sum.bits() == outputs[1].sum.bits() && o.rstd.bits() == outputs[1].rstd.bits(), "%s: bits depend on threads", what.c_str());
  const Tensor alone = rows(v.t, v.R, v.C, v.strided);
  TestContext(1).run(k, RMSNorm{x.in(), residual.in(), weight.in(), rng.in(), alone.out(), absentOut(), absentOut(), 1e-6, p, 3, v.unitOffset});
  expect(alone.bits() == o.y.bits(), "%s: y without the optional outputs differs", what.c_str());

  std::vector<double> s = x.values();
  if (v.residual)
    for (int64_t i = 0; i < x.numel(); i++) s[static_cast<size_t>(i)] += residual.get(i) * (v.drop ? factorAt(rng, 3, p, i) : 1);
  close(what + ": sum", o.sum, s, 2 * roundingOf(v.t), v.t == DType::f32 ? 4e-7 : 1e-6);
  const NormReference reference = referenceOf(v, o.sum, weight);
  close(what + ": y", o.y, reference.y, roundingOf(v.t) + 1e-6, 1e-6);
  close(what + ": rstd", o.rstd, reference.rstd, 1e-6);
}

void backward(const Kernel& k, const Case& v, bool accumulate) {
  const std::string what = describe("rmsNormBackward", k, v) + (accumulate ? " accumulate" : "");
  const double p = v.drop ? 0.1 : 0;
  const Tensor rng = rngState(42, 1, 7), weight = v.weighted ? randomVector(v.C) : Tensor();
  const Tensor s = randomRows(v.t, v.R, v.C, v.strided), dy = randomRows(v.t, v.R, v.C, !v.strided), dsum = v.residual ? randomRows(v.t, v.R, v.C, v.strided) : Tensor();
  NormReference reference = referenceOf(v, s, weight);
  const Tensor rstd = filled(Tensor(DType::f32, {v.R}), [&](int64_t r) { return reference.rstd[static_cast<size_t>(r)]; });
  reference.backward(dy.values(), valuesOf(dsum));

  struct Outputs { Tensor dx, dresidual, dweight; } outputs[2];
  for (int threads : {1, 3}) {
    Outputs& o = outputs[threads > 1];
    o = {rows(v.t, v.R, v.C, v.strided), rows(v.t, v.R, v.C, false), Tensor(DType::f32, {v.C})};
    if (accumulate) for (Tensor* t : {&o.dx, &o.dresidual, &o.dweight}) t->fill([](int64_t i) { return static_cast<double>(i % 5) - 2; });
    TestContext(threads).run(k, RMSNormBackward{dy.in(), dsum.in(), s.in(), weight.in(), rstd.in(), rng.in(), o.dx.grad(accumulate), o.dresidual.grad(accumulate),
                                                o.dweight.grad(accumulate), p, 4, v.unitOffset});
  }
  const Outputs& o = outputs[0];
  expect(o.dx.bits() == outputs[1].dx.bits() && o.dresidual.bits() == outputs[1].dresidual.bits() && o.dweight.bits() == outputs[1].dweight.bits(),
         "%s: bits depend on threads", what.c_str());
  const auto before = [&](size_t i) { return accumulate ? static_cast<double>(i % 5) - 2 : 0; };
  std::vector<double> dx = reference.ds, dresidual = reference.ds;
  for (size_t i = 0; i < dx.size(); i++) {
    dx[i] += before(i);
    dresidual[i] = dresidual[i] * (v.drop ? factorAt(rng, 4, p, static_cast<int64_t>(i)) : 1) + before(i);
  }
  for (size_t i = 0; i < reference.dweight.size(); i++) reference.dweight[i] += before(i);
  const double rounding = roundingOf(v.t), range = 1 + 1e3 * (v.C == 1);   // one column: everything cancels
  close(what + ": dx", o.dx, dx, rounding + 1e-6, 8e-6 * range);
  close(what + ": dresidual", o.dresidual, dresidual, rounding + 1e-6, 8e-6 * range);
  close(what + ": dweight", o.dweight, reference.dweight, 1e-6, 1e-6 * std::sqrt(static_cast<double>(v.R)));
  if (accumulate) return;
  // A gradient alone has the same bits as with the others.
  const Tensor dx1 = rows(v.t, v.R, v.C, v.strided), dweight1(DType::f32, {v.C});
  TestContext(1).run(k, RMSNormBackward{dy.in(), dsum.in(), s.in(), weight.in(), rstd.in(), rng.in(), dx1.grad(), absentGrad(), absentGrad(), p, 4, v.unitOffset});
  TestContext(1).run(k, RMSNormBackward{dy.in(), dsum.in(), s.in(), weight.in(), rstd.in(), rng.in(), absentGrad(), absentGrad(), dweight1.grad(), p, 4, v.unitOffset});
  for (int64_t i = 0; i < dx1.numel(); i++) expect(dx1.get(i) == o.dx.get(i), "%s: dx alone differs", what.c_str());
  expect(dweight1.bits() == o.dweight.bits(), "%s: dweight alone differs", what.c_str());
}

void edges(const Kernel& k, const Kernel& back) {
  // Zeros stay zeros, without NaN; NaN stays in its row; sums over no rows are 0.
  const Tensor x = filled(Tensor(DType::f32, {3, 37}), [](int64_t i) { return i == 40 ? NAN : i < 37 ? 0 : i % 7; });
  const Tensor y(DType::f32, {3, 37});
  TestContext(1).run(k, RMSNorm{x.in(), absentIn(), absentIn(), absentIn(), y.out(), absentOut(), absentOut(), 1e-6, 0, 0, false});
  for (int64_t i = 0; i < 37; i++) {
    expect(y.get(i) == 0, "%s: zeros give %g", k.isa, y.get(i));
    expect(std::isnan(y.get(37 + i)) && std::isfinite(y.get(74 + i)), "%s: NaN was lost or leaked", k.isa);
  }
  const Tensor none(DType::f32, {0, 5}), rstd(DType::f32, {0}), dweight(DType::f32, {5});
  TestContext(1).run(k, RMSNorm{none.in(), absentIn(), absentIn(), absentIn(), none.out(), absentOut(), rstd.out(), 1e-6, 0, 0, false});
  TestContext(1).run(back, RMSNormBackward{none.in(), absentIn(), none.in(), absentIn(), rstd.in(), absentIn(), none.grad(), absentGrad(), dweight.grad(), 0, 0, false});
  for (int64_t i = 0; i < 5; i++) expect(dweight.get(i) == 0, "%s: the sum over no rows is %g", k.isa, dweight.get(i));
}

}  // namespace

int main() {
  NormReference::selfCheck(false);
  const auto forwards = WW_ENTRIES(RMSNorm), backwards = WW_ENTRIES(RMSNormBackward);
  for (size_t k = 0; k < forwards.size(); k++) {
    for (DType t : kFloatTypes) {
      for (int64_t C : {1, 3, 17, 63, 65, 257, 1000})
        for (int64_t R : {1, 3, 17})
          for (int bits = 0; bits < 32; bits++) {
            const Case v{R, C, t, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 16) != 0, (bits & 8) != 0};
            if ((v.drop && !v.residual) || (v.unitOffset && !v.weighted)) continue;
            forward(forwards[k], v);
            backward(backwards[k], v, bits % 3 == 0);
          }
      forward(forwards[k], {257, 1000, t, true, true, true, false, false});
      backward(backwards[k], {257, 1000, t, true, true, true, false, false}, false);
      backward(backwards[k], {2500, 65, t, false, false, true, true, false}, true);
    }
    edges(forwards[k], backwards[k]);
  }
  return report("rms_norm");
}
