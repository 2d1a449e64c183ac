// copy and fill: every pair of dtypes, every kind of strides, accumulation, and the rules of conversion.
#include "test_context.hpp"

#include "ops/copy.hpp"
#include "ops/fill.hpp"

WW_DECLARE(Copy)
WW_DECLARE(Fill)

using namespace warpweft;
using namespace warpweft::test;

namespace {

const DType kTypes[] = {DType::f32, DType::f16, DType::bf16, DType::i32, DType::i64, DType::u8, DType::i8, DType::b8};

// What is stored when a value of dtype `from` (already rounded to it) is converted to `to`.
double converted(DType from, DType to, double x) {
  if (to == DType::b8) return x != 0;
  if (isFloat(to)) {
    const float f = static_cast<float>(x);
    return to == DType::f32 ? static_cast<double>(f) : fromHalf(to, halfOf(to, static_cast<double>(f)));
  }
  const double bits = static_cast<double>(sizeOf(to) * 8), least = to == DType::u8 ? 0 : -std::exp2(bits - 1), most = to == DType::u8 ? 255 : std::exp2(bits - 1) - 1;
  if (isFloat(from)) return std::isnan(x) ? 0 : std::fmin(std::fmax(std::trunc(x), least), most);
  if (to == DType::i64) return x;
  const double span = std::exp2(bits), w = std::fmod(x - least, span);
  return (w < 0 ? w + span : w) + least;
}

double sample(DType t, int64_t i) {
  static const double floats[] = {0, -0.0, 1, -1, 0.49, -0.51, 2.999, 127.6, -128.7, 255.4, 300, 70000, 3e9, -3e9, 1e19, -1e19, NAN, INFINITY, -INFINITY, 1e-8};
  static const double integers[] = {0, 1, -1, 5, 127, -128, 255, 256, 32768, -32769, 2147483647., -2147483648., 1099511627777., -1099511627777.};
  if (isFloat(t)) return floats[i % 20];
  const double v = integers[i % 14];
  if (t == DType::b8) return i % 3 == 0;
  return converted(DType::i64, t, v);
}

struct Layout { const char* name; std::vector<int64_t> sizes, x, y; };
const std::vector<Layout> kLayouts = {
    {"scalar", {}, {}, {}},
    {"one", {1}, {}, {}},
    {"contiguous", {3, 1000}, {}, {}},
    {"empty", {3, 0, 5}, {}, {}},
    {"x transposed", {65, 257}, {1, 65}, {}},
    {"y transposed", {257, 65}, {}, {1, 257}},
    {"both transposed", {17, 63}, {1, 17}, {1, 17}},
    {"permuted heads", {2, 5, 3, 17}, {255, 17, 85, 1}, {}},
    {"keys transposed", {2, 3, 17, 33}, {1683, 17, 1, 51}, {}},
    {"reversed order", {7, 6, 5}, {1, 7, 42}, {}},
    {"broadcast rows", {33, 65}, {0, 1}, {}},
    {"broadcast columns", {33, 300}, {1, 0}, {}},
    {"every second", {400}, {2}, {3}},
    {"short rows with gaps", {200, 3}, {7, 1}, {5, 1}},
    {"slices", {40, 300}, {511, 1}, {301, 1}},
    {"eight dimensions", {2, 1, 3, 2, 1, 2, 3, 2}, {1, 1, 2, 6, 1, 12, 24, 72}, {}},
};

void copies() {
  for (const Layout& l : kLayouts)
    for (DType from : kTypes)
      for (DType to : kTypes) {
        Tensor x(from, l.sizes, l.x);
        x.fill([&](int64_t i) { return sample(from, i); });
        std::vector<double> expected;
        for (double v : x.values()) expected.push_back(converted(from, to, v));
        for (const Kernel& k : WW_ENTRIES(Copy)) {
          Tensor y(to, l.sizes, l.y);
          TestContext c(1);
          c.run(k, Copy{x.in(), y.grad()});
          close(std::string(k.isa) + " copy " + nameOf(from) + " to " + nameOf(to) + ", " + l.name, y, expected, 0);
        }
      }
}

void gapsStay() {
  Tensor x(DType::f32, {40, 300});
  x.fill([](int64_t i) { return static_cast<double>(i); });
  for (const Kernel& k : WW_ENTRIES(Copy)) {
    Tensor buffer(DType::bf16, {40, 301});
    buffer.fill([](int64_t) { return 77; });
    View narrow = buffer.view();
    narrow.sizes[1] = 300;
    TestContext c(3);
    c.run(k, Copy{x.in(), Grad{{narrow}, false}});
    for (int r = 0; r < 40; r++) expect(buffer.get(r * 301 + 300) == 77, "%s copy wrote into the gap behind row %d", k.isa, r);
  }
}

void accumulates() {
  for (const Layout& l : kLayouts)
    for (DType from : {DType::f32, DType::bf16, DType::f16})
      for (DType to : {DType::f32, DType::bf16, DType::f16}) {
        Tensor x(from, l.sizes, l.x);
        x.fill([](int64_t i) { return std::sin(static_cast<double>(i)); });
        std::vector<double> expected;
        for (int64_t i = 0; i < x.numel(); i++) expected.push_back(x.get(i) + 0.5 * static_cast<double>(i % 7));
        for (const Kernel& k : WW_ENTRIES(Copy)) {
          Tensor y(to, l.sizes, l.y);
          y.fill([](int64_t i) { return 0.5 * static_cast<double>(i % 7); });
          TestContext c(2);
          c.run(k, Copy{x.in(), y.grad(true)});
          close(std::string(k.isa) + " copy accumulating " + nameOf(from) + " into " + nameOf(to) + ", " + l.name, y, expected, roundingOf(to) * 1.01, 1e-7);
        }
      }
}

void large() {
  for (const Kernel& k : WW_ENTRIES(Copy)) {
    Tensor x(DType::f32, {700, 700}, {1, 700}), y(DType::f32, {700, 700}), plain(DType::f32, {700, 700});
    x.fill([](int64_t i) { return static_cast<double>(i); });
    TestContext c(4);
    c.run(k, Copy{x.in(), y.grad()});
    close(std::string(k.isa) + " large transposed copy", y, x.values(), 0);
    c.run(k, Copy{y.in(), plain.grad()});
    expect(plain.bits() == y.bits(), "%s large plain copy differs", k.isa);
  }
}

void fills() {
  for (const Layout& l : kLayouts)
    for (DType t : kTypes)
      for (double value : {0.0, -1.0, 2.75, 300.0, 1e19, -1e19, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        const double expected = converted(DType::f32, t, value);
        for (const Kernel& k : WW_ENTRIES(Fill)) {
          Tensor y(t, l.sizes, l.y);
          TestContext c(2);
          c.run(k, Fill{y.out(), value});
          close(std::string(k.isa) + " fill " + nameOf(t) + " with " + std::to_string(value) + ", " + l.name, y,
                std::vector<double>(static_cast<size_t>(y.numel()), expected), 0);
        }
      }
}

}  // namespace

int main() {
  copies();
  gapsStay();
  accumulates();
  large();
  fills();
  return report("copy");
}
