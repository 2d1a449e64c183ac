// Products by warpgroups (sm_90), whatever the plan would take for a size: both tiles, every way for operands to lie, every epilogue, parts of the depth, batches, edges.
// On integers and halves, whose sums are exact in float32, so that the portable engine gives the same bits. Then what the plan takes, and mistakes in the pipeline.
#include "planned_product.hpp"

namespace warpweft::test {
namespace {

using namespace warpweft::cuda;
using namespace warpweft::cuda::gemm;

constexpr const char* kActivations[] = {"none", "relu", "gelu", "geluTanh", "silu"};

struct Case {
  int64_t batch = 0, M = 0, N = 0, K = 0;
  bool linesA = false, linesB = false, wide = true;   // lines: adjacent across k; wide: results are float32
  int64_t splits = 1, blocks = 3;
  bool bias = false, preactivation = false, derivative = false, accumulate = false, columns = false, broadcast = false;
  int64_t activation = 0;
  double alpha = 1;
};

std::string describe(const char* tile, const Case& x) {
  std::string s = std::string(tile) + ", " + std::to_string(x.batch) + " x [" + std::to_string(x.M) + ", " + std::to_string(x.K) + "] [" + std::to_string(x.K) + ", " + std::to_string(x.N) + "]";
  const std::pair<bool, const char*> flags[] = {{x.linesA, " A across k"}, {x.linesB, " B across k"}, {x.wide, " float32 results"}, {x.bias, " bias"}, {x.preactivation, " preactivation"},
                                               {x.derivative, " derivative"}, {x.accumulate, " accumulate"}, {x.columns, " column-major"}, {x.broadcast, " broadcast"}};
  for (const auto& [on, name] : flags)
    if (on) s += name;
  return s + ", " + std::to_string(x.splits) + " parts, " + std::to_string(x.blocks) + " blocks, " + kActivations[x.activation];
}

// A matrix of the batch whose rows begin at multiples of 16 bytes, NaN between them.
Tensor matrix(DType t, int64_t batch, int64_t rows, int64_t columns, bool transposed, bool broadcast = false) {
  const int64_t pitch = ((transposed ? rows : columns) + 7) / 8 * 8 + 8, one = pitch * std::max<int64_t>(1, transposed ? columns : rows);
  return batch ? Tensor(t, {batch, rows, columns}, {broadcast ? 0 : one, transposed ? 1 : pitch, transposed ? pitch : 1}, 0)
               : Tensor(t, {rows, columns}, {transposed ? 1 : pitch, transposed ? pitch : 1}, 0);
}

// The results of a plan, in two orders.
template <class T> struct Results { std::string c, preactivation; };
template <class T, class F> Results<T> resultsOf(const Case& x, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& derivative, F&& by) {
  const DType out = x.wide ? DType::f32 : dtypeOf<T>;
  Tensor c = matrix(out, x.batch, x.M, x.N, x.columns), kept = x.preactivation ? matrix(out, x.batch, x.M, x.N, x.columns) : Tensor();
  c.fill([](int64_t i) { return static_cast<double>(i % 5) - 2; });
  by(problemOf(Matmul{a.in(), b.in(), c.grad(x.accumulate), bias.in(), kept.out(), derivative.in(), absentGrad(), x.activation, x.alpha}));
  return {c.bits(), x.preactivation ? kept.bits() : ""};
}

template <class T> void compare(const char* name, TileChoice tile, const Case& x) {
  const DType t = dtypeOf<T>, out = x.wide ? DType::f32 : t;
  Tensor a = matrix(t, x.batch, x.M, x.K, x.linesA), b = matrix(t, x.batch, x.K, x.N, !x.linesB, x.broadcast);
  Tensor bias = x.bias ? Tensor(DType::f32, {x.N}) : Tensor(), derivative = x.derivative ? matrix(out, x.batch, x.M, x.N, x.columns) : Tensor();
  a.fill([](int64_t i) { return static_cast<double>((i * 7 + i / 11 * 3 + i / 97) % 9) - 4; });
  b.fill([](int64_t i) { return static_cast<double>((i * 5 + i / 13 * 3 + i / 89) % 7) - 3; });
  if (x.bias) bias.fill([](int64_t i) { return static_cast<double>(i % 11) * 0.25 - 1; });
  if (x.derivative) derivative.fill([](int64_t i) { return static_cast<double>(i % 23) * 0.25 - 2.5; });
  const auto with = [&](const Plan& plan) {
    return resultsOf<T>(x, a, b, bias, derivative, [&](const Problem& p) {
      if (ofWarpgroups(plan.tile)) expect(fitsWarpgroups(p), "%s: warpgroups do not take it", describe(name, x).c_str());
      multiplyBy<T>(plan, p);
    });
  };
  simt::setOrder(simt::Order::forward);
  const Results<T> expected = with({TileChoice::small, 1});
  for (const simt::Order order : {simt::Order::forward, simt::Order::reverse}) {
    simt::setOrder(order);
    const Results<T> got = with({tile, x.splits, x.blocks});
    expect(got.c == expected.c, "%s, order %d: other bits than the portable engine's", describe(name, x).c_str(), static_cast<int>(order));
    expect(got.preactivation == expected.preactivation, "%s, order %d: another preactivation than the portable engine's", describe(name, x).c_str(), static_cast<int>(order));
  }
}

template <class T> void products(const char* name, TileChoice tile) {
  for (const bool linesA : {false, true})
    for (const bool linesB : {false, true}) {
      compare<T>(name, tile, {.M = 133, .N = 266, .K = 140, .linesA = linesA, .linesB = linesB});                      // a bit of the next tile, down, across and along k
      compare<T>(name, tile, {.M = 60, .N = 100, .K = 64, .linesA = linesA, .linesB = linesB, .wide = false});         // one step, stored as boxes
      compare<T>(name, tile, {.M = 200, .N = 330, .K = 72, .linesA = linesA, .linesB = linesB, .wide = false, .blocks = 2, .bias = true, .activation = 1, .alpha = 0.5});
    }
  for (const int64_t K : {1, 63, 65, 64 * 7 + 9}) {
    compare<T>(name, tile, {.M = 5, .N = 9, .K = K});
    compare<T>(name, tile, {.M = 70, .N = 9, .K = K, .linesA = true, .linesB = true, .wide = false, .bias = true});
  }
  // Batches: of their own, of one b, of rows that are no batch at all.
  compare<T>(name, tile, {.batch = 3, .M = 20, .N = 40, .K = 80, .wide = false});
  compare<T>(name, tile, {.batch = 4, .M = 130, .N = 24, .K = 16, .linesA = true, .linesB = true, .blocks = 2, .accumulate = true});
  compare<T>(name, tile, {.batch = 3, .M = 20, .N = 40, .K = 70, .linesA = true, .wide = false, .broadcast = true});
  // Parts of the depth in their order, also more parts than steps: some have none.
  compare<T>(name, tile, {.M = 140, .N = 70, .K = 64 * 5 + 3, .linesA = true, .linesB = true, .splits = 3, .blocks = 4, .accumulate = true});
  compare<T>(name, tile, {.M = 30, .N = 30, .K = 100, .wide = false, .splits = 4, .bias = true, .activation = 2});
  // A result in columns is computed as the product of the transposes: the bias belongs to the rows.
  compare<T>(name, tile, {.M = 70, .N = 90, .K = 40, .wide = false, .bias = true, .columns = true});
  compare<T>(name, tile, {.M = 70, .N = 90, .K = 40, .bias = true, .columns = true, .activation = 3});
  // Rows of c that are no multiples of 16 bytes leave one by one; more blocks than places.
  for (int64_t activation = 0; activation < 5; activation++)
    for (const bool wide : {false, true}) {
      compare<T>(name, tile, {.M = 65, .N = 67, .K = 24, .wide = wide, .blocks = 9, .bias = true, .preactivation = true, .activation = activation});
      compare<T>(name, tile, {.M = 65, .N = 67, .K = 24, .wide = wide, .derivative = true, .accumulate = activation % 2 == 0, .activation = activation, .alpha = -0.5});
      compare<T>(name, tile, {.M = 65, .N = 67, .K = 24, .wide = wide, .accumulate = true, .activation = activation});
      compare<T>(name, tile, {.M = 65, .N = 67, .K = 24, .wide = wide, .bias = true, .activation = activation, .alpha = 0.25});
    }
}

void plans() {
  DeviceInfo info{};
  info.capability = 90;
  info.multiprocessors = 132;
  static bf16 somewhere alignas(16)[8];
  const auto planFor = [&](DType t, int64_t M, int64_t N, int64_t K, int64_t batch = 1, int64_t line = 0) {
    Problem p{};
    p.M = M, p.N = N, p.K = K, p.type = t, p.a = {somewhere, line ? line : K, 1}, p.b = {somewhere, K, 1}, p.batch.count = batch;
    if (batch > 1) p.batch.rank = 1, p.batch.sizes[0] = batch, p.batch.strides[0][kA] = M * K, p.batch.strides[0][kB] = N * K;
    return planOf(p, info);
  };
  for (const DType t : {DType::bf16, DType::f16}) {
    expect(planFor(t, 8192, 8192, 8192).tile == TileChoice::wideGroups, "%s: [8192]^3 takes another tile than the wide one", nameOf(t));
    expect(planFor(t, 16384, 768, 768).blocks == 132, "%s: not one block a multiprocessor", nameOf(t));
    expect(ofWarpgroups(planFor(t, 16384, 2304, 768).tile) && ofWarpgroups(planFor(t, 16384, 768, 3072).tile), "%s: products of GPT-2 are not of warpgroups", nameOf(t));
    const Plan gradient = planFor(t, 768, 768, 16384);
    expect(ofWarpgroups(gradient.tile) && gradient.splits > 1, "%s: the gradient of a weight [768, 768] over 16384 rows is not split among warpgroups", nameOf(t));
    expect(planFor(t, 1, 4096, 4096).tile == TileChoice::few, "%s: a row times [4096, 4096] takes another tile than that of few rows", nameOf(t));
    expect(!ofWarpgroups(planFor(t, 64, 64, 64, 1024).tile), "%s: 1024 products of [64]^3 are of warpgroups", nameOf(t));
    expect(!ofWarpgroups(planFor(t, 4096, 4096, 0).tile), "%s: a depth of 0 is of warpgroups", nameOf(t));
    expect(!ofWarpgroups(planFor(t, 4096, 4096, 4096, 1, 4097).tile), "%s: rows at odd multiples of an element are brought in by TMA", nameOf(t));
  }
  expect(!ofWarpgroups(planFor(DType::f32, 4096, 4096, 4096).tile), "float32 is of warpgroups");
  info.capability = 80;
  expect(!ofWarpgroups(planFor(DType::bf16, 8192, 8192, 8192).tile), "sm_80 has warpgroups");
}

// The pipeline with one mistake each.
struct Early : WarpgroupRules { static constexpr bool kReleasesEarly = true; };
struct Astray : WarpgroupRules { static constexpr uint32_t kAstray = 16; };
struct Flipped : WarpgroupRules { static constexpr uint32_t kFlip = 1; };
struct Unfenced : WarpgroupRules { static void fence() {} };

template <class Rules> bool right(int64_t K) {
  const Tensor a = matrix(DType::bf16, 0, 100, K, false), b = matrix(DType::bf16, 0, K, 90, true), c = matrix(DType::bf16, 0, 100, 90, false);
  const_cast<Tensor&>(a).fill([](int64_t i) { return static_cast<double>(i % 9) - 4; });
  const_cast<Tensor&>(b).fill([](int64_t i) { return static_cast<double>(i % 7) - 3; });
  std::string bits[2];
  const Problem p = problemOf(Matmul{a.in(), b.in(), c.grad(), absentIn(), absentOut(), absentIn(), absentGrad(), 0, 1});
  simt::setOrder(simt::Order::forward);
  multiply<bf16>(p, {TileChoice::small, 1}, nullptr, nullptr);
  const std::string expected = c.bits();
  try {
    for (const auto& o : kOrders) {
      simt::setOrder(o.order, o.seed);
      const_cast<Tensor&>(c).fill([](int64_t) { return 9; });
      multiplyByGroups<bf16, Rules>(p, {TileChoice::wideGroups, 1, 1}, nullptr, nullptr);
      if (c.bits() != expected) return false;
    }
  } catch (const simt::Error&) {
    return false;
  }
  return true;
}

void mistakes() {
  constexpr int64_t K = 64 * 11;
  expect(right<WarpgroupRules>(K) && right<WarpgroupRules>(64), "the product without a mistake is wrong");
  expect(!right<Early>(K), "a stage that is released before its products are over was not noticed");
  expect(!right<Astray>(K), "a descriptor that is off was not noticed");
  expect(!right<Flipped>(K), "a wait for the wrong phase was not noticed");
  expect(!right<Unfenced>(K), "results that were not fenced before they are stored were not noticed");
}

}  // namespace
}  // namespace warpweft::test

int main() {
  using namespace warpweft::test;
  using warpweft::cuda::gemm::TileChoice;
  warpweft::simt::setArchitecture(90);
  products<warpweft::bf16>("bf16 128 x 256", TileChoice::wideGroups);
  products<warpweft::bf16>("bf16 128 x 128", TileChoice::squareGroups);
  products<warpweft::f16>("f16 128 x 128", TileChoice::squareGroups);
  plans();
  mistakes();
  return report("simt gemm by warpgroups");
}
