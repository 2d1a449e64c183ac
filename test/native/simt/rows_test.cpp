// Kernels that keep a row in registers, at every width for which there is one, against those that read it again: rows that are misaligned take the other path,
// which the tests of the CPU's kernels hold against references.
#include "dropout_reference.hpp"
#include "ops/layer_norm.hpp"
#include "ops/rms_norm.hpp"
#include "ops/softmax.hpp"
#include "random_tensors.hpp"

using namespace warpweft;
using namespace warpweft::test;

namespace {

template <class Op> Kernel kernelOf() { return {"simt", &cuda::table[opIndex<Op>]}; }

// The same values, at multiples of a vector or not.
struct Pair {
  Tensor whole, odd;
  Pair(DType t, int64_t R, int64_t C) : whole(rows(t, R, C, false)), odd(rows(t, R, C, true)) {}
  Pair& random(double mean = 0) {
    whole.fill([&](int64_t) { return mean + normal(); });
    odd.fill([&](int64_t i) { return whole.get(i); });
    return *this;
  }
  const Tensor& operator[](int k) const { return k == 2 ? odd : whole; }   // 0 and 1: two orders of the same kernel
};

void agree(const std::string& what, const Tensor& a, const Tensor& b, double absolute) { close(what, a, b.values(), 2 * roundingOf(a.dtype()) + 4e-6, absolute); }

void norms(DType t, int64_t R, int64_t C) {
  const std::string what = std::string(nameOf(t)) + " [" + std::to_string(R) + ", " + std::to_string(C) + "] ";
  Pair x(t, R, C), residual(t, R, C), dy(t, R, C);
  x.random(2);
  residual.random();
  dy.random();
  const Tensor rng = rngState(5, 6, 7), weight = randomVector(C), bias = randomVector(C);
  struct Outputs { Tensor y, sum, mean, rstd, dx, dresidual, dweight, dbias; };
  for (const bool centred : {true, false}) {
    std::vector<Outputs> o;
    for (int k = 0; k < 3; k++) {
      const bool strided = k == 2;
      o.push_back({rows(t, R, C, strided), rows(t, R, C, strided), Tensor(DType::f32, {R}), Tensor(DType::f32, {R}), rows(t, R, C, strided), rows(t, R, C, strided), Tensor(DType::f32, {C}), Tensor(DType::f32, {C})});
      Outputs& p = o.back();
      TestContext c(k == 1 ? 3 : 1);
      if (centred) {
        c.run(kernelOf<LayerNorm>(), LayerNorm{x[k].in(), residual[k].in(), weight.in(), bias.in(), rng.in(), p.y.out(), p.sum.out(), p.mean.out(), p.rstd.out(), 1e-5, 0.2, 3});
        c.run(kernelOf<LayerNormBackward>(), LayerNormBackward{dy[k].in(), x[k].in(), p.sum.in(), weight.in(), p.mean.in(), p.rstd.in(), rng.in(), p.dx.grad(), p.dresidual.grad(),
                                                               p.dweight.grad(), p.dbias.grad(), 0.2, 3});
      } else {
        c.run(kernelOf<RMSNorm>(), RMSNorm{x[k].in(), residual[k].in(), weight.in(), rng.in(), p.y.out(), p.sum.out(), p.rstd.out(), 1e-5, 0.2, 3, true});
        c.run(kernelOf<RMSNormBackward>(), RMSNormBackward{dy[k].in(), x[k].in(), p.sum.in(), weight.in(), p.rstd.in(), rng.in(), p.dx.grad(), p.dresidual.grad(), p.dweight.grad(), 0.2, 3, true});
      }
    }
    const std::string name = what + (centred ? "layerNorm " : "rmsNorm ");
    expect(o[0].y.bits() == o[1].y.bits() && o[0].dx.bits() == o[1].dx.bits() && o[0].dweight.bits() == o[1].dweight.bits() && o[0].dbias.bits() == o[1].dbias.bits(),
           "%s: bits depend on the order", name.c_str());
    agree(name + "y", o[0].y, o[2].y, 4e-6);
    agree(name + "sum", o[0].sum, o[2].sum, 0);
    agree(name + "rstd", o[0].rstd, o[2].rstd, 0);
    agree(name + "dx", o[0].dx, o[2].dx, 1e-5);
    agree(name + "dresidual", o[0].dresidual, o[2].dresidual, 1e-5);
    agree(name + "dweight", o[0].dweight, o[2].dweight, 1e-5);
    if (centred) agree(name + "dbias", o[0].dbias, o[2].dbias, 1e-5);
  }
}

void softmaxes(DType t, int64_t R, int64_t C) {
  Pair x(t, R, C), dy(t, R, C);
  x.random();
  dy.random();
  for (const bool log : {false, true}) {
    const std::string what = std::string(nameOf(t)) + " [" + std::to_string(R) + ", " + std::to_string(C) + "]" + (log ? " log" : "");
    std::vector<std::pair<Tensor, Tensor>> o;
    for (int k = 0; k < 3; k++) {
      o.emplace_back(rows(t, R, C, k == 2), rows(t, R, C, k == 2));
      o.back().second.fill([](int64_t i) { return static_cast<double>(i % 3); });
      TestContext c(k == 1 ? 3 : 1);
      c.run(kernelOf<Softmax>(), Softmax{x[k].in(), o.back().first.out(), log});
      c.run(kernelOf<SoftmaxBackward>(), SoftmaxBackward{dy[k].in(), o.back().first.in(), o.back().second.grad(true), log});
    }
    expect(o[0].first.bits() == o[1].first.bits() && o[0].second.bits() == o[1].second.bits(), "%s: bits depend on the order", what.c_str());
    agree("softmax " + what, o[0].first, o[2].first, 1e-6);
    agree("softmaxBackward " + what, o[0].second, o[2].second, 1e-5);
  }
}

}  // namespace

int main() {
  for (DType t : kFloatTypes)
    for (int64_t C : {8, 248, 256, 264, 512, 520, 1024, 1032, 2048, 2056, 4096, 4104, 8192, 8200})
      for (int64_t R : {1, 9}) {
        if (R > 1 && C > 2056 && C != 8192) continue;
        norms(t, R, C);
        softmaxes(t, R, C);
      }
  return report("rows in registers");
}
