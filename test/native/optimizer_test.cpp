// adamW, sgd, gradNorm, lerp and uniform against double: the formulas, clipping, skipping, low-precision copies, lists of many sizes, threads.
#include "test_context.hpp"

#include "ops/adam_w.hpp"
#include "ops/grad_norm.hpp"
#include "ops/lerp.hpp"
#include "ops/loss_scale.hpp"
#include "ops/sgd.hpp"
#include "ops/uniform.hpp"

WW_DECLARE(AdamW)
WW_DECLARE(Sgd)
WW_DECLARE(GradNorm)
WW_DECLARE(Lerp)
WW_DECLARE(LossScale)
WW_DECLARE(Uniform)

using namespace warpweft;
using namespace warpweft::test;

namespace {

const std::vector<int64_t> kSizes = {1, 3, 17, 0, 65, 1000, 16384, 16385, 50001};

// A list of contiguous tensors of kSizes.
struct List {
  explicit List(DType t, double (*f)(int64_t tensor, int64_t i) = nullptr) {
    for (size_t j = 0; j < kSizes.size(); j++) {
      tensors.emplace_back(t, std::vector<int64_t>{kSizes[j]});
      if (f) tensors.back().fill([&](int64_t i) { return f(static_cast<int64_t>(j), i); });
      views.push_back(tensors.back().view());
    }
  }
  InList in() const { return {views.data(), static_cast<int64_t>(views.size())}; }
  InOutList inOut() const { return {views.data(), static_cast<int64_t>(views.size())}; }
  std::vector<double> values() const {
    std::vector<double> all;
    for (const Tensor& t : tensors) { const auto v = t.values(); all.insert(all.end(), v.begin(), v.end()); }
    return all;
  }
  std::string bits() const {
    std::string all;
    for (const Tensor& t : tensors) all += t.bits();
    return all;
  }
  std::vector<Tensor> tensors;
  std::vector<View> views;
};

double parameter(int64_t t, int64_t i) { return std::sin(static_cast<double>(i + 10 * t)); }
double gradient(int64_t t, int64_t i) { return 0.1 * std::cos(static_cast<double>(3 * i + t)); }
double none(int64_t, int64_t) { return 0; }
InOutList nothing() { return {nullptr, 0}; }

Tensor floats(std::initializer_list<double> values) {
  Tensor t(DType::f32, {static_cast<int64_t>(values.size())});
  t.fill([&](int64_t i) { return values.begin()[i]; });
  return t;
}

void near(const std::string& what, const std::vector<double>& got, const std::vector<double>& expected, double relative, double absolute) {
  for (size_t i = 0; i < expected.size(); i++)
    if (!(std::fabs(got[i] - expected[i]) <= absolute + relative * std::fabs(expected[i]))) {
      expect(false, "%s: element %zu is %.9g, expected %.9g", what.c_str(), i, got[i], expected[i]);
      return;
    }
}

double clipOf(double norm, double maxNorm) { return std::fmin(1, maxNorm / (norm + 1e-6)); }

void adam() {
  const double rate = 3e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.1, scale = 0.5, norm = 2.5;
  for (bool decoupled : {true, false})
    for (double maxNorm : {1.0, static_cast<double>(INFINITY)})
      for (DType gt : {DType::f32, DType::bf16})
        for (DType lt : {DType::f32, DType::bf16, DType::f16}) {   // f32: no copies
          List initial(DType::f32, parameter), grads(gt, gradient);
          std::vector<double> p = initial.values(), m(p.size()), v(p.size());
          const std::vector<double> g0 = grads.values();
          const int steps = 5;
          for (int t = 1; t <= steps; t++)
            for (size_t i = 0; i < p.size(); i++) {
              double g = g0[i] * scale * clipOf(norm, maxNorm);
              if (decoupled) p[i] *= 1 - rate * decay;
              else g += decay * p[i];
              m[i] += (1 - beta1) * (g - m[i]);
              v[i] = beta2 * v[i] + (1 - beta2) * g * g;
              p[i] -= rate / (1 - std::pow(beta1, t)) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(beta2, t)) + eps);
            }
          for (const Kernel& k : WW_ENTRIES(AdamW)) {
            std::string bits;
            for (int threads : {1, 3}) {
              List params(DType::f32, parameter), first(DType::f32, none), second(DType::f32, none), low(lt == DType::f32 ? DType::bf16 : lt);
              const Tensor n = floats({norm});
              TestContext c(threads);
              for (int t = 1; t <= steps; t++) {
                const Tensor hyper = floats({rate, 1 - beta1, 1 - beta2, eps, 1 - std::pow(beta1, t), 1 - std::pow(beta2, t), scale, decay});
                c.run(k, AdamW{params.inOut(), grads.in(), first.inOut(), second.inOut(), lt == DType::f32 ? nothing() : low.inOut(), hyper.in(), n.in(), maxNorm, decoupled, true});
              }
              const std::string what = std::string(k.isa) + (decoupled ? " AdamW" : " Adam");
              near(what, params.values(), p, 1e-6, 5e-7);
              near(what + " m", first.values(), m, 1e-6, 2e-8);
              near(what + " v", second.values(), v, 1e-5, 1e-11);
              if (lt != DType::f32) {
                std::vector<double> rounded;
                for (double x : params.values()) rounded.push_back(fromHalf(lt, halfOf(lt, x)));
                near(what + " low", low.values(), rounded, 0, 0);
              }
              if (threads == 1) bits = params.bits();
              else expect(bits == params.bits(), "%s differs with threads", what.c_str());
            }
          }
        }
}

void momentum() {
  const double rate = 0.05, mu = 0.9, decay = 1e-3, norm = 0.3, maxNorm = 0.25;
  for (bool withMomentum : {false, true})
    for (bool nesterov : {false, true})
      for (double dampening : {0.0, 0.3}) {
        if (nesterov && (dampening != 0 || !withMomentum)) continue;
        List initial(DType::f32, parameter), grads(DType::f32, gradient);
        std::vector<double> p = initial.values(), b(p.size());
        const std::vector<double> g0 = grads.values();
        const int steps = 4;
        for (int t = 1; t <= steps; t++)
          for (size_t i = 0; i < p.size(); i++) {
            double g = g0[i] * clipOf(norm, maxNorm) + decay * p[i];
            if (withMomentum) {
              b[i] = t == 1 ? g : mu * b[i] + (1 - dampening) * g;
              g = nesterov ? g + mu * b[i] : b[i];
            }
            p[i] -= rate * g;
          }
        for (const Kernel& k : WW_ENTRIES(Sgd)) {
          List params(DType::f32, parameter), buffers(DType::f32), low(DType::bf16);   // buffers start as NaN: the first step must not read them
          const Tensor n = floats({norm});
          TestContext c(2);
          for (int t = 1; t <= steps; t++) {
            const Tensor hyper = floats({rate, mu, dampening, decay, 1, t == 1 ? 1.0 : 0.0});
            c.run(k, Sgd{params.inOut(), grads.in(), withMomentum ? buffers.inOut() : nothing(), low.inOut(), hyper.in(), n.in(), maxNorm, nesterov, false});
          }
          near(std::string(k.isa) + " SGD", params.values(), p, 1e-6, 1e-7);
          if (withMomentum) near(std::string(k.isa) + " SGD momentum", buffers.values(), b, 1e-6, 1e-8);
          std::vector<double> rounded;
          for (double x : params.values()) rounded.push_back(fromHalf(DType::bf16, halfOf(DType::bf16, x)));
          near(std::string(k.isa) + " SGD low", low.values(), rounded, 0, 0);
        }
      }
}

// With a norm that is not finite, and with faulty inputs, nothing changes: not even the states.
void skips() {
  for (double norm : {static_cast<double>(NAN), static_cast<double>(INFINITY)})
    for (const Kernel& k : WW_ENTRIES(AdamW)) {
      List params(DType::f32, parameter), grads(DType::f32, gradient), m(DType::f32, none), v(DType::f32, none), low(DType::f16, none);
      const std::string before = params.bits() + m.bits() + v.bits() + low.bits();
      const Tensor hyper = floats({0.1, 0.1, 0.001, 1e-8, 0.1, 0.001, 1, 0}), n = floats({norm}), finite = floats({1});
      TestContext c;
      c.run(k, AdamW{params.inOut(), grads.in(), m.inOut(), v.inOut(), low.inOut(), hyper.in(), n.in(), 1, true, true});
      expect(before == params.bits() + m.bits() + v.bits() + low.bits(), "%s AdamW moved at a norm of %g", k.isa, norm);
      c.faultyInput = true;
      c.run(k, AdamW{params.inOut(), grads.in(), m.inOut(), v.inOut(), low.inOut(), hyper.in(), finite.in(), 1, true, false});
      expect(before == params.bits() + m.bits() + v.bits() + low.bits(), "%s AdamW moved with faulty gradients", k.isa);
      c.faultyInput = false;
      c.run(k, AdamW{params.inOut(), grads.in(), m.inOut(), v.inOut(), low.inOut(), hyper.in(), n.in(), 1, true, false});
      expect(before != params.bits() + m.bits() + v.bits() + low.bits(), "%s AdamW skipped without being asked to", k.isa);
    }
  for (const Kernel& k : WW_ENTRIES(Sgd)) {
    List params(DType::f32, parameter), grads(DType::f32, gradient);
    const std::string before = params.bits();
    const Tensor hyper = floats({0.1, 0, 0, 0, 1, 1}), n = floats({NAN});
    TestContext c;
    c.run(k, Sgd{params.inOut(), grads.in(), nothing(), nothing(), hyper.in(), n.in(), INFINITY, false, true});
    expect(before == params.bits(), "%s SGD moved at a norm that is NaN", k.isa);
  }
}

void norms() {
  for (DType t : {DType::f32, DType::bf16, DType::f16}) {
    List grads(t, gradient);
    double sum = 0;
    for (double g : grads.values()) sum += g * g;
    for (const Kernel& k : WW_ENTRIES(GradNorm)) {
      std::string bits;
      for (int threads : {1, 4}) {
        Tensor norm(DType::f32, {1}), scale = floats({0.25});
        TestContext c(threads);
        c.run(k, GradNorm{grads.in(), absentIn(), norm.out()});
        close(std::string(k.isa) + " gradNorm " + nameOf(t), norm, {std::sqrt(sum)}, 2e-7);
        if (threads == 1) bits = norm.bits();
        else expect(bits == norm.bits(), "%s gradNorm differs with threads", k.isa);
        c.run(k, GradNorm{grads.in(), scale.in(), norm.out()});
        close(std::string(k.isa) + " scaled gradNorm " + nameOf(t), norm, {0.25 * std::sqrt(sum)}, 2e-7);
      }
    }
  }
  for (const Kernel& k : WW_ENTRIES(GradNorm)) {
    Tensor norm(DType::f32, {1});
    TestContext c;
    c.run(k, GradNorm{InList{nullptr, 0}, absentIn(), norm.out()});
    close(std::string(k.isa) + " gradNorm of nothing", norm, {0}, 0);
    for (double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
      List grads(DType::f32, gradient);
      grads.tensors.back().set(50000, bad);
      c.run(k, GradNorm{grads.in(), absentIn(), norm.out()});
      close(std::string(k.isa) + " gradNorm with a bad element", norm, {bad}, 0);
    }
  }
}

// Steps at a loss scale, some of which overflow: what comes of parameters, states and scale is what unscaled gradients give in the steps that count.
void lossScales() {
  const double rate = 3e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.1, maxNorm = 0.5;
  const std::vector<bool> overflows = {true, false, false, true, true, false, false, false};
  for (const Kernel& norms : WW_ENTRIES(GradNorm)) {
    const auto same = [&](const std::vector<Kernel>& all) { for (const Kernel& k : all) if (std::string(k.isa) == norms.isa) return k; std::abort(); };
    const Kernel adamW = same(WW_ENTRIES(AdamW)), sgd = same(WW_ENTRIES(Sgd)), scaling = same(WW_ENTRIES(LossScale));
    const List initial(DType::f32, parameter), plain(DType::f32, gradient);
    const std::vector<double> g0 = plain.values();
    std::vector<double> p = initial.values(), m(p.size()), v(p.size()), q = initial.values();
    double norm = 0;
    for (double g : g0) norm += g * g;
    norm = std::sqrt(norm);
    const double factor = clipOf(norm, maxNorm);
    const List params(DType::f32, parameter), first(DType::f32, none), second(DType::f32, none), others(DType::f32, parameter);
    Tensor state = floats({1024, 0, 0}), n(DType::f32, {1});
    double scale = 1024, good = 0, skipped = 0;
    TestContext c(2);
    for (size_t step = 1; step <= overflows.size(); step++) {
      List grads(DType::f32, gradient);
      for (Tensor& t : grads.tensors) for (int64_t i = 0; i < t.numel(); i++) t.set(i, t.get(i) * scale);
      if (overflows[step - 1]) grads.tensors[5].set(999, INFINITY);
      const auto t = static_cast<double>(step);
      const Tensor hyper = floats({rate, 1 - beta1, 1 - beta2, eps, 1 - std::pow(beta1, t), 1 - std::pow(beta2, t), 1, decay}), plainHyper = floats({rate, 0, 0, 0, 1, 0});
      GradNorm measure{grads.in(), absentIn(), n.out(), absent<In>()};
      measure.lossScale = state.in();
      c.run(norms, measure);
      close(std::string(norms.isa) + " norm at a loss scale", n, {overflows[step - 1] ? static_cast<double>(INFINITY) : norm}, 1e-6);
      AdamW adam{params.inOut(), grads.in(), first.inOut(), second.inOut(), nothing(), hyper.in(), n.in(), maxNorm, true, true, absent<In>()};
      adam.lossScale = state.in();
      c.run(adamW, adam);
      Sgd descent{others.inOut(), grads.in(), nothing(), nothing(), plainHyper.in(), n.in(), INFINITY, false, true, absent<In>()};
      descent.lossScale = state.in();
      c.run(sgd, descent);
      c.faultyInput = true;   // a step that is left out because of an index does not count at all
      const std::string before = state.bits();
      c.run(scaling, LossScale{state.inOut(), n.in(), 3});
      expect(before == state.bits(), "%s lossScale moved with a faulty norm", scaling.isa);
      c.faultyInput = false;
      c.run(scaling, LossScale{state.inOut(), n.in(), 3});
      if (overflows[step - 1]) {
        scale /= 2, good = 0, skipped++;
      } else {
        const double taken = t - skipped;
        for (size_t i = 0; i < p.size(); i++) {
          const double g = g0[i] * factor;
          p[i] *= 1 - rate * decay;
          m[i] += (1 - beta1) * (g - m[i]);
          v[i] = beta2 * v[i] + (1 - beta2) * g * g;
          p[i] -= rate / (1 - std::pow(beta1, taken)) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(beta2, taken)) + eps);
          q[i] -= rate * g0[i];
        }
        if (++good == 3) scale *= 2, good = 0;
      }
      close(std::string(scaling.isa) + " loss scale", state, {scale, good, skipped}, 0);
    }
    near(std::string(adamW.isa) + " AdamW at a loss scale", params.values(), p, 2e-6, 1e-6);
    near(std::string(adamW.isa) + " m at a loss scale", first.values(), m, 2e-6, 2e-8);
    near(std::string(sgd.isa) + " SGD at a loss scale", others.values(), q, 1e-6, 1e-6);
  }
  // The bounds of the scale.
  for (const Kernel& k : WW_ENTRIES(LossScale)) {
    const Tensor high = floats({static_cast<double>(LossScale::most), 0, 0}), low = floats({static_cast<double>(LossScale::least), 5, 1}), finite = floats({1}), bad = floats({NAN});
    TestContext c;
    c.run(k, LossScale{high.inOut(), finite.in(), 1});
    close(std::string(k.isa) + " the greatest loss scale", high, {static_cast<double>(LossScale::most), 0, 0}, 0);
    c.run(k, LossScale{low.inOut(), bad.in(), 1});
    close(std::string(k.isa) + " the least loss scale", low, {static_cast<double>(LossScale::least), 0, 2}, 0);
  }
}

void averages() {
  for (DType t : {DType::f32, DType::bf16})
    for (const Kernel& k : WW_ENTRIES(Lerp)) {
      List y(DType::f32, parameter), x(t, gradient);
      const std::vector<double> before = y.values(), with = x.values();
      const Tensor weight = floats({0.001});
      std::vector<double> expected;
      for (size_t i = 0; i < before.size(); i++) expected.push_back(before[i] + 0.001 * (with[i] - before[i]));
      TestContext c(2);
      c.run(k, Lerp{y.inOut(), x.in(), weight.in()});
      near(std::string(k.isa) + " lerp", y.values(), expected, 1e-7, 1e-9);
      const std::string bits = y.bits();
      c.faultyInput = true;
      c.run(k, Lerp{y.inOut(), x.in(), weight.in()});
      expect(bits == y.bits(), "%s lerp moved with a faulty input", k.isa);
    }
}

void uniforms() {
  std::string same;
  for (const Kernel& k : WW_ENTRIES(Uniform)) {
    const int64_t n = 1000003;
    Tensor y(DType::f32, {n}), state(DType::i64, {3});
    state.fill([](int64_t i) { return static_cast<double>(42 + i); });
    TestContext one(1), four(4);
    one.run(k, Uniform{y.out(), state.in(), 7, -2, 3});
    const std::string bits = y.bits();
    if (same.empty()) same = bits;
    expect(bits == same, "%s uniform differs between instruction sets", k.isa);
    four.run(k, Uniform{y.out(), state.in(), 7, -2, 3});
    expect(bits == y.bits(), "%s uniform differs with threads", k.isa);
    double sum = 0, squares = 0, product = 0, low = 9, high = -9;
    for (int64_t i = 0; i < n; i++) {
      const double u = (y.get(i) + 2) / 5;
      sum += u;
      squares += u * u;
      if (i) product += u * (y.get(i - 1) + 2) / 5;
      low = std::fmin(low, u);
      high = std::fmax(high, u);
    }
    const auto count = static_cast<double>(n);
    expect(std::fabs(sum / count - 0.5) < 0.0015 && std::fabs(squares / count - 1. / 3) < 0.0015 && std::fabs(product / count - 0.25) < 0.0015, "%s uniform: moments %g %g %g", k.isa,
           sum / count, squares / count, product / count);
    expect(low >= 0 && low < 1e-5 && high < 1 && high > 1 - 1e-5, "%s uniform: from %g to %g", k.isa, low, high);
    one.run(k, Uniform{y.out(), state.in(), 8, -2, 3});
    expect(bits != y.bits(), "%s uniform: another call gives the same numbers", k.isa);
    one.run(k, Uniform{y.out(), state.in(), 8, 0.99999994, 1});   // one float apart: the upper one must not appear
    for (int64_t i = 0; i < n; i++)
      if (y.get(i) >= 1) { expect(false, "%s uniform reaches its upper bound", k.isa); break; }
  }
  // Philox 4x32-10 of counter 0 and key 0 (Salmon et al., known-answer test): 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
  for (const Kernel& k : WW_ENTRIES(Uniform)) {
    Tensor y(DType::f32, {4}), state(DType::i64, {3});
    state.fill([](int64_t) { return 0; });
    TestContext c;
    c.run(k, Uniform{y.out(), state.in(), 0, 0, 1});
    close(std::string(k.isa) + " uniform from Philox", y, {0x6627e8 / 16777216., 0xe169c5 / 16777216., 0xbc57ac / 16777216., 0x9b00db / 16777216.}, 0);
  }
}

}  // namespace

int main() {
  adam();
  momentum();
  skips();
  norms();
  lossScales();
  averages();
  uniforms();
  return report("optimizer");
}
