// A test of the tests: kernels with one mistake each, of the kinds that real kernels have had. The emulator has to notice every one of them, and the same kernel
// without the mistake has to pass in every order.
#include "simt_test.hpp"

using namespace warpweft;
using namespace warpweft::cuda;
using namespace warpweft::test;

namespace {

enum class Defect { none, noBarrierAfterWait, noBarrierBeforeReuse, waitTooEarly, noCommit, wrongLane, wrongHalf, tooFewTiles, tooManyRows };

// C [M, N] = A [M, K] B^T, B [N, K], of a block of 32 rows and 8 columns by two warps: copies of two stages, ldmatrix, mma. K is a multiple of 8.
template <Defect kDefect> __global__ void product(const bf16* a, const bf16* b, float* c, int M, int N, int K) {
  WW_SHARED(bf16, as, [2][32][16]);
  WW_SHARED(bf16, bs, [2][8][16]);
  const int t = static_cast<int>(threadIdx.x), l = static_cast<int>(lane()), warp = static_cast<int>(warpOfBlock());
  const int m0 = static_cast<int>(blockIdx.x) * 32, n0 = static_cast<int>(blockIdx.y) * 8;
  const auto issue = [&](int tile) {
    const int k = tile * 16 + t % 2 * 8, row = m0 + t / 2, column = n0 + t / 2, stage = tile % 2;
    const auto valid = [&](bool inside) { return inside && k < K ? 16u : 0u; };
    const bool rowInside = row < M + (kDefect == Defect::tooManyRows);
    cpAsync(&as[stage][t / 2][t % 2 * 8], valid(rowInside) ? a + row * K + k : a, valid(rowInside));
    if (t < 16) cpAsync(&bs[stage][t / 2][t % 2 * 8], valid(column < N) ? b + column * K + k : b, valid(column < N));
    if (kDefect != Defect::noCommit) cpAsyncCommit();
  };
  const int tiles = kDefect == Defect::tooFewTiles ? K / 16 : (K + 15) / 16;
  float sum[4] = {0, 0, 0, 0};
  issue(0);
  for (int k = 0; k < tiles; k++) {
    issue(k + 1);   // beyond the last tile: zeros
    cpAsyncWait<kDefect == Defect::waitTooEarly ? 2 : 1>();
    if (kDefect != Defect::noBarrierAfterWait) barrier();
    uint32_t fa[4], fb[2];
    const int row = kDefect == Defect::wrongLane ? l / 2 : l % 16, half = kDefect == Defect::wrongHalf ? l / 8 % 2 : l / 16;
    ldmatrix<4>(fa, &as[k % 2][16 * warp + row][8 * half]);
    ldmatrix<2>(fb, &bs[k % 2][l % 8][8 * (l / 8 % 2)]);
    mma<bf16>(sum, fa, fb);
    if (kDefect != Defect::noBarrierBeforeReuse) barrier();
  }
  cpAsyncWaitAll();
  for (int i = 0; i < 4; i++) {
    const int row = m0 + 16 * warp + l / 4 + 8 * (i / 2), column = n0 + 2 * (l % 4) + i % 2;
    if (row < M && column < N) c[row * N + column] = sum[i];
  }
}

// Whether the product is right in every order, on integers: exact, so that any wrong element shows.
template <Defect kDefect> bool right() {
  constexpr int M = 37, N = 11, K = 56;
  const auto a = std::make_unique<bf16[]>(M * K), b = std::make_unique<bf16[]>(N * K);
  for (int i = 0; i < M * K; i++) a[static_cast<size_t>(i)] = fromFloat<bf16>(static_cast<float>((i * 7 + i / K) % 15 - 7));
  for (int i = 0; i < N * K; i++) b[static_cast<size_t>(i)] = fromFloat<bf16>(static_cast<float>((i * 5 + i / K) % 13 - 6));
  for (const auto& o : kOrders) {
    simt::setOrder(o.order, o.seed);
    std::vector<float> c(M * N, NAN);
    run<product<kDefect>>(dim3(2, 2), 64, 0, static_cast<const bf16*>(a.get()), static_cast<const bf16*>(b.get()), c.data(), M, N, K);
    for (int i = 0; i < M; i++)
      for (int j = 0; j < N; j++) {
        float e = 0;
        for (int k = 0; k < K; k++) e += toFloat(a[static_cast<size_t>(i * K + k)]) * toFloat(b[static_cast<size_t>(j * K + k)]);
        if (!(c[static_cast<size_t>(i * N + j)] == e)) return false;
      }
  }
  return true;
}

// One thread too few brings its value, and others.
__global__ void sumOfSome(float* out, int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  out[threadIdx.x] = warpSum(1.f);
}
__global__ void barrierAfterReturn(float* out, int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  barrier();
  out[threadIdx.x] = 1;
}
__global__ void barrierInBranches(float* out) {
  if (threadIdx.x < 32) barrier();
  else
    barrier();
  out[threadIdx.x] = 1;
}
__global__ void collectivesInBranches(float* out) {
  float v;
  if (lane() < 16) v = shuffleXor(1.f, 1);
  else
    v = shuffleXor(2.f, 1);
  out[threadIdx.x] = v;
}
__global__ void outsideOfMask(float* out) { out[threadIdx.x] = shuffleXor(1.f, 1, 0x0000FFFFu); }
__global__ void neverMet(float* out) {
  if (threadIdx.x < 32) barrier(1, 64);
  else
    barrier(2, 64);
  out[threadIdx.x] = 1;
}
__global__ void misaligned(const float* x, float* y) { store(y, load<4>(x + 1)); }
__global__ void misalignedCopy(const float* x, float* y) {
  WW_SHARED(float, tile, [8]);
  cpAsync(&tile[1], x);
  cpAsyncWaitAll();
  y[0] = tile[1];
}
__global__ void misalignedMatrix(float* y) {
  WW_SHARED(bf16, tile, [8][12]);   // rows of 24 bytes
  uint32_t r[1];
  ldmatrix<1>(r, &tile[lane() % 8][0]);
  y[lane()] = toFloat(bf16{static_cast<uint16_t>(r[0])});
}
__global__ void partOfAWarp(float* y) {
  float c[4] = {0, 0, 0, 0};
  const uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
  mma<bf16>(c, a, b);
  y[threadIdx.x] = c[0];
}
__global__ void tooMuchShared(float* y) {
  WW_SHARED(float, a, [64][128]);
  WW_SHARED(float, b, [64][128]);
  a[0][0] = b[0][0] = y[0];
}
__global__ void readsWhatNobodyWrote(float* y) {
  WW_SHARED(float, tile, [32]);
  if (lane() < 31) tile[lane()] = 1;
  barrier();
  y[lane()] = tile[31 - lane()];
}
// The neighbour's value without a barrier: right in one order, wrong in another.
__global__ void race(float* y) {
  WW_SHARED(float, tile, [64]);
  tile[threadIdx.x] = static_cast<float>(threadIdx.x);
  y[threadIdx.x] = tile[threadIdx.x ^ 32];
}

// For AddressSanitizer.
__global__ void pastGlobal(const float* x, float* y, int n) {
  for (int i = static_cast<int>(threadIdx.x); i <= n; i += 32) y[i % 8] = x[i];
}
__global__ void pastDynamic(float* y, int n) { y[lane()] = sharedMemory<float>()[static_cast<int>(lane()) + n]; }
__global__ void pastCopy(const float* x, float* y, int n) {
  WW_SHARED(float, tile, [4]);
  if (threadIdx.x == 0) cpAsync(&tile[0], x + n - n % 4);   // 16 bytes, of which the last are beyond x
  cpAsyncWaitAll();
  y[0] = tile[0];
}
__global__ void pastStatic(float* y, const int* n) {
  WW_SHARED(float, tile, [32]);
  (&tile[0])[lane()] = 1;
  y[lane()] = (&tile[0])[static_cast<int>(lane()) + *n];
}

void products() {
  expect(right<Defect::none>(), "the product without a defect is wrong");
  expect(!right<Defect::noBarrierAfterWait>(), "a missing barrier after the wait was not noticed");
  expect(!right<Defect::noBarrierBeforeReuse>(), "a missing barrier before a stage is used again was not noticed");
  expect(!right<Defect::waitTooEarly>(), "a wait that is satisfied too early was not noticed");
  expect(!right<Defect::noCommit>(), "copies that were never committed were not noticed");
  expect(!right<Defect::wrongLane>(), "a wrong lane of a fragment was not noticed");
  expect(!right<Defect::wrongHalf>(), "a wrong half of a fragment was not noticed");
  expect(!right<Defect::tooFewTiles>(), "a tile too few was not noticed");
}

void reports() {
  float out[1024];
  for (const auto& o : kOrders) {
    simt::setOrder(o.order, o.seed);
    expectError("a sum without all lanes", [&] { run<sumOfSome>(1, 32, 0, out, 20); }, {"sumOfSome", "deadlock", "shuffleXor at", "defects_test.cpp:", "12 have returned"});
    expectError("a barrier after a return", [&] { run<barrierAfterReturn>(1, 64, 0, out, 63); }, {"barrierAfterReturn", "deadlock", "63 of 64 threads wait in barrier at", "1 have returned"});
    expectError("barriers in branches", [&] { run<barrierInBranches>(1, 64, 0, out); }, {"barrierInBranches", "divergent barrier", "defects_test.cpp:"});
    expectError("shuffles in branches", [&] { run<collectivesInBranches>(1, 32, 0, out); }, {"collectivesInBranches", "divergent shuffleXor", "warp 0"});
    expectError("a lane outside of the mask", [&] { run<outsideOfMask>(1, 32, 0, out); }, {"not in the mask 0x0000FFFF"});
    expectError("barriers of different numbers", [&] { run<neverMet>(1, 64, 0, out); }, {"neverMet", "deadlock", "32 of 64 threads wait in barrier of a number at"});
    // The machine works after a report.
    expect(right<Defect::none>(), "the emulator is out of order after a report");
    simt::setOrder(o.order, o.seed);
  }
  alignas(16) float x[8] = {}, y[8] = {};
  expectError("a misaligned load", [&] { run<misaligned>(1, 1, 0, static_cast<const float*>(x), y); }, {"misaligned", "load of 16 bytes"});
  expectError("a misaligned copy", [&] { run<misalignedCopy>(1, 1, 0, static_cast<const float*>(x), y); }, {"cpAsync to shared memory of 16 bytes"});
  expectError("a misaligned matrix", [&] { run<misalignedMatrix>(1, 32, 0, out); }, {"ldmatrix of 16 bytes"});
  expectError("mma in part of a warp", [&] { run<partOfAWarp>(1, 20, 0, out); }, {"mma in warp 0, which has lanes missing"});
  expectError("too much static shared memory", [&] { run<tooMuchShared>(1, 1, 0, out); }, {"65536 bytes of static shared memory"});
  expectError("a block too large", [&] { run<readsWhatNobodyWrote>(1, 1025, 0, out); }, {"readsWhatNobodyWrote", "1025 threads"});
  expectError("a grid of nothing", [&] { run<readsWhatNobodyWrote>(0, 32, 0, out); }, {"grid of (0, 1, 1)"});
  expectError("too much dynamic shared memory", [&] { run<readsWhatNobodyWrote>(1, 32, 300000, out); }, {"300000 bytes of shared memory"});
}

void values() {
  float out[64];
  run<readsWhatNobodyWrote>(1, 32, 0, out);
  expect(std::isnan(out[0]) && out[1] == 1, "shared memory that nobody wrote does not read as NaN");
  std::string bits[2];
  for (int k = 0; k < 2; k++) {
    simt::setOrder(k ? simt::Order::reverse : simt::Order::forward);
    run<race>(1, 64, 0, out);
    bits[k].assign(reinterpret_cast<const char*>(out), sizeof out);
  }
  expect(bits[0] != bits[1], "a race has the same bits in both orders");
}

void sanitizer() {
  simt::setOrder(simt::Order::forward);
  if (!kAddressSanitizer) {
    std::printf("simt defects: built without AddressSanitizer, accesses out of bounds are not tested\n");
    return;
  }
  const auto dies = [](const char* what, const std::function<void()>& f) {
    const std::string text = deathOf(what, f);
    expect(text.find("AddressSanitizer: heap-buffer-overflow") != std::string::npos && text.find("defects_test.cpp:") != std::string::npos, "%s: not reported with its line: %.300s", what, text.c_str());
  };
  float out[32];
  const std::unique_ptr<float, void (*)(void*)> x(static_cast<float*>(std::calloc(37, sizeof(float))), std::free);
  const float* from = x.get();
  dies("a read one element past a tensor", [&] { run<pastGlobal>(1, 32, 0, from, out, 37); });
  dies("a read one element past dynamic shared memory", [&] { run<pastDynamic>(1, 32, 32 * sizeof(float), out, 1); });
  const int one = 1;
  dies("a read one element past a shared array", [&] { run<pastStatic>(1, 32, 0, out, &one); });
  const auto dead = deathOf("a copy that reads past a tensor", [&] { run<pastCopy>(1, 32, 0, from, out, 37); });
  expect(dead.find("AddressSanitizer: heap-buffer-overflow") != std::string::npos, "a copy past a tensor is not reported");
  const auto row = deathOf("a row too many", [] { right<Defect::tooManyRows>(); });
  expect(row.find("AddressSanitizer: heap-buffer-overflow") != std::string::npos, "a row too many is not reported");
}

}  // namespace

int main() {
  products();
  reports();
  values();
  sanitizer();
  return report("simt defects");
}
