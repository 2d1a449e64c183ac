// The elementary functions of cpu/simd/math.hpp against double over the whole range of float32, on every instruction set, and the conversions of the half
// types bit for bit. They are reached through the ops that use them, so that what is tested is what runs.
#include "test_context.hpp"

#include "ops/copy.hpp"
#include "ops/unary.hpp"

WW_DECLARE(Copy)
WW_DECLARE(Unary)

using namespace warpweft;
using namespace warpweft::test;

namespace {

double sigmoidOf(double x) { return 1 / (1 + std::exp(-x)); }
double softplusOf(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
double normalCdfOf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }

// `ulps`: bound in units in the last place of the result; `absolute`: allowed besides (x times a function that has become denormal).
struct Function { const char* name; UnaryOp op; double (*reference)(double); double ulps, absolute; };
const Function kFunctions[] = {
    {"exp", UnaryOp::exp, [](double x) { return std::exp(x); }, 1, 0},
    {"log", UnaryOp::log, [](double x) { return std::log(x); }, 0.8, 0},
    {"log1p", UnaryOp::log1p, [](double x) { return std::log1p(x); }, 1.5, 0},
    {"tanh", UnaryOp::tanh, [](double x) { return std::tanh(x); }, 1.3, 0},
    {"sigmoid", UnaryOp::sigmoid, sigmoidOf, 2.5, 0},
    {"softplus", UnaryOp::softplus, softplusOf, 2, 0},
    {"erf", UnaryOp::erf, [](double x) { return std::erf(x); }, 1.6, 0},
    {"gelu", UnaryOp::gelu, [](double x) { return x * normalCdfOf(x); }, 6.5, 1e-44},
    {"silu", UnaryOp::silu, [](double x) { return x * sigmoidOf(x); }, 3.2, 1e-43},
    {"sin", UnaryOp::sin, [](double x) { return std::sin(x); }, 0, 1.2e-7},
    {"cos", UnaryOp::cos, [](double x) { return std::cos(x); }, 0, 1.2e-7},
};

double ulpOf(double x) {
  int e;
  std::frexp(x, &e);
  return std::ldexp(1.0, (e - 1 < -126 ? -126 : e - 1) - 23);
}

// Every 4099th bit pattern of float32, then the range in which activations live, densely, then the special values.
std::vector<float> arguments() {
  std::vector<float> x;
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += 4099) {
    const auto bits = static_cast<uint32_t>(u);
    float f;
    std::memcpy(&f, &bits, 4);
    x.push_back(f);
  }
  for (int i = -300000; i <= 300000; i++) x.push_back(static_cast<float>(i) * 7e-5f);
  const float infinity = INFINITY, special[] = {0.f, -0.f, infinity, -infinity, NAN, 1.f, -1.f, 1e-45f, -1e-45f, 1.17549435e-38f, 3.4028235e38f, -3.4028235e38f,
                                                88.72283f, 88.72284f, -87.33655f, -103.97208f, -104.f, -103.2789f, 0.99999994f, 1.0000001f, 8192.f, 8193.f};
  x.insert(x.end(), std::begin(special), std::end(special));
  return x;
}

void functions() {
  const std::vector<float> x = arguments();
  const auto n = static_cast<int64_t>(x.size());
  const auto kernels = WW_ENTRIES(Unary);
  Tensor input(DType::f32, {n}), output(DType::f32, {n});
  std::memcpy(input.view().data, x.data(), x.size() * 4);
  for (const Function& f : kFunctions) {
    std::vector<double> expected(x.size());
    for (size_t i = 0; i < x.size(); i++) expected[i] = f.reference(static_cast<double>(x[i]));
    for (const Kernel& k : kernels) {
      TestContext c(2);
      c.run(k, Unary{input.in(), output.out(), static_cast<int64_t>(f.op)});
      double worst = 0, at = 0;
      for (size_t i = 0; i < x.size(); i++) {
        const double got = output.get(static_cast<int64_t>(i)), e = expected[i];
        if (std::isnan(e) || std::isinf(e)) {
          expect(std::isnan(e) ? std::isnan(got) : got == e, "%s %s(%.9g) is %g, expected %g", k.isa, f.name, static_cast<double>(x[i]), got, e);
          continue;
        }
        if (std::fabs(e) > 0x1.FFFFFFp127) {   // rounds to infinity
          expect(got == e * INFINITY, "%s %s(%.9g) is %g, expected an overflow", k.isa, f.name, static_cast<double>(x[i]), got);
          continue;
        }
        const double difference = std::fabs(got - e), error = f.ulps > 0 ? std::fmax(0, difference - f.absolute) / ulpOf(e) : difference;
        if (!(error <= worst)) { worst = error; at = static_cast<double>(x[i]); }
      }
      const double bound = f.ulps > 0 ? f.ulps : f.absolute;
      expect(worst <= bound, "%s %s: error %.3g %s at %.9g, bound %.3g", k.isa, f.name, worst, f.ulps > 0 ? "ulp" : "absolute", at, bound);
      if (std::getenv("VERBOSE")) std::printf("%-9s %-9s %.3g %s at %.9g\n", k.isa, f.name, worst, f.ulps > 0 ? "ulp" : "absolute", at);
    }
  }
}

// gelu must not be worse than twice its composition from rounded pieces, least of all where 1 + erf cancels.
void geluAgainstComposition() {
  const int64_t n = 20001;
  Tensor x(DType::f32, {n}), y(DType::f32, {n});
  x.fill([&](int64_t i) { return -10 + 16 * static_cast<double>(i) / (n - 1); });
  for (const Kernel& k : WW_ENTRIES(Unary)) {
    TestContext c;
    c.run(k, Unary{x.in(), y.out(), static_cast<int64_t>(UnaryOp::gelu)});
    for (int64_t i = 0; i < n; i += 64) {   // the largest error of the composition over neighbours is its bound
      double composed = 0, ours = 0, ulp = 0;
      for (int64_t j = i; j < i + 64 && j < n; j++) {
        const double v = x.get(j), exact = v * normalCdfOf(v);
        const float z = static_cast<float>(v * M_SQRT1_2), e = static_cast<float>(std::erf(static_cast<double>(z))), s = 1.f + e, h = 0.5f * static_cast<float>(v);
        composed = std::fmax(composed, std::fabs(static_cast<double>(h * s) - exact));
        ours = std::fmax(ours, std::fabs(y.get(j) - exact));
        ulp = std::fmax(ulp, ulpOf(exact));
      }
      expect(ours <= 2 * composed + ulp, "%s gelu near %.4g: error %.3g, composition %.3g", k.isa, x.get(i), ours, composed);
    }
  }
}

// All 65,536 values of a half type to float32 and back; and rounding of floats between them, ties included.
void halves() {
  for (DType t : {DType::bf16, DType::f16}) {
    Tensor all(t, {65536}), wide(DType::f32, {65536}), back(t, {65536});
    for (int i = 0; i < 65536; i++) all.view().as<uint16_t>()[i] = static_cast<uint16_t>(i);
    for (const Kernel& k : WW_ENTRIES(Copy)) {
      TestContext c;
      c.run(k, Copy{all.in(), wide.grad()});
      c.run(k, Copy{wide.in(), back.grad()});
      for (int64_t i = 0; i < 65536; i++) {
        const double e = all.get(i), g = wide.get(i);
        expect(std::isnan(e) ? std::isnan(g) : g == e && std::signbit(g) == std::signbit(e), "%s %s 0x%04llx widens to %g, expected %g", k.isa, nameOf(t),
               static_cast<unsigned long long>(i), g, e);
        const bool same = std::isnan(e) ? std::isnan(back.get(i)) : back.view().as<uint16_t>()[i] == i;
        expect(same, "%s %s 0x%04llx comes back as 0x%04x", k.isa, nameOf(t), static_cast<unsigned long long>(i), back.view().as<uint16_t>()[i]);
      }
    }
    std::mt19937 random(7);
    const int64_t n = 100003;
    Tensor floats(DType::f32, {n}), rounded(t, {n});
    for (int64_t i = 0; i < n; i++) {
      auto bits = static_cast<uint32_t>(random());
      if (i % 3 == 0) bits = (bits & 0xFFFF8000u) | (i % 2 ? 0x8000u : 0u);                                    // ties of bfloat16
      if (i % 3 == 1) bits = (bits & 0x80001FFFu) | (100u + bits % 44u) << 23 | (i % 2 ? 0x1000u : 0x3000u);   // near float16's ties and subnormals
      std::memcpy(floats.view().as<char>() + 4 * i, &bits, 4);
    }
    for (const Kernel& k : WW_ENTRIES(Copy)) {
      TestContext c;
      c.run(k, Copy{floats.in(), rounded.grad()});
      for (int64_t i = 0; i < n; i++) {
        const double x = floats.get(i);
        const uint16_t e = halfOf(t, x), g = rounded.view().as<uint16_t>()[i];
        expect(std::isnan(x) ? std::isnan(fromHalf(t, g)) : g == e, "%s %.9g rounds to %s 0x%04x, expected 0x%04x", k.isa, x, nameOf(t), g, e);
      }
    }
  }
}

}  // namespace

int main() {
  functions();
  geluAgainstComposition();
  halves();
  return report("simd");
}
