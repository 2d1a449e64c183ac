// reduce: every op over every pattern of kept and reduced dimensions, precision of long sums, NaN, threads.
#include "test_context.hpp"

#include "ops/reduce.hpp"

WW_DECLARE(Reduce)

using namespace warpweft;
using namespace warpweft::test;

namespace {

const char* const kNames[] = {"sum", "mean", "max", "min", "prod", "sumOfSquares"};

std::vector<double> reference(ReduceOp op, const Tensor& x, const Tensor& y) {
  const bool product = op == ReduceOp::prod;
  const double start = op == ReduceOp::max ? -INFINITY : op == ReduceOp::min ? INFINITY : product ? 1 : 0;
  std::vector<double> r(static_cast<size_t>(y.numel()), start);
  std::vector<double> count(r.size());
  const View& xv = x.view();
  for (int64_t i = 0; i < x.numel(); i++) {
    int64_t rest = i, index[kMaxRank], to = 0;
    for (int d = xv.rank - 1; d >= 0; d--) { index[d] = rest % xv.sizes[d]; rest /= xv.sizes[d]; }
    for (int d = 0; d < xv.rank; d++) to = to * y.view().sizes[d] + (y.view().sizes[d] == 1 ? 0 : index[d]);
    double& v = r[static_cast<size_t>(to)];
    const double e = x.get(i);
    count[static_cast<size_t>(to)]++;
    if (op == ReduceOp::max) v = std::isnan(v) || std::isnan(e) ? NAN : std::fmax(v, e);
    else if (op == ReduceOp::min) v = std::isnan(v) || std::isnan(e) ? NAN : std::fmin(v, e);
    else if (product) v *= e;
    else v += op == ReduceOp::sumOfSquares ? e * e : e;
  }
  if (op == ReduceOp::mean)
    for (size_t i = 0; i < r.size(); i++) r[i] /= count[i];
  return r;
}

struct Pattern { std::vector<int64_t> sizes, strides, result, resultStrides; };
const std::vector<Pattern> kPatterns = {
    {{}, {}, {}, {}},
    {{17}, {}, {1}, {}},
    {{17}, {}, {17}, {}},
    {{0}, {}, {1}, {}},
    {{3, 0}, {}, {3, 1}, {}},
    {{0, 3}, {}, {1, 3}, {}},
    {{65, 257}, {}, {65, 1}, {}},               // rows
    {{65, 257}, {}, {1, 257}, {}},              // columns
    {{65, 257}, {}, {1, 1}, {}},
    {{65, 257}, {1, 65}, {65, 1}, {}},          // transposed
    {{65, 257}, {1, 65}, {1, 257}, {}},
    {{1000, 3}, {}, {1000, 1}, {}},             // short rows
    {{1000, 3}, {}, {1, 3}, {}},
    {{1000, 3}, {5, 1}, {1, 3}, {}},
    {{63, 1}, {}, {1, 1}, {}},
    {{4, 65, 100}, {}, {4, 1, 100}, {}},        // the middle
    {{4, 65, 100}, {}, {1, 65, 1}, {}},         // all but the middle
    {{4, 65, 100}, {}, {1, 1, 100}, {}},
    {{4, 65, 300}, {20000, 301, 1}, {4, 1, 300}, {600, 1, 2}},
    {{5, 7, 3, 17}, {357, 17, 119, 1}, {5, 1, 3, 1}, {}},
    {{33, 40}, {0, 1}, {1, 40}, {}},            // of a broadcast view
    {{33, 40}, {1, 0}, {33, 1}, {}},
    {{3, 100000}, {}, {3, 1}, {}},              // several pieces
    {{70000, 3}, {}, {1, 3}, {}},
    {{1500, 1100}, {}, {1, 1100}, {}},
    {{2, 300, 700}, {}, {1, 1, 1}, {}},
    {{2, 300, 700}, {300000, 900, 1}, {1, 1, 1}, {}},
};

void floats() {
  for (const Pattern& p : kPatterns)
    for (DType t : {DType::f32, DType::bf16, DType::f16})
      for (int64_t op = 0; op < kReduceOps; op++) {
        const auto o = static_cast<ReduceOp>(op);
        Tensor x(t, p.sizes, p.strides);
        const int64_t n = x.numel();
        if (n > 50000 && t == DType::f16) continue;
        // Products stay in range: factors near 1, and few of them.
        x.fill([&](int64_t i) { return o == ReduceOp::prod ? 1 + 0.001 * std::sin(static_cast<double>(i)) : std::sin(static_cast<double>(i)) + 0.3; });
        Tensor shape(DType::f32, p.result, p.resultStrides);
        std::vector<double> expected = reference(o, x, shape);
        const double count = shape.numel() ? static_cast<double>(n) / static_cast<double>(shape.numel()) : 0;
        for (DType yt : {DType::f32, t})
          for (bool accumulate : {false, true}) {
            if (accumulate && (t != DType::f32 || o == ReduceOp::max || o == ReduceOp::min || count == 0)) continue;
            std::string bits;
            for (int threads : {1, 3})
              for (const Kernel& k : WW_ENTRIES(Reduce)) {
                if (threads == 3 && k.isa != WW_ENTRIES(Reduce).back().isa) continue;
                Tensor y(yt, p.result, p.resultStrides);
                if (accumulate) y.fill([](int64_t) { return 3; });
                TestContext c(threads);
                c.run(k, Reduce{x.in(), y.grad(accumulate), op});
                std::vector<double> e = expected;
                if (accumulate) for (double& v : e) v += 3;
                double absolute = o == ReduceOp::sum || o == ReduceOp::sumOfSquares ? count * 3e-8 : 1e-7;
                if (o == ReduceOp::prod) absolute = std::fmax(1, count) * 1e-7;
                close(std::string(k.isa) + " " + kNames[op] + " " + nameOf(t) + " of pattern " + std::to_string(&p - kPatterns.data()), y, e, roundingOf(yt) * 1.01 + 1e-7, absolute);
                if (threads == 1) bits = y.bits();
                else expect(bits == y.bits(), "%s %s differs with threads", k.isa, kNames[op]);
              }
          }
      }
}

void integers() {
  for (const Pattern& p : kPatterns)
    for (DType t : {DType::i32, DType::i64, DType::u8, DType::b8})
      for (ReduceOp o : {ReduceOp::sum, ReduceOp::max, ReduceOp::min, ReduceOp::prod}) {
        Tensor x(t, p.sizes, p.strides);
        x.fill([&](int64_t i) { return t == DType::b8 ? i % 3 == 0 : o == ReduceOp::prod ? 1 + (i % 997 == 0) : static_cast<double>(i % 11); });
        Tensor shape(DType::i64, p.result, p.resultStrides);
        const std::vector<double> expected = reference(o, x, shape);
        bool representable = true;
        for (double v : expected) representable = representable && std::fabs(v) < 9e15;
        if (!representable) continue;
        for (const Kernel& k : WW_ENTRIES(Reduce)) {
          Tensor y(DType::i64, p.result, p.resultStrides);
          TestContext c(2);
          c.run(k, Reduce{x.in(), y.grad(), static_cast<int64_t>(o)});
          close(std::string(k.isa) + " " + kNames[static_cast<int>(o)] + " " + nameOf(t), y, expected, 0);
        }
      }
  // any and all: max and min of bool.
  Tensor x(DType::b8, {3, 100});
  x.fill([](int64_t i) { return i < 100 ? 1 : i == 150; });
  for (const Kernel& k : WW_ENTRIES(Reduce)) {
    Tensor y(DType::b8, {3, 1});
    TestContext c;
    c.run(k, Reduce{x.in(), y.grad(), static_cast<int64_t>(ReduceOp::max)});
    close(std::string(k.isa) + " any", y, {1, 1, 0}, 0);
    c.run(k, Reduce{x.in(), y.grad(), static_cast<int64_t>(ReduceOp::min)});
    close(std::string(k.isa) + " all", y, {1, 0, 0}, 0);
    Tensor nothing(DType::b8, {3, 0});
    c.run(k, Reduce{nothing.in(), y.grad(), static_cast<int64_t>(ReduceOp::max)});
    close(std::string(k.isa) + " any of nothing", y, {0, 0, 0}, 0);
    c.run(k, Reduce{nothing.in(), y.grad(), static_cast<int64_t>(ReduceOp::min)});
    close(std::string(k.isa) + " all of nothing", y, {1, 1, 1}, 0);
  }
}

// A float32 running sum of ten million times 0.1 is off by a tenth; ours must be exact to rounding, along and across.
void longSums() {
  const int64_t n = 10000000;
  Tensor x(DType::f32, {n, 1});
  for (int64_t i = 0; i < n; i++) x.view().as<float>()[i] = 0.1f;
  View columns = x.view();
  columns.sizes[0] = n / 4;
  columns.sizes[1] = 4;
  columns.strides[0] = 4;
  for (const Kernel& k : WW_ENTRIES(Reduce)) {
    Tensor y(DType::f32, {1, 1}), z(DType::f32, {1, 4});
    TestContext c(2);
    c.run(k, Reduce{x.in(), y.grad(), 0});
    close(std::string(k.isa) + " long sum", y, {1e6 * (1 + 1.49e-8)}, 2.5e-7);
    c.run(k, Reduce{In{columns}, z.grad(), 0});
    close(std::string(k.isa) + " long column sums", z, std::vector<double>(4, 2.5e5 * (1 + 1.49e-8)), 2.5e-7);
  }
}

void specials() {
  for (int64_t at : {int64_t{0}, int64_t{5}, int64_t{16}, int64_t{99}, int64_t{131}})
    for (bool across : {false, true})
      for (const Kernel& k : WW_ENTRIES(Reduce)) {
        Tensor x(DType::f32, across ? std::vector<int64_t>{132, 20} : std::vector<int64_t>{20, 132});
        x.fill([](int64_t i) { return -std::fabs(std::sin(static_cast<double>(i))) - 1; });
        for (int64_t j = 0; j < 20; j++) x.set(across ? at * 20 + j : j * 132 + at, j % 3 == 0 ? static_cast<double>(NAN) : j % 3 == 1 ? -static_cast<double>(INFINITY) : 5);
        Tensor y(DType::f32, across ? std::vector<int64_t>{1, 20} : std::vector<int64_t>{20, 1});
        TestContext c;
        for (ReduceOp o : {ReduceOp::max, ReduceOp::min, ReduceOp::sum}) {
          c.run(k, Reduce{x.in(), y.grad(), static_cast<int64_t>(o)});
          close(std::string(k.isa) + " " + kNames[static_cast<int>(o)] + " with NaN and infinity", y, reference(o, x, y), 1e-6);
        }
      }
}

}  // namespace

int main() {
  floats();
  integers();
  longSums();
  specials();
  return report("reduce");
}
