#include "ops/matmul.hpp"

#include <array>

#include "random_tensors.hpp"

WW_DECLARE(Matmul)

using namespace warpweft;
using namespace warpweft::test;

namespace {

std::mt19937 choices(11);
int pick(int n) { return static_cast<int>(choices() % static_cast<unsigned>(n)); }

enum class Layout { rows, columns, gaps, spread };   // row-major, column-major, rows with gaps, no stride of 1

// A batch of matrices; a broadcast one has stride 0 in the batch.
Tensor matrices(DType t, const std::vector<int64_t>& batch, int64_t R, int64_t C, Layout layout, bool broadcast = false) {
  std::vector<int64_t> sizes = batch, strides(batch.size());
  int64_t row = C, column = 1, one = R * C;
  if (layout == Layout::columns) row = 1, column = R;
  if (layout == Layout::gaps) row = C + 3, one = R * row;
  if (layout == Layout::spread) column = 2, row = 2 * C + 1, one = R * row;
  for (size_t d = batch.size(); d-- > 0;) {
    strides[d] = broadcast ? 0 : one;
    one *= batch[d];
  }
  sizes.insert(sizes.end(), {R, C});
  strides.insert(strides.end(), {row, column});
  // Askew, but for rows, and for columns that could begin at multiples of 16 bytes.
  return Tensor(t, sizes, strides, layout == Layout::rows || (layout == Layout::columns && R % 8 == 0) ? 0 : 1);
}

double activated(int64_t activation, double x) {
  switch (activation) {
    case 1: return x > 0 ? x : x * 0;
    case 2: return x * 0.5 * std::erfc(-x / std::sqrt(2.));
    case 3: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case 4: return x / (1 + std::exp(-x));
    default: return x;
  }
}
double slope(int64_t activation, double x) {
  if (activation == 0) return 1;
  if (activation == 1) return x > 0;
  return (activated(activation, x + 1e-5) - activated(activation, x - 1e-5)) / 2e-5;
}

struct Case {
  std::vector<int64_t> batch;
  int64_t M, N, K;
  DType type = DType::f32, out = DType::f32;
  Layout a = Layout::rows, b = Layout::rows, c = Layout::rows;
  bool broadcast = false, accumulate = false, bias = false, preactivation = false, derivative = false, sums = false, addSums = false;
  int64_t activation = 0;
  double alpha = 1;
};

std::string describe(const Kernel& k, const Case& x) {
  static constexpr const char* layouts[] = {"rows", "columns", "gaps", "spread"};
  std::string s = std::string("matmul ") + k.isa + " ";
  for (int64_t n : x.batch) s += std::to_string(n) + "x";
  // Appended one by one: g++ 12 sees overlaps in sums of literals and strings that are none (-Wrestrict).
  for (const std::string& part : {std::string("["), std::to_string(x.M), std::string(", "), std::to_string(x.K), std::string("] ["), std::to_string(x.K),
                                  std::string(", "), std::to_string(x.N), std::string("] "), std::string(nameOf(x.type)), std::string(" to "), std::string(nameOf(x.out))})
    s += part;
  for (Layout l : {x.a, x.b, x.c}) s += std::string(" ") + layouts[static_cast<int>(l)];
  if (x.broadcast) s += " broadcast";
  if (x.accumulate) s += " accumulate";
  if (x.bias) s += " bias";
  if (x.preactivation) s += " preactivation";
  if (x.derivative) s += " derivative";
  if (x.sums) s += x.addSums ? " rowSum+" : " rowSum";
  return s + " activation " + std::to_string(x.activation) + " alpha " + std::to_string(x.alpha);
}

void fillWith(Tensor& t) { t.fill([](int64_t) { return normal(); }); }

void run(const Kernel& k, const Case& x) {
  const std::string what = describe(k, x);
  Tensor a = matrices(x.type, x.batch, x.M, x.K, x.a), b = matrices(x.type, x.batch, x.K, x.N, x.b, x.broadcast);
  const auto plane = [&] { return matrices(x.out, x.batch, x.M, x.N, x.c); };
  Tensor bias = x.bias ? Tensor(DType::f32, {x.N}) : Tensor(), derivative = x.derivative ? matrices(x.out, x.batch, x.M, x.N, pick(2) ? x.c : Layout::gaps) : Tensor();
  const bool sameLayout = pick(2);
  fillWith(a);
  fillWith(b);
  if (x.bias) fillWith(bias);
  if (x.derivative) fillWith(derivative);
  const std::vector<double> A = a.values(), B = b.values(), D = valuesOf(derivative);
  const auto before = [](int64_t i) { return static_cast<double>(i % 7) - 3; };
  Tensor c[2], kept[2], sums[2];
  for (int t : {0, 1}) {
    c[t] = plane();
    if (x.accumulate) c[t].fill(before);
    if (x.preactivation) kept[t] = sameLayout ? plane() : matrices(x.out, x.batch, x.M, x.N, Layout::rows);
    if (x.sums) sums[t] = Tensor(DType::f32, {x.M});
    if (x.addSums) sums[t].fill(before);
    const Matmul op{a.in(), b.in(), c[t].grad(x.accumulate), bias.in(), kept[t].out(), derivative.in(), sums[t].grad(x.addSums), x.activation, x.alpha};
    op.check(Check("matmul"));
    TestContext context(t ? 3 : 1);
    context.run(k, op);
  }
  expect(c[0].bits() == c[1].bits(), "%s: bits depend on threads", what.c_str());
  if (x.preactivation) expect(kept[0].bits() == kept[1].bits(), "%s: bits of preactivation depend on threads", what.c_str());
  if (x.sums) expect(sums[0].bits() == sums[1].bits(), "%s: bits of rowSum depend on threads", what.c_str());

  // Nothing but elements of c is written.
  Tensor copy = plane();
  copy.fill([&](int64_t i) { return c[0].get(i); });
  expect(copy.bits() == c[0].bits(), "%s: wrote between the elements of c", what.c_str());

  int64_t batch = 1;
  for (int64_t n : x.batch) batch *= n;
  const double unit = 0x1p-24, sumError = (8 + std::sqrt(static_cast<double>(x.K))) * unit, rounding = 1.01 * roundingOf(x.out);
  for (int64_t p = 0; p < batch; p++)
    for (int64_t i = 0; i < x.M; i++)
      for (int64_t j = 0; j < x.N; j++) {
        double sum = 0, size = 0;
        for (int64_t l = 0; l < x.K; l++) {
          const double product = A[static_cast<size_t>((p * x.M + i) * x.K + l)] * B[static_cast<size_t>((p * x.K + l) * x.N + j)];
          sum += product;
          size += std::fabs(product);
        }
        const int64_t at = (p * x.M + i) * x.N + j;
        const double pre = x.alpha * sum + (x.bias ? bias.get(j) : 0), preError = std::fabs(x.alpha) * size * sumError + 2 * unit * std::fabs(pre);
        const double s = x.derivative ? slope(x.activation, D[static_cast<size_t>(at)]) : 0;
        double y = x.derivative ? pre * s : activated(x.activation, pre);
        double error = x.derivative ? preError * std::fabs(s) + std::fabs(pre) * 1e-6 : preError * 1.2 + 4e-7 * std::fabs(y);
        if (x.accumulate) y += before(at), error += unit * std::fabs(y);
        error += rounding * std::fabs(y) + (x.out == DType::f16 ? 6e-8 : 1e-12);
        const double got = c[0].get(at);
        if (!expect(std::fabs(got - y) <= error, "%s: element %lld is %.9g, expected %.9g within %.3g", what.c_str(), static_cast<long long>(at), got, y, error)) return;
        if (x.preactivation && !expect(std::fabs(kept[0].get(at) - pre) <= preError + rounding * std::fabs(pre) + 6e-8, "%s: preactivation %lld is %.9g, expected %.9g", what.c_str(),
                                       static_cast<long long>(at), kept[0].get(at), pre)) return;
      }
  if (x.sums)
    for (int64_t i = 0; i < x.M; i++) {
      double sum = x.addSums ? before(i) : 0, size = std::fabs(sum);
      for (int64_t l = 0; l < x.K; l++) sum += A[static_cast<size_t>(i * x.K + l)], size += std::fabs(A[static_cast<size_t>(i * x.K + l)]);
      if (!expect(std::fabs(sums[0].get(i) - sum) <= size * sumError + 1e-12, "%s: rowSum %lld is %.9g, expected %.9g", what.c_str(), static_cast<long long>(i), sums[0].get(i), sum)) return;
    }
}

// NaN and infinity reach their row and their column and nothing else, whatever shares a tile or a pair with them.
void specials(const Kernel& k, DType t, int64_t M, int64_t N, int64_t K, Layout layoutA, Layout layoutB) {
  Tensor a = matrices(t, {}, M, K, layoutA), b = matrices(t, {}, K, N, layoutB), c = matrices(DType::f32, {}, M, N, Layout::rows);
  a.fill([&](int64_t i) { return i / K == M - 1 && i % K == K - 1 ? NAN : i / K == 0 && i % K == 0 ? INFINITY : 1; });
  b.fill([&](int64_t i) { return i / N == K / 2 && i % N == N - 1 ? -INFINITY : 1; });
  TestContext(2).run(k, Matmul{a.in(), b.in(), c.grad(), absentIn(), absentOut(), absentIn(), absentGrad(), 0, 1});
  std::vector<double> expected;
  for (int64_t i = 0; i < M; i++)
    for (int64_t j = 0; j < N; j++) {
      double sum = 0;
      for (int64_t l = 0; l < K; l++) sum += a.get(i * K + l) * b.get(l * N + j);
      expected.push_back(sum);
    }
  char what[120];
  std::snprintf(what, sizeof what, "matmul %s %s [%lld, %lld] [%lld, %lld] with NaN and infinity", k.isa, nameOf(t), static_cast<long long>(M), static_cast<long long>(K), static_cast<long long>(K), static_cast<long long>(N));
  close(what, c, expected, 1e-6);
}

Layout layout() { return static_cast<Layout>(pick(8) < 3 ? 0 : pick(8) < 4 ? 1 : pick(4)); }

void randomCases(const Kernel& k, int count) {
  static constexpr int64_t sizes[] = {1, 2, 3, 5, 8, 13, 14, 15, 16, 17, 31, 32, 33, 48, 49, 63, 65, 100, 129, 257};
  const auto size = [](int largest) { return sizes[pick(largest)]; };
  for (int i = 0; i < count; i++) {
    Case x;
    const int kind = pick(8);
    for (int d = kind < 2 ? 1 + pick(2) : 0; d > 0; d--) x.batch.push_back(1 + pick(4));
    const int largest = x.batch.empty() ? 20 : 12;
    x.M = size(largest), x.N = size(largest), x.K = pick(6) == 0 && x.batch.empty() ? 1000 : size(largest);
    x.type = kFloatTypes[pick(3)], x.out = pick(2) ? x.type : DType::f32;
    x.a = layout(), x.b = layout(), x.c = layout();
    x.broadcast = pick(2);
    x.accumulate = pick(3) == 0;
    if (pick(2)) {
      x.bias = pick(2), x.preactivation = pick(3) == 0, x.derivative = !x.preactivation && pick(3) == 0;
      x.activation = pick(5), x.alpha = pick(2) ? 1 : -0.3;
    }
    if (x.batch.empty() && pick(3) == 0) x.sums = true, x.addSums = pick(2);
    run(k, x);
  }
}

void chosenCases(const Kernel& k) {
  const Layout R = Layout::rows, C = Layout::columns;
  for (DType t : kFloatTypes) {
    // More than one block of depth, with sums that wait for the last one (half results, bias) and without.
    run(k, {.batch = {}, .M = 70, .N = 67, .K = 1601, .type = t, .out = t, .a = R, .b = C, .bias = true, .activation = 2});
    run(k, {.batch = {}, .M = 60, .N = 130, .K = 811, .type = t, .out = DType::f32, .a = R, .b = R, .accumulate = true});
    // So long that the depth is split; dy^T x with the gradient of the bias.
    run(k, {.batch = {}, .M = 33, .N = 40, .K = 9001, .type = t, .out = DType::f32, .a = C, .b = R, .accumulate = true, .sums = true, .addSums = true});
    run(k, {.batch = {}, .M = 65, .N = 50, .K = 7001, .type = t, .out = t, .a = C, .b = R, .c = C, .sums = true});
    // Operands larger than what is packed at a time.
    if (t == DType::f32) run(k, {.batch = {}, .M = 130, .N = 200, .K = 10007, .type = t, .out = t, .a = C, .b = R, .sums = true, .alpha = 0.5});
    run(k, {.batch = {}, .M = 260, .N = 150, .K = 2600, .type = t, .out = DType::f32, .a = C, .b = R, .sums = true});
    run(k, {.batch = {}, .M = 6, .N = 700, .K = 1100, .type = t, .out = t, .a = R, .b = C, .bias = true, .activation = 4});
    // Every number of few rows, against so many columns that a task has as many sums as it can hold.
    for (int64_t M = 1; M <= 16; M++)
      for (Layout b : {R, C}) run(k, {.batch = {}, .M = M, .N = 12300, .K = 3, .type = t, .out = DType::f32, .a = R, .b = b});
    run(k, {.batch = {}, .M = 7, .N = 777, .K = 300, .type = t, .out = t, .a = R, .b = R, .bias = true, .activation = 3});
    // Batches that become rows, and batches of many small products.
    run(k, {.batch = {3, 5}, .M = 7, .N = 33, .K = 20, .type = t, .out = t, .a = R, .b = C, .broadcast = true, .bias = true, .preactivation = true, .activation = 1});
    run(k, {.batch = {5, 8}, .M = 1, .N = 64, .K = 48, .type = t, .out = t, .a = R, .b = C, .broadcast = true});
    run(k, {.batch = {100}, .M = 16, .N = 16, .K = 32, .type = t, .out = t, .a = R, .b = C, .derivative = true, .activation = 2});
    // All rows at multiples of 16 bytes, in every direction: what copies of whole boxes can bring.
    for (Layout a : {R, C})
      for (Layout b : {R, C}) {
        run(k, {.batch = {}, .M = 136, .N = 72, .K = 88, .type = t, .out = t, .a = a, .b = b, .bias = true, .activation = 1, .alpha = -0.3});
        run(k, {.batch = {}, .M = 40, .N = 264, .K = 64, .type = t, .out = DType::f32, .a = a, .b = b, .accumulate = true, .bias = true, .activation = 4});
        run(k, {.batch = {3}, .M = 24, .N = 40, .K = 72, .type = t, .out = t, .a = a, .b = b, .derivative = true, .activation = 2});
      }
    run(k, {.batch = {}, .M = 72, .N = 40, .K = 48, .type = t, .out = t, .a = R, .b = C, .c = C, .bias = true, .preactivation = true, .activation = 3});
    run(k, {.batch = {2, 3}, .M = 16, .N = 24, .K = 40, .type = t, .out = t, .a = R, .b = R});
    run(k, {.batch = {2, 3}, .M = 16, .N = 24, .K = 40, .type = t, .out = t, .a = C, .b = C, .broadcast = true, .bias = true});
    run(k, {.batch = {}, .M = 64, .N = 48, .K = 1032, .type = t, .out = DType::f32, .a = C, .b = R, .accumulate = true, .sums = true});
    // Nothing to add up, nothing to write.
    run(k, {.batch = {}, .M = 20, .N = 21, .K = 0, .type = t, .out = t, .bias = true, .sums = true, .activation = 1});
    run(k, {.batch = {}, .M = 2, .N = 9, .K = 0, .type = t, .out = t, .b = C, .accumulate = true});
    run(k, {.batch = {}, .M = 56, .N = 32, .K = 0, .type = t});
    run(k, {.batch = {}, .M = 0, .N = 9, .K = 5, .type = t, .out = t});
    run(k, {.batch = {}, .M = 9, .N = 0, .K = 5, .type = t, .out = t, .sums = true});
    run(k, {.batch = {0}, .M = 9, .N = 4, .K = 5, .type = t, .out = t});
    for (const auto [M, N, K] : {std::array<int64_t, 3>{1, 40, 33}, {7, 33, 17}, {30, 70, 401}, {200, 5, 3}})
      for (Layout a : {R, C})
        for (Layout b : {R, C}) specials(k, t, M, N, K, a, b);
  }
}

void refuses(const char* what, const char* code, const Matmul& op) {
  try {
    op.check(Check("matmul"));
  } catch (const OpError& error) {
    expect(error.code == std::string(code), "matmul refuses %s with %s, expected %s: %s", what, error.code, code, error.message.c_str());
    return;
  }
  expect(false, "matmul accepts %s", what);
}

void refusals() {
  const auto f = [](std::vector<int64_t> sizes, DType t = DType::f32) { return Tensor(t, sizes); };
  const Tensor a = f({3, 4}), b = f({4, 5}), c = f({3, 5}), bias = f({5});
  const auto op = [&](const Tensor& a_, const Tensor& b_, const Tensor& c_) { return Matmul{a_.in(), b_.in(), c_.grad(), absentIn(), absentOut(), absentIn(), absentGrad(), 0, 1}; };
  op(a, b, c).check(Check("matmul"));
  refuses("different depths", "ERR_SHAPE", op(a, f({5, 5}), c));
  refuses("a wrong result", "ERR_SHAPE", op(a, b, f({5, 3})));
  refuses("vectors", "ERR_SHAPE", op(f({4}), b, c));
  refuses("different ranks", "ERR_SHAPE", op(a, f({1, 4, 5}), c));
  refuses("different batches", "ERR_SHAPE", op(f({2, 3, 4}), f({1, 4, 5}), f({2, 3, 5})));
  refuses("two dtypes", "ERR_DTYPE", op(a, f({4, 5}, DType::bf16), c));
  refuses("integers", "ERR_DTYPE", op(f({3, 4}, DType::i32), f({4, 5}, DType::i32), c));
  refuses("a result in another half type", "ERR_DTYPE", op(f({3, 4}, DType::bf16), f({4, 5}, DType::bf16), f({3, 5}, DType::f16)));
  Matmul x = op(a, b, c);
  x.bias = f({3}).in();
  refuses("a bias of another size", "ERR_SHAPE", x);
  x = op(a, b, c), x.activation = 5;
  refuses("an unknown activation", "ERR_CONFIG", x);
  x = op(a, b, c), x.derivative = f({3, 4}).in();
  refuses("a derivative of another size", "ERR_SHAPE", x);
  x = op(a, b, c), x.derivative = c.in(), x.preactivation = f({3, 5}).out();
  refuses("forward and backward at once", "ERR_CONFIG", x);
  const Tensor a3 = f({2, 3, 4}), b3 = f({2, 4, 5}), c3 = f({2, 3, 5});
  x = op(a3, b3, c3), x.rowSum = f({3}).grad();
  refuses("rowSum of a batch", "ERR_SHAPE", x);
}

#ifndef WARPWEFT_SIMT
// Matrix tiles add up terms of numbers. What has no terms takes the way without tiles, to the bit; what has is as near to the product as without them.
void tilesOf(const std::vector<Kernel>& kernels) {
  const Kernel &tiles = kernels.back(), &plain = kernels[kernels.size() - 2];
  if (std::string(tiles.isa) != "amx") return;
  const int64_t M = 60, N = 70, K = 2048;
  Tensor a(DType::f32, {M, K}), b(DType::f32, {K, N}), c(DType::f32, {M, N}), expected(DType::f32, {M, N});
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  float *x = a.view().as<float>(), *y = b.view().as<float>(), *of = expected.view().as<float>(), *got = c.view().as<float>();
  for (int64_t i = 0; i < M * K; i++) x[i] = normal(generator);
  for (int64_t i = 0; i < K * N; i++) y[i] = normal(generator);
  TestContext context;
  const auto run = [&](const Kernel& kernel, const Tensor& into) {
    context.run(kernel, Matmul{a.in(), b.in(), into.grad(), absentIn(), absentOut(), absentIn(), absentGrad(), 0, 1});
  };
  const auto error = [&](const float* values) {
    double sum = 0;
    for (int64_t i = 0; i < M; i++)
      for (int64_t j = 0; j < N; j++) {
        double exact = 0;
        for (int64_t k = 0; k < K; k++) exact += static_cast<double>(x[i * K + k]) * static_cast<double>(y[k * N + j]);
        sum += (exact - static_cast<double>(values[i * N + j])) * (exact - static_cast<double>(values[i * N + j]));
      }
    return std::sqrt(sum / static_cast<double>(M * N));
  };
  run(tiles, c);
  run(plain, expected);
  expect(std::memcmp(got, of, static_cast<size_t>(M * N) * 4) != 0, "the product of tiles has the bits of another path: were they used?");
  expect(error(got) <= 1.5 * error(of), "tiles: the error is %.3g, without them %.3g", error(got), error(of));
  for (const float extreme : {INFINITY, -INFINITY, NAN, 3e38f, 1e-30f, 1e-39f}) {
    const float before = x[3 * K + 77];
    x[3 * K + 77] = extreme;
    run(tiles, c);
    run(plain, expected);
    expect(std::memcmp(got, of, static_cast<size_t>(M * N) * 4) == 0, "tiles take %g, which has no terms", static_cast<double>(extreme));
    x[3 * K + 77] = before;
  }
  // Numbers that are ordinary, but whose products are so small that those of their parts are lost.
  for (int64_t i = 0; i < M * K; i++) x[i] *= 0x1p-60f;
  run(tiles, c);
  run(plain, expected);
  expect(std::memcmp(got, of, static_cast<size_t>(M * N) * 4) != 0 && error(got) <= 1.5 * error(of), "tiles: of numbers near 2^-60 the error is %.3g, without them %.3g", error(got), error(of));
  for (int64_t i = 0; i < K * N; i++) y[i] *= 0x1p-55f;
  run(tiles, c);
  run(plain, expected);
  expect(std::memcmp(got, of, static_cast<size_t>(M * N) * 4) == 0, "tiles take products near 2^-115, whose parts are lost");
}
#endif

}  // namespace

int main(int count, char** values) {
  const int cases = count > 1 ? std::atoi(values[1]) : 150;
  refusals();
  for (const Kernel& k : withTiles(WW_ENTRIES(Matmul))) {
    // AVX-512 multiplies bfloat16 in two ways; each processor takes one.
    for (const bool pairs : {false, true}) {
      if (pairs && std::string(k.isa) != "avx512") continue;
#ifndef WARPWEFT_SIMT
      cpu::usePairs(pairs);
#endif
      choices.seed(11);
      chosenCases(k);
      randomCases(k, cases);
    }
  }
#ifndef WARPWEFT_SIMT
  tilesOf(withTiles(WW_ENTRIES(Matmul)));
#endif
  return report("matmul");
}
