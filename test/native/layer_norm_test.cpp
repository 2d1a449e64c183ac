#include "ops/layer_norm.hpp"

#include "dropout_reference.hpp"
#include "norm_reference.hpp"
#include "random_tensors.hpp"

WW_DECLARE(LayerNorm)
WW_DECLARE(LayerNormBackward)

using namespace warpweft;
using namespace warpweft::test;

namespace {

struct Case { int64_t R, C; DType t; bool residual, drop, affine, strided; double mean = 0; };

std::string describe(const char* op, const Kernel& k, const Case& v) {
  char text[160];
  std::snprintf(text, sizeof text, "%s %s %s [%lld, %lld]%s%s%s%s mean %g", op, k.isa, nameOf(v.t), static_cast<long long>(v.R), static_cast<long long>(v.C),
                v.residual ? " residual" : "", v.drop ? " dropout" : "", v.affine ? " affine" : "", v.strided ? " strided" : "", v.mean);
  return text;
}

void forward(const Kernel& k, const Case& v) {
  const std::string what = describe("layerNorm", k, v);
  const double p = v.drop ? 0.3 : 0;
  const Tensor rng = rngState(0x123456789ABCDEF, 5, 2);
  const Tensor x = randomRows(v.t, v.R, v.C, v.strided, v.mean), residual = v.residual ? randomRows(v.t, v.R, v.C, !v.strided) : Tensor();
  const Tensor weight = v.affine ? randomVector(v.C) : Tensor(), bias = v.affine ? randomVector(v.C) : Tensor();
  struct Outputs { Tensor y, sum, mean, rstd; } outputs[2];
  for (int threads : {1, 3}) {
    Outputs& o = outputs[threads > 1];
    o = {rows(v.t, v.R, v.C, v.strided), rows(v.t, v.R, v.C, v.strided), Tensor(DType::f32, {v.R}), Tensor(DType::f32, {v.R})};
    TestContext(threads).run(k, LayerNorm{x.in(), residual.in(), weight.in(), bias.in(), rng.in(), o.y.out(), o.sum.out(), o.mean.out(), o.rstd.out(), 1e-5, p, 77});
  }
  const Outputs& o = outputs[0];
  expect(o.y.bits() == outputs[1].y.bits() && o.sum.bits() == outputs[1].sum.bits() && o.rstd.bits() == outputs[1].rstd.bits(), "%s: bits depend on threads", what.c_str());
  // Statistics and sum are optional and change nothing.
  const Tensor alone = rows(v.t, v.R, v.C, v.strided);
  TestContext(1).run(k, LayerNorm{x.in(), residual.in(), weight.in(), bias.in(), rng.in(), alone.out(), absentOut(), absentOut(), absentOut(), 1e-5, p, 77});
  expect(alone.bits() == o.y.bits(), "%s: y without the optional outputs differs", what.c_str());

  std::vector<double> s = x.values();
  if (v.residual)
    for (int64_t i = 0; i < x.numel(); i++) s[static_cast<size_t>(i)] += residual.get(i) * (v.drop ? factorAt(rng, 77, p, i) : 1);
  const double rounding = roundingOf(v.t);
  close(what + ": sum", o.sum, s, 2 * rounding, v.t == DType::f32 ? 4e-7 : 1e-6);
  NormReference reference{true, 1e-5, v.R, v.C, o.sum.values(), valuesOf(weight), valuesOf(bias), {}, {}, {}, {}, {}, {}};
  reference.forward();
  close(what + ": y", o.y, reference.y, rounding + 1e-6, 3e-6);
  close(what + ": mean", o.mean, reference.mean, 2e-7, 1e-6);
  close(what + ": rstd", o.rstd, reference.rstd, 2e-6);
}

void backward(const Kernel& k, const Case& v, bool accumulate, bool weights) {
  const std::string what = describe("layerNormBackward", k, v) + (accumulate ? " accumulate" : "");
  const double p = v.drop ? 0.3 : 0;
  const Tensor rng = rngState(-3, 0, 0);
  const Tensor s = randomRows(v.t, v.R, v.C, v.strided, v.mean), dy = randomRows(v.t, v.R, v.C, !v.strided), dsum = v.residual ? randomRows(v.t, v.R, v.C, v.strided) : Tensor();
  const Tensor weight = v.affine ? randomVector(v.C) : Tensor();
  NormReference reference{true, 1e-5, v.R, v.C, s.values(), valuesOf(weight), {}, {}, {}, {}, {}, {}, {}};
  reference.forward();
  Tensor mean(DType::f32, {v.R}), rstd(DType::f32, {v.R});
  mean.fill([&](int64_t r) { return reference.mean[static_cast<size_t>(r)]; });
  rstd.fill([&](int64_t r) { return reference.rstd[static_cast<size_t>(r)]; });
  reference.mean = mean.values();
  reference.backward(dy.values(), valuesOf(dsum));

  struct Outputs { Tensor dx, dresidual, dweight, dbias; } outputs[2];
  for (int threads : {1, 3}) {
    Outputs& o = outputs[threads > 1];
    o = {rows(v.t, v.R, v.C, v.strided), rows(v.t, v.R, v.C, false), Tensor(DType::f32, {v.C}), Tensor(DType::f32, {v.C})};
    if (accumulate) for (Tensor* t : {&o.dx, &o.dresidual, &o.dweight, &o.dbias}) t->fill([](int64_t i) { return static_cast<double>(i % 5) - 2; });
    TestContext(threads).run(k, LayerNormBackward{dy.in(), dsum.in(), s.in(), weight.in(), mean.in(), rstd.in(), rng.in(), o.dx.grad(accumulate), o.dresidual.grad(accumulate),
                                                  weights ? o.dweight.grad(accumulate) : absentGrad(), weights ? o.dbias.grad(accumulate) : absentGrad(), p, 9});
  }
  const Outputs& o = outputs[0];
  expect(o.dx.bits() == outputs[1].dx.bits() && o.dresidual.bits() == outputs[1].dresidual.bits() && o.dweight.bits() == outputs[1].dweight.bits() &&
         o.dbias.bits() == outputs[1].dbias.bits(), "%s: bits depend on threads", what.c_str());
  const auto before = [&](size_t i) { return accumulate ? static_cast<double>(i % 5) - 2 : 0; };
  std::vector<double> dx = reference.ds, dresidual = reference.ds;
  for (size_t i = 0; i < dx.size(); i++) {
    dx[i] += before(i);
    dresidual[i] = dresidual[i] * (v.drop ? factorAt(rng, 9, p, static_cast<int64_t>(i)) : 1) + before(i);
  }
  const double rounding = roundingOf(v.t), range = 1 + 1e3 * (v.C == 1);   // one column: rstd is 1 / sqrt(eps) and everything cancels
  close(what + ": dx", o.dx, dx, rounding + 1e-6, 8e-6 * range);
  close(what + ": dresidual", o.dresidual, dresidual, rounding + 1e-6, 8e-6 * range);
  if (weights) {
    for (size_t i = 0; i < reference.dweight.size(); i++) reference.dweight[i] += before(i), reference.dbias[i] += before(i);
    const double absolute = 1e-6 * std::sqrt(static_cast<double>(v.R)) * (1 + std::fabs(v.mean) / 100);
    close(what + ": dweight", o.dweight, reference.dweight, 1e-6, absolute);
    close(what + ": dbias", o.dbias, reference.dbias, 1e-6, absolute);
  }
  // Each gradient alone has the same bits as with the others.
  if (weights && !accumulate) {
    const Tensor dbias(DType::f32, {v.C}), dresidual1 = rows(v.t, v.R, v.C, false);
    TestContext(1).run(k, LayerNormBackward{dy.in(), dsum.in(), s.in(), weight.in(), mean.in(), rstd.in(), rng.in(), absentGrad(), absentGrad(), absentGrad(), dbias.grad(), p, 9});
    TestContext(1).run(k, LayerNormBackward{dy.in(), dsum.in(), s.in(), weight.in(), mean.in(), rstd.in(), rng.in(), absentGrad(), dresidual1.grad(), absentGrad(), absentGrad(), p, 9});
    expect(dbias.bits() == o.dbias.bits() && dresidual1.bits() == o.dresidual.bits(), "%s: a gradient alone differs", what.c_str());
  }
}

void edges(const Kernel& k, const Kernel& back) {
  // Constant rows: the variance is 0 and y is the bias. No rows, no columns: nothing happens. NaN and infinity stay in their row.
  const Tensor x = filled(Tensor(DType::f32, {4, 37}), [](int64_t i) { return i == 40 ? NAN : i == 80 ? INFINITY : i < 37 ? 12345.678 : i % 7; });
  const Tensor y(DType::f32, {4, 37}), weight = randomVector(37), bias = randomVector(37);
  TestContext(1).run(k, LayerNorm{x.in(), absentIn(), weight.in(), bias.in(), absentIn(), y.out(), absentOut(), absentOut(), absentOut(), 1e-5, 0, 0});
  for (int64_t i = 0; i < 37; i++) {
    expect(std::fabs(y.get(i) - bias.get(i)) < 1e-6, "%s: constant row gives %g, expected the bias %g", k.isa, y.get(i), bias.get(i));
    expect(std::isnan(y.get(37 + i)) && std::isnan(y.get(74 + i)), "%s: NaN or infinity was lost", k.isa);
    expect(std::isfinite(y.get(111 + i)), "%s: NaN leaked into another row", k.isa);
  }
  for (auto [R, C] : {std::pair<int64_t, int64_t>{0, 5}, {5, 0}}) {
    const Tensor none(DType::f32, {R, C}), mean(DType::f32, {R}), rstd(DType::f32, {R}), dweight(DType::f32, {C}), dbias(DType::f32, {C});
    TestContext(1).run(k, LayerNorm{none.in(), absentIn(), absentIn(), absentIn(), absentIn(), none.out(), absentOut(), mean.out(), rstd.out(), 1e-5, 0, 0});
    TestContext(1).run(back, LayerNormBackward{none.in(), absentIn(), none.in(), absentIn(), mean.in(), rstd.in(), absentIn(), none.grad(), absentGrad(), dweight.grad(), dbias.grad(), 0, 0});
    for (int64_t i = 0; i < C; i++) expect(dweight.get(i) == 0 && dbias.get(i) == 0, "%s: the sum over no rows is %g", k.isa, dweight.get(i));
  }
}

}  // namespace

int main() {
  NormReference::selfCheck(true);
  const auto forwards = WW_ENTRIES(LayerNorm), backwards = WW_ENTRIES(LayerNormBackward);
  for (size_t k = 0; k < forwards.size(); k++) {
    for (DType t : kFloatTypes) {
      for (int64_t C : {1, 3, 17, 63, 65, 257, 1000})
        for (int64_t R : {1, 3, 17})
          for (int bits = 0; bits < 16; bits++) {
            const Case v{R, C, t, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
            if (v.drop && !v.residual) continue;
            forward(forwards[k], v);
            backward(backwards[k], v, bits % 3 == 0, bits % 5 != 0);
          }
      forward(forwards[k], {257, 1000, t, true, true, true, false});
      backward(backwards[k], {257, 1000, t, true, true, true, false}, false, true);
      backward(backwards[k], {2500, 65, t, false, false, true, false}, true, true);
    }
    forward(forwards[k], {17, 1000, DType::f32, false, false, true, false, 1e4});
    forward(forwards[k], {3, 8193, DType::f32, false, false, true, false, -1e4});
    backward(backwards[k], {17, 1000, DType::f32, false, false, true, false, 1e4}, false, true);
    edges(forwards[k], backwards[k]);
  }
  return report("layer_norm");
}
