// unary, its gradients and the gated pairs against double: dtypes, strides, edge values, accumulation, threads.
#include "test_context.hpp"

#include "ops/gated.hpp"
#include "ops/unary.hpp"

WW_DECLARE(Unary)
WW_DECLARE(UnaryBackward)
WW_DECLARE(Gated)
WW_DECLARE(GatedBackward)

using namespace warpweft;
using namespace warpweft::test;

namespace {

double sigmoidOf(double x) { return 1 / (1 + std::exp(-x)); }
double cdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }
double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double tanhArgument(double x) { return std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
double geluTanhSlope(double x) {
  const double t = std::tanh(tanhArgument(x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}
double siluSlope(double x, double k) { const double s = sigmoidOf(k * x); return s * (1 + k * x * (1 - s)); }

enum class Saved { nothing, x, y };
struct Function { const char* name; double (*f)(double); double (*slope)(double x); Saved saved; double low, high; };
const Function kFunctions[] = {
    {"neg", [](double x) { return -x; }, [](double) { return -1.; }, Saved::nothing, -9, 9},
    {"abs", [](double x) { return std::fabs(x); }, [](double x) { return x > 0 ? 1. : x < 0 ? -1. : 0.; }, Saved::x, -9, 9},
    {"exp", [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }, Saved::y, -9, 9},
    {"log", [](double x) { return std::log(x); }, [](double x) { return 1 / x; }, Saved::x, 0.01, 9},
    {"log1p", [](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); }, Saved::x, -0.9, 9},
    {"sqrt", [](double x) { return std::sqrt(x); }, [](double x) { return 0.5 / std::sqrt(x); }, Saved::y, 0.01, 9},
    {"rsqrt", [](double x) { return 1 / std::sqrt(x); }, [](double x) { return -0.5 * std::pow(x, -1.5); }, Saved::y, 0.1, 9},
    {"square", [](double x) { return x * x; }, [](double x) { return 2 * x; }, Saved::x, -9, 9},
    {"reciprocal", [](double x) { return 1 / x; }, [](double x) { return -1 / (x * x); }, Saved::y, 0.2, 9},
    {"relu", [](double x) { return x > 0 ? x : 0; }, [](double x) { return x > 0 ? 1. : 0.; }, Saved::y, -9, 9},
    {"gelu", [](double x) { return x * cdf(x); }, [](double x) { return cdf(x) + x * density(x); }, Saved::x, -9, 9},
    {"geluTanh", [](double x) { return 0.5 * x * (1 + std::tanh(tanhArgument(x))); }, geluTanhSlope, Saved::x, -4, 9},
    {"quickGelu", [](double x) { return x * sigmoidOf(1.702 * x); }, [](double x) { return siluSlope(x, 1.702); }, Saved::x, -9, 9},
    {"silu", [](double x) { return x * sigmoidOf(x); }, [](double x) { return siluSlope(x, 1); }, Saved::x, -9, 9},
    {"tanh", [](double x) { return std::tanh(x); }, [](double x) { return 1 - std::tanh(x) * std::tanh(x); }, Saved::y, -3, 3},
    {"sigmoid", sigmoidOf, [](double x) { return sigmoidOf(x) * (1 - sigmoidOf(x)); }, Saved::y, -5, 5},
    {"softplus", [](double x) { return std::log1p(std::exp(x)); }, sigmoidOf, Saved::x, -9, 9},
    {"erf", [](double x) { return std::erf(x); }, [](double x) { return M_2_SQRTPI * std::exp(-x * x); }, Saved::x, -3, 3},
    {"sin", [](double x) { return std::sin(x); }, [](double x) { return std::cos(x); }, Saved::x, -30, 30},
    {"cos", [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }, Saved::x, -30, 30},
    {"sign", [](double x) { return x > 0 ? 1. : x < 0 ? -1. : 0.; }, nullptr, Saved::nothing, -9, 9},
    {"floor", [](double x) { return std::floor(x); }, nullptr, Saved::nothing, -9, 9},
    {"ceil", [](double x) { return std::ceil(x); }, nullptr, Saved::nothing, -9, 9},
    {"round", [](double x) { return std::nearbyint(x); }, nullptr, Saved::nothing, -9, 9},
    {"trunc", [](double x) { return std::trunc(x); }, nullptr, Saved::nothing, -9, 9},
    {"logicalNot", [](double x) { return x == 0 ? 1. : 0.; }, nullptr, Saved::nothing, -9, 9},
    {"isNan", [](double x) { return std::isnan(x) ? 1. : 0.; }, nullptr, Saved::nothing, -9, 9},
    {"isFinite", [](double x) { return std::isfinite(x) ? 1. : 0.; }, nullptr, Saved::nothing, -9, 9},
};
constexpr int64_t kCount = std::size(kFunctions);
static_assert(kCount == kUnaryOps);

const std::vector<std::vector<int64_t>> kSizes = {{}, {1}, {3}, {17}, {63}, {65}, {257}, {1000}, {1025}, {5, 333}, {40, 257}, {0}, {3, 0}};

struct Layout { std::vector<int64_t> sizes, x, y, z; };
std::vector<Layout> layouts() {
  std::vector<Layout> all;
  for (const auto& s : kSizes) all.push_back({s, {}, {}, {}});
  all.push_back({{65, 37}, {1, 65}, {}, {40, 1}});       // transposed input
  all.push_back({{37, 65}, {}, {1, 37}, {1, 37}});       // transposed output
  all.push_back({{9, 300}, {0, 1}, {}, {1, 9}});         // broadcast
  all.push_back({{9, 300}, {1, 0}, {400, 1}, {}});
  all.push_back({{333, 3}, {5, 1}, {3, 1}, {1, 333}});   // short rows
  all.push_back({{2, 3, 5, 7}, {105, 7, 21, 1}, {}, {}});
  return all;
}

void forward() {
  for (int64_t op = 0; op < kCount; op++) {
    const Function& f = kFunctions[op];
    const bool toBool = op >= static_cast<int64_t>(UnaryOp::logicalNot);
    for (DType t : {DType::f32, DType::bf16, DType::f16})
      for (const Layout& l : layouts()) {
        Tensor x(t, l.sizes, l.x);
        const int64_t n = x.numel();
        x.fill([&](int64_t i) { return f.low + (f.high - f.low) * static_cast<double>((i * 7919) % 1009) / 1008; });
        if (toBool && n > 3) { x.set(2, 0); x.set(1, NAN); x.set(3, -INFINITY); }
        std::vector<double> expected;
        for (double v : x.values()) expected.push_back(f.f(v));
        for (const Kernel& k : WW_ENTRIES(Unary)) {
          Tensor y(toBool ? DType::b8 : t, l.sizes, l.y);
          TestContext c;
          c.run(k, Unary{x.in(), y.out(), op});
          close(std::string(k.isa) + " " + f.name + " " + nameOf(t), y, expected, toBool ? 0 : roundingOf(t) + 5e-7, toBool ? 0 : 2e-7);
        }
      }
  }
}

// Adjacent halves are converted in registers; they must give the bits of the plain way: the elements in pieces of float32, rounded by themselves. Every half is
// tried, among neighbours that need other branches, and with a rest that fills no vector.
void halves() {
  for (const DType t : {DType::bf16, DType::f16})
    for (const UnaryOp op : {UnaryOp::relu, UnaryOp::gelu, UnaryOp::geluTanh, UnaryOp::silu}) {
      const int64_t n = 65535;
      Tensor x(t, {n}), spaced(t, {n}, {2}), y(t, {n}), z(t, {n}, {2});
      for (int64_t i = 0; i < n; i++) {
        const auto bits = static_cast<uint16_t>(i * 40503);   // odd: every value but one, far from its neighbours
        x.view().as<uint16_t>()[i] = bits;
        spaced.view().as<uint16_t>()[2 * i] = bits;
      }
      for (const Kernel& k : WW_ENTRIES(Unary)) {
        TestContext c;
        c.run(k, Unary{x.in(), y.out(), static_cast<int64_t>(op)});
        c.run(k, Unary{spaced.in(), z.out(), static_cast<int64_t>(op)});
        int64_t different = 0;
        for (int64_t i = 0; i < n; i++) different += y.view().as<uint16_t>()[i] != z.view().as<uint16_t>()[2 * i];
        expect(different == 0, "%s %s of adjacent %s: %lld of %lld differ from the ones computed through float32", k.isa, kFunctions[static_cast<int64_t>(op)].name,
               nameOf(t), static_cast<long long>(different), static_cast<long long>(n));
      }
    }
}

// What a number gives does not depend on what stands beside it, be it of another branch of gelu.
void neighbours() {
  for (const Kernel& k : WW_ENTRIES(Unary)) {
    Tensor x(DType::f32, {256}), y(DType::f32, {256}), one(DType::f32, {1}), single(DType::f32, {1});
    x.fill([](int64_t i) { return i % 3 == 2 ? NAN : (static_cast<double>(i) - 128) / 20; });
    TestContext c;
    c.run(k, Unary{x.in(), y.out(), static_cast<int64_t>(UnaryOp::gelu)});
    for (int64_t i = 0; i < 256; i++) {
      one.set(0, x.get(i));
      c.run(k, Unary{one.in(), single.out(), static_cast<int64_t>(UnaryOp::gelu)});
      expect(std::isnan(y.get(i)) ? std::isnan(single.get(0)) : y.get(i) == single.get(0),
             "%s gelu(%g) is %.9g alone and %.9g among others", k.isa, x.get(i), single.get(0), y.get(i));
    }
  }
}

void edges() {
  const double nan = NAN, inf = INFINITY;
  const double in[] = {0, -0.0, inf, -inf, nan, 1e-40, -1e-40, 3e38, -3e38, 0.5, 1.5, 2.5, -0.5, -1.5, -100, 100};
  const int64_t n = std::size(in);
  // Where the mathematical limit is not what PyTorch gives: gelu and silu of -infinity are NaN (0 * infinity).
  for (int64_t op = 0; op < kCount; op++) {
    const Function& f = kFunctions[op];
    Tensor x(DType::f32, {n}), y(op >= static_cast<int64_t>(UnaryOp::logicalNot) ? DType::b8 : DType::f32, {n});
    x.fill([&](int64_t i) { return in[i]; });
    for (const Kernel& k : WW_ENTRIES(Unary)) {
      TestContext c;
      c.run(k, Unary{x.in(), y.out(), op});
      for (int64_t i = 0; i < n; i++) {
        const double v = x.get(i), g = y.get(i);
        double e = f.f(v);
        if (std::fabs(v) > 1e30 && (op == static_cast<int64_t>(UnaryOp::sin) || op == static_cast<int64_t>(UnaryOp::cos)) && std::isfinite(v)) {
          expect(std::fabs(g - e) < 1e-6, "%s %s(%g) is %g, expected %g", k.isa, f.name, v, g, e);
          continue;
        }
        if (op == static_cast<int64_t>(UnaryOp::softplus) && v > 50) e = v;
        if (op == static_cast<int64_t>(UnaryOp::relu) && std::isnan(v)) e = nan;
        if (std::fabs(e) > 3.5e38) e = e * inf;
        const bool same = std::isnan(e) ? std::isnan(g) : std::isinf(e) ? g == e : std::fabs(g - e) <= 1e-6 * std::fabs(e) + 1e-43 && std::signbit(g) == std::signbit(e);
        const bool signless = e == 0 && (op == static_cast<int64_t>(UnaryOp::sign) || op == static_cast<int64_t>(UnaryOp::geluTanh) || op == static_cast<int64_t>(UnaryOp::relu) ||
                                        op == static_cast<int64_t>(UnaryOp::sin));
        expect(same || (signless && g == 0), "%s %s(%g) is %g, expected %g", k.isa, f.name, v, g, e);
      }
    }
  }
}

void integers() {
  const double in[] = {0, 1, -1, 7, -7, 100, -128, 127};
  for (DType t : {DType::i32, DType::i64, DType::i8})
    for (UnaryOp op : {UnaryOp::neg, UnaryOp::abs, UnaryOp::square, UnaryOp::relu, UnaryOp::sign, UnaryOp::logicalNot}) {
      Tensor x(t, {40, 8}, {1, 40});
      x.fill([&](int64_t i) { return in[i % 8]; });
      const bool toBool = op == UnaryOp::logicalNot;
      for (const Kernel& k : WW_ENTRIES(Unary)) {
        Tensor y(toBool ? DType::b8 : t, {40, 8});
        TestContext c;
        c.run(k, Unary{x.in(), y.out(), static_cast<int64_t>(op)});
        std::vector<double> expected;
        for (double v : x.values()) {
          const double e = kFunctions[static_cast<int64_t>(op)].f(v);
          expected.push_back(t == DType::i8 && !toBool ? static_cast<int8_t>(static_cast<int64_t>(e)) : e);
        }
        close(std::string(k.isa) + " " + kFunctions[static_cast<int64_t>(op)].name + " " + nameOf(t), y, expected, 0);
      }
    }
}

void backward() {
  for (int64_t op = 0; op < kUnaryOpsWithGradient; op++) {
    const Function& f = kFunctions[op];
    for (DType t : {DType::f32, DType::bf16, DType::f16})
      for (const Layout& l : layouts()) {
        Tensor dy(t, l.sizes, l.x), saved(t, l.sizes, l.z);
        const int64_t n = dy.numel();
        std::vector<double> x;
        for (int64_t i = 0; i < n; i++) {
          // Values at which both x and y are exact in the dtype do not exist for most functions: y is what the kernel is given.
          const double v = f.low + (f.high - f.low) * static_cast<double>((i * 7919) % 1009) / 1008;
          x.push_back(v);
          saved.set(i, f.saved == Saved::y ? f.f(v) : v);
          dy.set(i, std::cos(static_cast<double>(i)));
        }
        for (bool accumulate : {false, true})
          for (const Kernel& k : WW_ENTRIES(UnaryBackward)) {
            Tensor dx(t, l.sizes, l.y);
            if (accumulate) dx.fill([](int64_t) { return 0.25; });
            TestContext c;
            c.run(k, UnaryBackward{dy.in(), f.saved == Saved::nothing ? absentIn() : saved.in(), dx.grad(accumulate), op});
            std::vector<double> expected;
            for (int64_t i = 0; i < n; i++)
              expected.push_back(dy.get(i) * f.slope(f.saved == Saved::x ? saved.get(i) : x[static_cast<size_t>(i)]) + (accumulate ? 0.25 : 0));
            // A gradient from a rounded y has the error of y, magnified by at most 4 over these ranges.
            const double relative = roundingOf(t) * (f.saved == Saved::y && t != DType::f32 ? 5 : 1.01) + 2e-6;
            close(std::string(k.isa) + " " + f.name + " backward " + nameOf(t), dx, expected, relative, relative);
          }
      }
  }
  for (const Kernel& k : WW_ENTRIES(UnaryBackward)) {
    Tensor dy(DType::f32, {5});
    TestContext c;
    c.run(k, UnaryBackward{dy.in(), dy.in(), absentGrad(), 0});   // absent: nothing is touched
    // Slopes at the ends of float32 are 0 or 1, not NaN.
    const double at[] = {-3e38, -1e20, -200, 200, 1e20, 3e38};
    for (UnaryOp op : {UnaryOp::gelu, UnaryOp::geluTanh, UnaryOp::quickGelu, UnaryOp::silu}) {
      Tensor x(DType::f32, {6}), g(DType::f32, {6}), one(DType::f32, {6});
      x.fill([&](int64_t i) { return at[i]; });
      one.fill([](int64_t) { return 1; });
      c.run(k, UnaryBackward{one.in(), x.in(), g.grad(), static_cast<int64_t>(op)});
      close(std::string(k.isa) + " slopes far out", g, {0, 0, 0, 1, 1, 1}, 0, 1e-30);
    }
  }
}

const int kGateFunctions[] = {static_cast<int>(UnaryOp::relu), static_cast<int>(UnaryOp::gelu), static_cast<int>(UnaryOp::geluTanh), static_cast<int>(UnaryOp::silu),
                              static_cast<int>(UnaryOp::sigmoid)};

void gated() {
  for (DType t : {DType::f32, DType::bf16, DType::f16})
    for (int64_t R : {1, 3, 65})
      for (int64_t F : {1, 17, 63, 257, 1500})
        for (int64_t activation = 0; activation < kGateActivations; activation++) {
          const Function& f = kFunctions[kGateFunctions[activation]];
          Tensor both(t, {R, 2 * F}), dy(t, {R, F});
          both.fill([](int64_t i) { return 4 * std::sin(static_cast<double>(i) * 0.7); });
          dy.fill([](int64_t i) { return std::cos(static_cast<double>(i)); });
          View gate = both.view(), up = both.view();
          gate.sizes[1] = up.sizes[1] = F;
          up.data = up.as<char>() + F * sizeOf(t);
          std::vector<double> y, dgate, dup;
          for (int64_t r = 0; r < R; r++)
            for (int64_t i = 0; i < F; i++) {
              const double g = both.get(r * 2 * F + i), u = both.get(r * 2 * F + F + i), d = dy.get(r * F + i);
              y.push_back(f.f(g) * u);
              dgate.push_back(d * u * f.slope(g));
              dup.push_back(d * f.f(g));
            }
          const double relative = roundingOf(t) + 2e-6, absolute = 4e-6;
          for (const Kernel& k : WW_ENTRIES(Gated)) {
            Tensor out(t, {R, F});
            TestContext c;
            c.run(k, Gated{In{gate}, In{up}, out.out(), activation});
            close(std::string(k.isa) + " gated " + f.name + " " + nameOf(t), out, y, relative, absolute);
          }
          for (const Kernel& k : WW_ENTRIES(GatedBackward)) {
            Tensor gradient(t, {R, 2 * F});
            View dgateView = gradient.view(), dupView = gradient.view();
            dgateView.sizes[1] = dupView.sizes[1] = F;
            dupView.data = dupView.as<char>() + F * sizeOf(t);
            TestContext c;
            c.run(k, GatedBackward{dy.in(), In{gate}, In{up}, Grad{{dgateView}, false}, Grad{{dupView}, false}, activation});
            std::vector<double> expected;
            for (int64_t r = 0; r < R; r++) {
              expected.insert(expected.end(), dgate.begin() + r * F, dgate.begin() + (r + 1) * F);
              expected.insert(expected.end(), dup.begin() + r * F, dup.begin() + (r + 1) * F);
            }
            close(std::string(k.isa) + " gated backward " + f.name + " " + nameOf(t), gradient, expected, relative, absolute);
            Tensor alone(t, {R, F});
            alone.fill([](int64_t) { return 2; });
            c.run(k, GatedBackward{dy.in(), In{gate}, In{up}, absentGrad(), alone.grad(true), activation});
            std::vector<double> accumulated;
            for (double v : dup) accumulated.push_back(v + 2);
            close(std::string(k.isa) + " gated backward accumulating " + f.name + " " + nameOf(t), alone, accumulated, relative, absolute);
          }
        }
}

void threads() {
  Tensor x(DType::f32, {301, 500});
  x.fill([](int64_t i) { return 5 * std::sin(static_cast<double>(i)); });
  for (const Kernel& k : WW_ENTRIES(Unary)) {
    Tensor one(DType::f32, {301, 500}, {1, 301}), four(DType::f32, {301, 500}, {1, 301});
    TestContext single(1), several(4);
    single.run(k, Unary{x.in(), one.out(), static_cast<int64_t>(UnaryOp::gelu)});
    several.run(k, Unary{x.in(), four.out(), static_cast<int64_t>(UnaryOp::gelu)});
    expect(one.bits() == four.bits(), "%s: gelu differs with threads", k.isa);
    Tensor inPlace(DType::f32, {301, 500}), apart(DType::f32, {301, 500});
    inPlace.fill([&](int64_t i) { return x.get(i); });
    several.run(k, Unary{inPlace.in(), inPlace.out(), static_cast<int64_t>(UnaryOp::silu)});
    several.run(k, Unary{x.in(), apart.out(), static_cast<int64_t>(UnaryOp::silu)});
    expect(inPlace.bits() == apart.bits(), "%s: silu differs in place", k.isa);
  }
}

}  // namespace

int main() {
  forward();
  halves();
  neighbours();
  edges();
  integers();
  backward();
  gated();
  threads();
  return report("unary");
}
