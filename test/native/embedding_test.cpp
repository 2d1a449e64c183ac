#include "ops/embedding.hpp"

#include "random_tensors.hpp"

WW_DECLARE(Embedding)
WW_DECLARE(EmbeddingBackward)

using namespace warpweft;
using namespace warpweft::test;

namespace {

Tensor idsOf(DType t, int64_t N, int64_t V, bool frequent) {
  return filled(Tensor(t, {N}), [&](int64_t n) { return static_cast<double>(frequent && n % 3 ? 1 % V : (n * 7919 + 5) % V); });
}

void lookup(const Kernel& k, DType w, DType y, int64_t N, int64_t V, int64_t C, bool strided) {
  char what[160];
  std::snprintf(what, sizeof what, "embedding %s %s to %s, %lld of [%lld, %lld]%s", k.isa, nameOf(w), nameOf(y), static_cast<long long>(N), static_cast<long long>(V),
                static_cast<long long>(C), strided ? " strided" : "");
  const Tensor weight = randomRows(w, V, C, strided), ids = idsOf(N % 2 ? DType::i32 : DType::i64, N, V, false), out = rows(y, N, C, strided);
  TestContext c(3);
  c.run(k, Embedding{ids.in(), weight.in(), out.out(), strided ? 3. : 1.});
  std::vector<double> expected;
  for (int64_t n = 0; n < N; n++)
    for (int64_t i = 0; i < C; i++) expected.push_back(weight.get(static_cast<int64_t>(ids.get(n)) * C + i) * (strided ? 3 : 1));
  close(what, out, expected, w == y && !strided ? 0 : roundingOf(y), y == DType::f16 ? 3.1e-8 : 0);
  expect(c.faults == 0, "%s: fault reported for good ids", what);
}

void backward(const Kernel& k, DType t, int64_t N, int64_t V, int64_t C, bool strided, bool frequent, bool accumulate, int64_t padding) {
  char what[160];
  std::snprintf(what, sizeof what, "embeddingBackward %s %s, %lld of [%lld, %lld]%s%s%s padding %lld", k.isa, nameOf(t), static_cast<long long>(N), static_cast<long long>(V),
                static_cast<long long>(C), strided ? " strided" : "", frequent ? " frequent" : "", accumulate ? " accumulate" : "", static_cast<long long>(padding));
  const Tensor ids = idsOf(N % 2 ? DType::i32 : DType::i64, N, V, frequent), dy = randomRows(t, N, C, strided);
  Tensor dweight[2] = {rows(DType::f32, V, C, strided), rows(DType::f32, V, C, strided)};
  for (int threads : {1, 3}) {
    if (accumulate) dweight[threads > 1].fill([](int64_t i) { return static_cast<double>(i % 5) - 2; });
    TestContext(threads).run(k, EmbeddingBackward{dy.in(), ids.in(), dweight[threads > 1].grad(accumulate), 2.5, padding});
  }
  expect(dweight[0].bits() == dweight[1].bits(), "%s: bits depend on threads", what);
  std::vector<double> expected(static_cast<size_t>(V * C));
  for (int64_t n = 0; n < N; n++) {
    const auto v = static_cast<int64_t>(ids.get(n));
    if (v != padding) for (int64_t i = 0; i < C; i++) expected[static_cast<size_t>(v * C + i)] += 2.5 * dy.get(n * C + i);
  }
  for (size_t i = 0; i < expected.size(); i++) expected[i] += accumulate ? static_cast<double>(i % 5) - 2 : 0;
  close(what, dweight[0], expected, 3e-7, 2e-6 * std::sqrt(static_cast<double>(N)));
}

void faults(const Kernel& k, const Kernel& back) {
  const double given[6] = {2, -1, 0, 7, 6, 2};
  const Tensor ids = filled(Tensor(DType::i64, {2, 3}), [&](int64_t n) { return given[n]; }), weight = randomRows(DType::f32, 7, 19, false), y(DType::f32, {2, 3, 19});
  TestContext c(1);
  c.run(k, Embedding{ids.in(), weight.in(), y.out(), 1});
  expect(c.reported(2) && c.faultPosition == 1 && c.faultValue == -1 && c.faultSize == 7, "%s: %lld faults, first at %lld", k.isa, static_cast<long long>(c.faults), static_cast<long long>(c.faultPosition));
  for (int64_t i = 0; i < 19; i++)
    expect(y.get(19 + i) == 0 && y.get(57 + i) == 0 && y.get(76 + i) == weight.get(114 + i), "%s: row of a bad id is %g", k.isa, y.get(19 + i));
  const Tensor dweight(DType::f32, {7, 19});
  c.run(back, EmbeddingBackward{y.in(), ids.in(), dweight.grad(), 1, -1});
  expect(c.reported(2), "%s: %lld faults in backward", k.isa, static_cast<long long>(c.faults));
  for (int64_t i = 0; i < 19; i++) expect(dweight.get(19 + i) == 0 && dweight.get(38 + i) == 2 * weight.get(38 + i), "%s: gradient beside bad ids is wrong", k.isa);
  // No ids: all gradients are zero. No rows of weight: every id is a fault.
  const Tensor noIds(DType::i64, {0}), none(DType::f32, {0, 19}), empty(DType::f32, {0, 19});
  c.run(k, Embedding{noIds.in(), weight.in(), none.out(), 1});
  c.run(back, EmbeddingBackward{none.in(), noIds.in(), dweight.grad(), 1, -1});
  for (int64_t i = 0; i < dweight.numel(); i++) expect(dweight.get(i) == 0, "%s: gradient without ids is %g", k.isa, dweight.get(i));
  c.run(k, Embedding{ids.in(), empty.in(), y.out(), 1});
  expect(c.reported(6), "%s: %lld faults of 6 ids without a row", k.isa, static_cast<long long>(c.faults));
  c.run(back, EmbeddingBackward{y.in(), ids.in(), empty.grad(), 1, 0});
}

}  // namespace

int main() {
  const auto forwards = WW_ENTRIES(Embedding), backwards = WW_ENTRIES(EmbeddingBackward);
  for (size_t k = 0; k < forwards.size(); k++) {
    for (int64_t C : {1, 3, 17, 63, 65, 257, 1000})
      for (int64_t N : {1, 17, 257})
        for (int64_t V : {1, 5, 300})
          for (bool strided : {false, true}) {
            for (DType w : kFloatTypes)
              for (DType y : kFloatTypes) if (N < 257 || C < 257) lookup(forwards[k], w, y, N, V, C, strided);
            for (DType t : kFloatTypes) backward(backwards[k], t, N, V, C, strided, N == 257, V == 5, V == 300 ? 5 : -1);
          }
    lookup(forwards[k], DType::f32, DType::bf16, 500, 40, 300, false);
    backward(backwards[k], DType::f32, 5000, 40, 300, false, true, false, 1);
    backward(backwards[k], DType::f32, 5000, 40, 300, false, true, true, -1);
    faults(forwards[k], backwards[k]);
  }
  return report("embedding");
}
