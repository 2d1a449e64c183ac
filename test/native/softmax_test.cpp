#include "ops/softmax.hpp"

#include "random_tensors.hpp"

WW_DECLARE(Softmax)
WW_DECLARE(SoftmaxBackward)

using namespace warpweft;
using namespace warpweft::test;

namespace {

struct Case { int64_t R, C; DType t; bool log, strided; double deviation; };

std::string describe(const char* op, const Kernel& k, const Case& v) {
  char text[160];
  std::snprintf(text, sizeof text, "%s %s %s [%lld, %lld]%s%s deviation %g", op, k.isa, nameOf(v.t), static_cast<long long>(v.R), static_cast<long long>(v.C),
                v.log ? " log" : "", v.strided ? " strided" : "", v.deviation);
  return text;
}

std::vector<double> softmaxOf(const std::vector<double>& x, int64_t C, bool log) {
  std::vector<double> y = x;
  for (size_t r = 0; r < x.size(); r += static_cast<size_t>(C)) {
    double m = -INFINITY, s = 0;
    for (size_t i = r; i < r + static_cast<size_t>(C); i++) m = std::fmax(m, x[i]);
    for (size_t i = r; i < r + static_cast<size_t>(C); i++) s += std::exp(x[i] - m);
    for (size_t i = r; i < r + static_cast<size_t>(C); i++) y[i] = log ? x[i] - m - std::log(s) : std::exp(x[i] - m) / s;
  }
  return y;
}

void forward(const Kernel& k, const Case& v) {
  const std::string what = describe("softmax", k, v);
  const Tensor x = randomRows(v.t, v.R, v.C, v.strided, 3, v.deviation);
  Tensor y[2] = {rows(v.t, v.R, v.C, !v.strided), rows(v.t, v.R, v.C, !v.strided)};
  for (int threads : {1, 3}) TestContext(threads).run(k, Softmax{x.in(), y[threads > 1].out(), v.log});
  expect(y[0].bits() == y[1].bits(), "%s: bits depend on threads", what.c_str());
  close(what, y[0], softmaxOf(x.values(), v.C, v.log), roundingOf(v.t) + 1e-6 + 4e-7 * v.deviation, (v.t == DType::f16 ? 3.1e-8 : 1e-37) + 2e-7 * v.log * v.deviation);   // x - max is rounded
}

void backward(const Kernel& k, const Case& v, bool accumulate) {
  const std::string what = describe("softmaxBackward", k, v) + (accumulate ? " accumulate" : "");
  const std::vector<double> exact = softmaxOf(randomRows(DType::f32, v.R, v.C, false, 0, v.deviation).values(), v.C, v.log);
  const Tensor y = filled(rows(v.t, v.R, v.C, v.strided), [&](int64_t i) { return exact[static_cast<size_t>(i)]; });
  const Tensor dy = randomRows(v.t, v.R, v.C, !v.strided);
  Tensor dx[2] = {rows(v.t, v.R, v.C, v.strided), rows(v.t, v.R, v.C, v.strided)};
  for (int threads : {1, 3}) {
    if (accumulate) dx[threads > 1].fill([](int64_t i) { return static_cast<double>(i % 5) - 2; });
    TestContext(threads).run(k, SoftmaxBackward{dy.in(), y.in(), dx[threads > 1].grad(accumulate), v.log});
  }
  expect(dx[0].bits() == dx[1].bits(), "%s: bits depend on threads", what.c_str());
  std::vector<double> expected(static_cast<size_t>(v.R * v.C));
  for (int64_t r = 0; r < v.R; r++) {
    double s = 0;
    for (int64_t i = r * v.C; i < (r + 1) * v.C; i++) s += dy.get(i) * (v.log ? 1 : y.get(i));
    for (int64_t i = r * v.C; i < (r + 1) * v.C; i++)
      expected[static_cast<size_t>(i)] = (v.log ? dy.get(i) - std::exp(y.get(i)) * s : y.get(i) * (dy.get(i) - s)) + (accumulate ? static_cast<double>(i % 5) - 2 : 0);
  }
  close(what, dx[0], expected, roundingOf(v.t) + 1e-6, 4e-6 * std::sqrt(v.log ? static_cast<double>(v.C) : 1));
}

// The formula of the backward pass against central differences of the forward one, in float32 through the kernels themselves.
void differences(const Kernel& k, const Kernel& back, bool log) {
  const int64_t C = 5;
  const double dy[C] = {1, -2, 0.5, 0.7, -0.3}, at[C] = {0.1, 0.9, -0.4, 0.3, 0};
  const auto loss = [&](int64_t moved, double by) {
    const Tensor x = filled(Tensor(DType::f32, {1, C}), [&](int64_t i) { return at[i] + (i == moved ? by : 0); }), y(DType::f32, {1, C});
    TestContext(1).run(k, Softmax{x.in(), y.out(), log});
    double l = 0;
    for (int64_t i = 0; i < C; i++) l += dy[i] * y.get(i);
    return l;
  };
  const Tensor x = filled(Tensor(DType::f32, {1, C}), [&](int64_t i) { return at[i]; }), y(DType::f32, {1, C}), dx(DType::f32, {1, C});
  const Tensor gradient = filled(Tensor(DType::f32, {1, C}), [&](int64_t i) { return dy[i]; });
  TestContext(1).run(k, Softmax{x.in(), y.out(), log});
  TestContext(1).run(back, SoftmaxBackward{gradient.in(), y.in(), dx.grad(), log});
  for (int64_t i = 0; i < C; i++) {
    const double numeric = (loss(i, 0.01) - loss(i, -0.01)) / 0.02;
    expect(std::fabs(numeric - dx.get(i)) < 2e-4, "softmaxBackward %s log %d: gradient %g, by differences %g", k.isa, log, dx.get(i), numeric);
  }
}

void edges(const Kernel& k) {
  // Row 0 fully masked, row 1 masked but for one, row 2 with NaN, row 3 with +infinity, row 4 huge.
  const Tensor x = filled(Tensor(DType::f32, {5, 37}), [](int64_t i) {
    const int64_t r = i / 37, c = i % 37;
    return r == 0 ? -INFINITY : r == 1 ? (c == 33 ? -5. : -INFINITY) : r == 2 ? (c == 35 ? NAN : 1.) : r == 3 ? (c == 3 ? INFINITY : 1.) : (c == 36 ? 3e38 : -3e38);
  });
  const Tensor y(DType::f32, {5, 37}), l(DType::f32, {5, 37});
  TestContext(1).run(k, Softmax{x.in(), y.out(), false});
  TestContext(1).run(k, Softmax{x.in(), l.out(), true});
  for (int64_t c = 0; c < 37; c++) {
    expect(y.get(c) == 0 && l.get(c) == -INFINITY, "%s: fully masked row gives %g, log %g", k.isa, y.get(c), l.get(c));
    expect(y.get(37 + c) == (c == 33) && l.get(37 + c) == (c == 33 ? 0 : -INFINITY), "%s: one place left of 37 gives %g, log %g", k.isa, y.get(37 + c), l.get(37 + c));
    expect(std::isnan(y.get(74 + c)) && std::isnan(l.get(74 + c)), "%s: NaN gives %g, log %g", k.isa, y.get(74 + c), l.get(74 + c));
    expect(std::isnan(y.get(111 + c)) && std::isnan(l.get(111 + c)), "%s: infinity gives %g, log %g", k.isa, y.get(111 + c), l.get(111 + c));
    expect(y.get(148 + c) == (c == 36), "%s: huge logits give %g", k.isa, y.get(148 + c));
  }
  // The maximum rises in every block of a long row; the first ones are masked.
  const int64_t C = 20000;
  const Tensor rising = filled(Tensor(DType::f32, {1, C}), [](int64_t i) { return i < 5000 ? -INFINITY : static_cast<double>(i) / 100; }), z(DType::f32, {1, C});
  TestContext(1).run(k, Softmax{rising.in(), z.out(), true});
  close("softmax log of a rising row", z, softmaxOf(rising.values(), C, true), 1e-6);
  for (auto [R, W] : {std::pair<int64_t, int64_t>{0, 5}, {5, 0}}) {
    const Tensor none(DType::f32, {R, W});
    TestContext(1).run(k, Softmax{none.in(), none.out(), false});
    TestContext(1).run(k, Softmax{none.in(), none.out(), true});
  }
}

}  // namespace

int main() {
  const auto forwards = WW_ENTRIES(Softmax), backwards = WW_ENTRIES(SoftmaxBackward);
  for (size_t k = 0; k < forwards.size(); k++) {
    for (bool log : {false, true}) {
      for (DType t : kFloatTypes)
        for (int64_t C : {1, 3, 17, 63, 65, 257, 1000, 9000})
          for (int64_t R : {1, 3, 65}) {
            if (C * R > 70000) continue;
            for (bool strided : {false, true})
              for (double deviation : {1., 20.}) {
                const Case v{R, C, t, log, strided, deviation};
                forward(forwards[k], v);
                backward(backwards[k], v, strided);
              }
          }
      differences(forwards[k], backwards[k], log);
    }
    edges(forwards[k]);
  }
  return report("softmax");
}
