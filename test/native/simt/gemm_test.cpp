// Every kernel of cuda/gemm, whatever the plan would take for a size: tiles, layouts, parts of the depth, edges. On integers, whose sums are exact in float32, so that
// any wrong element shows. Then what the plan takes for sizes of real models, and mistakes in the pipeline that have to be noticed.
#include "planned_product.hpp"

using namespace warpweft;
using namespace warpweft::cuda;
using namespace warpweft::cuda::gemm;
using namespace warpweft::test;

namespace {

enum class Form { depth, lines, misaligned, spread };   // adjacent along k, across it, rows at odd multiples of an element, no stride of 1
constexpr Form kForms[] = {Form::depth, Form::lines, Form::misaligned, Form::spread};
constexpr const char* kFormNames[] = {"depth", "lines", "misaligned", "spread"};

// Lines by depth, `batch` of them; as a matrix [lines, depth], or [depth, lines] where it is b.
Tensor operand(DType t, int64_t batch, int64_t lines, int64_t K, Form form, bool isB) {
  int64_t line = (K + 7) / 8 * 8, depth = 1, one = lines * line, offset = 0;
  if (form == Form::lines) line = 1, depth = (lines + 7) / 8 * 8, one = K * depth;
  if (form == Form::misaligned) line = K + K % 2 + 1, one = lines * line, offset = 1;
  if (form == Form::spread) depth = 2, line = 2 * K + 1, one = lines * line;
  Tensor x(t, isB ? std::vector<int64_t>{batch, K, lines} : std::vector<int64_t>{batch, lines, K},
           isB ? std::vector<int64_t>{one, depth, line} : std::vector<int64_t>{one, line, depth}, offset);
  x.fill([&](int64_t i) { return static_cast<double>((i * 7 + i / 11 * (isB ? 5 : 3) + i / 97) % 9 - 4); });
  return x;
}

std::vector<double> productOf(const Tensor& a, const Tensor& b, int64_t batch, int64_t M, int64_t N, int64_t K) {
  const std::vector<double> A = a.values(), B = b.values();
  std::vector<double> c(static_cast<size_t>(batch * M * N));
  for (int64_t p = 0; p < batch; p++)
    for (int64_t i = 0; i < M; i++)
      for (int64_t k = 0; k < K; k++)
        for (int64_t j = 0; j < N; j++) c[static_cast<size_t>((p * M + i) * N + j)] += A[static_cast<size_t>((p * M + i) * K + k)] * B[static_cast<size_t>((p * K + k) * N + j)];
  return c;
}

Matmul plain(const Tensor& a, const Tensor& b, const Tensor& c, bool accumulate) {
  return {a.in(), b.in(), c.grad(accumulate), absentIn(), absentOut(), absentIn(), absentGrad(), 0, 1};
}

template <class T> void product(const char* what, TileChoice tile, int64_t splits, int64_t batch, int64_t M, int64_t N, int64_t K, Form formA, Form formB, bool tf32 = false) {
  const Tensor a = operand(dtypeOf<T>, batch, M, K, formA, false), b = operand(dtypeOf<T>, batch, N, K, formB, true);
  std::vector<double> expected = productOf(a, b, batch, M, N, K);
  for (double& v : expected) v += 2;
  std::string bits[2];
  for (int turn : {0, 1}) {
    simt::setOrder(turn ? simt::Order::reverse : simt::Order::forward);
    Tensor c(DType::f32, {batch, M, N});
    c.fill([](int64_t) { return 2; });
    Problem p = problemOf(plain(a, b, c, true));
    p.tf32 = tf32;
    multiplyBy<T>({tile, splits}, p);
    const std::string name = std::string(tf32 ? "tf32" : nameOf(dtypeOf<T>)) + " " + what + " tile, " + std::to_string(splits) + " parts, " + std::to_string(batch) + " x [" + std::to_string(M) + ", " +
                             std::to_string(K) + "] [" + std::to_string(K) + ", " + std::to_string(N) + "], " + kFormNames[static_cast<int>(formA)] + " " + kFormNames[static_cast<int>(formB)];
    close(name, c, expected, 0);
    bits[turn] = c.bits();
  }
  expect(bits[0] == bits[1], "bits depend on the order of the fibers");
}

template <class T> void products(bool tf32 = false) {
  struct Sizes { const char* name; TileChoice tile; int64_t M, N, K; };
  // A tile and a bit of the next, down and across; depths that are no multiple of a step.
  for (const Sizes& s : {Sizes{"large", TileChoice::large, 133, 138, 83}, {"small", TileChoice::small, 70, 67, 150}, {"few", TileChoice::few, 11, 133, 300}}) {
    for (const Form formA : kForms)
      for (const Form formB : kForms) {
        product<T>(s.name, s.tile, 1, 1, s.M, s.N, s.K, formA, formB, tf32);
        product<T>(s.name, s.tile, 1, 1, 65, 257, 1, formA, formB, tf32);   // rows behind the only one are not even addressed askew
      }
    product<T>(s.name, s.tile, 3, 1, s.M, s.N, s.K, Form::depth, Form::lines, tf32);
    product<T>(s.name, s.tile, 2, 1, s.M, s.N, s.K, Form::lines, Form::lines, tf32);
    product<T>(s.name, s.tile, 32, 1, 9, 5, 40, Form::depth, Form::depth, tf32);   // parts of nothing
    product<T>(s.name, s.tile, 1, 3, 20, 24, 24, Form::depth, Form::depth, tf32);
    product<T>(s.name, s.tile, 1, 3, 17, 9, 7, Form::lines, Form::misaligned, tf32);
    for (const int64_t K : {0, 1, 16, 31, 32, 33, 64, 65}) product<T>(s.name, s.tile, 1, 1, 16, 8, K, Form::depth, Form::depth, tf32);
  }
  product<T>("small", TileChoice::small, 1, 1, 64 * 10 + 1, 64 + 1, 8, Form::depth, Form::depth, tf32);   // more than a group of tiles down
}

// What tensor cores make of float32: operands rounded to 10 bits of fraction, ties away from zero, and nothing else lost. A row of each kind of operand.
void tf32Rounding() {
  const auto rounded = [](double v) {
    const auto f = static_cast<float>(v);
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    bits = (bits + 0x1000u) & ~0x1FFFu;   // half of the last bit that stays is added to the magnitude
    float r;
    std::memcpy(&r, &bits, 4);
    return static_cast<double>(r);
  };
  expect(rounded(1 + 0x1p-11) == 1 + 0x1p-10 && rounded(-1 - 0x1p-11) == -1 - 0x1p-10 && rounded(1 + 0x1.8p-12) == 1, "the test's own rounding");
  constexpr int64_t M = 70, N = 66, K = 40;
  for (const TileChoice tile : {TileChoice::large, TileChoice::small})
    for (const Form formA : kForms)
      for (const Form formB : kForms) {
        Tensor a = operand(DType::f32, 1, M, K, formA, false), b = operand(DType::f32, 1, N, K, formB, true), c(DType::f32, {1, M, N});
        a.fill([](int64_t i) { return i % 5 == 0 ? (i % 2 ? 1 : -1) * (1 + 0x1p-11 + static_cast<double>(i % 64) * 0x1p-10) : std::sin(static_cast<double>(i)); });   // ties, and others
        b.fill([](int64_t i) { return std::cos(static_cast<double>(7 * i)); });
        std::vector<double> A = a.values(), B = b.values(), expected(M * N), exact(M * N);
        for (int64_t i = 0; i < M; i++)
          for (int64_t k = 0; k < K; k++)
            for (int64_t j = 0; j < N; j++) {
              const auto x = A[static_cast<size_t>(i * K + k)], y = B[static_cast<size_t>(k * N + j)];
              expected[static_cast<size_t>(i * N + j)] += rounded(x) * rounded(y);
              exact[static_cast<size_t>(i * N + j)] += x * y;
            }
        Problem p = problemOf(plain(a, b, c, false));
        p.tf32 = true;
        multiply<float>(p, {tile, 1}, nullptr, nullptr);
        close("tf32 rounding, " + std::string(kFormNames[static_cast<int>(formA)]) + " " + kFormNames[static_cast<int>(formB)], c, expected, 1e-6, 1e-5);
        double most = 0;
        for (size_t i = 0; i < exact.size(); i++) most = std::fmax(most, std::fabs(c.get(static_cast<int64_t>(i)) - exact[i]));
        expect(most > 1e-4, "tf32 is asked for, and float32 came: %g", most);
        p.tf32 = false;
        multiply<float>(p, {tile, 1}, nullptr, nullptr);
        close("float32 where tf32 is not asked for", c, exact, 1e-6, 1e-5);
      }
}

void plans() {
  DeviceInfo info{};
  info.capability = 80;
  info.multiprocessors = 128;
  const auto planFor = [&](DType t, int64_t M, int64_t N, int64_t K, int64_t batch = 1) {
    Problem p{};
    p.M = M, p.N = N, p.K = K, p.type = t, p.a = {nullptr, K, 1}, p.b = {nullptr, K, 1}, p.batch.count = batch;
    return planOf(p, info);
  };
  for (const DType t : {DType::f32, DType::bf16, DType::f16}) {
    const Plan square = planFor(t, 4096, 4096, 4096), decode = planFor(t, 1, 4096, 4096), gradient = planFor(t, 768, 768, 16384), batched = planFor(t, 64, 64, 64, 1024);
    expect(square.tile == TileChoice::large && square.splits == 1, "%s: [4096]^3 takes another tile than the large one, or %lld parts", nameOf(t), static_cast<long long>(square.splits));
    expect(decode.tile == TileChoice::few && decode.splits > 1, "%s: a row times [4096, 4096] takes another tile than that of few rows, or one part", nameOf(t));
    expect(gradient.splits > 1, "%s: the gradient of a weight [768, 768] over 16384 rows is not split", nameOf(t));
    expect(batched.tile == TileChoice::small && batched.splits == 1, "%s: 1024 products of [64]^3 take another tile than the small one", nameOf(t));
  }
}

// The pipeline with one mistake each.
struct NoBarrier : Ring<SmallTile::kStages> {
  static void turn() { cpAsyncWait<SmallTile::kStages - 2>(); }
};
struct WaitTooEarly : Ring<SmallTile::kStages> {
  static void turn() { cpAsyncWait<SmallTile::kStages - 1>(), barrier(); }
};
struct WrongLane : Ring<SmallTile::kStages> {   // two rows of each matrix are exchanged
  static int laneOfFragment() { return static_cast<int>(lane()) ^ (lane() % 8 < 2 ? 1 : 0); }
};
struct StepTooFew : Ring<SmallTile::kStages> {
  static int64_t stepsOf(int64_t first, int64_t last) { return last - first - 1; }
};

template <class Turns> bool right(simt::Order order) {
  constexpr int64_t M = 70, N = 67, K = 300;
  const Tensor a = operand(DType::bf16, 1, M, K, Form::depth, false), b = operand(DType::bf16, 1, N, K, Form::depth, true), c(DType::f32, {1, M, N});
  const Problem p = problemOf(plain(a, b, c, false));
  const Schedule schedule = scheduleOf(p, {TileChoice::small, 1});
  simt::setOrder(order, 1);
  launch<tensorProduct<bf16, SmallTile, Layout::depth, Layout::depth, Turns>>(nullptr, dim3(static_cast<unsigned>(schedule.blocksOfProduct())), SmallTile::kThreads, SmallTile::kShared,
                                                                              TensorProduct{p.a, p.b, p.M, p.N, p.K, true, true, schedule, p.batch, Epilogue::of(p), {nullptr, 0}});
  return c.values() == productOf(a, b, 1, M, N, K);
}

template <class Turns> bool rightInEveryOrder() {
  return right<Turns>(simt::Order::forward) && right<Turns>(simt::Order::reverse) && right<Turns>(simt::Order::shuffled);
}

void defects() {
  expect(rightInEveryOrder<Ring<SmallTile::kStages>>(), "the product without a defect is wrong");
  expect(!rightInEveryOrder<NoBarrier>(), "a missing barrier between copies and fragments was not noticed");
  expect(!rightInEveryOrder<WaitTooEarly>(), "a wait that is satisfied too early was not noticed");
  expect(!rightInEveryOrder<WrongLane>(), "a fragment of wrong lanes was not noticed");
  expect(!rightInEveryOrder<StepTooFew>(), "a step of depth too few was not noticed");
}

}  // namespace

int main() {
  products<float>();
  products<float>(true);
  tf32Rounding();
  products<bf16>();
  products<f16>();
  plans();
  defects();
  return report("simt gemm");
}
