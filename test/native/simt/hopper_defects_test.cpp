// Mistakes with Hopper's instructions, of the kinds that real kernels have had: the emulator has to notice every one of them.
#include "hopper_kernels.hpp"
#include "simt_test.hpp"

namespace warpweft::test {
namespace {

using namespace warpweft::cuda;   // not outside: CUDA's headers, of which some come last, mean their own functions of these names

// A producer (warp 0) brings tiles of 64 x 64 to a ring of kStages, a warpgroup behind it adds up products of each with itself transposed.
enum class Mistake { none, releasedEarly, wrongPhase, fewBytes, manyBytes, noEmptyWait, notFenced };
constexpr int kRing = 2;
template <Mistake kMistake> __global__ void pipeline(const WW_GRID_CONSTANT TensorMap map, float* out, int tiles) {
  char* const memory = sharedMemory<char>();
  auto* const full = reinterpret_cast<Mbarrier*>(memory + kRing * 8192);
  Mbarrier* const empty = full + kRing;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kRing; s++) initialise(full + s, 1), initialise(empty + s, 4);
    if (kMistake != Mistake::notFenced) fenceMbarrierInit();
  }
  barrier();
  if (threadIdx.x >= 128) {
    if (threadIdx.x != 128) return;
    for (int k = 0; k < tiles; k++) {
      const int s = k % kRing;
      if (kMistake != Mistake::noEmptyWait) waitFor(empty + s, static_cast<uint32_t>(k / kRing + 1) % 2);
      arriveExpecting(full + s, kMistake == Mistake::fewBytes ? 8192 - 128 : kMistake == Mistake::manyBytes ? 8192 + 128 : 8192);
      loadBox<2>(memory + s * 8192, &map, {0, 64 * k}, full + s);
    }
    return;
  }
  float c[32];
  for (float& v : c) v = 0;
  for (int k = 0; k < tiles; k++) {
    const int s = k % kRing;
    waitFor(full + s, static_cast<uint32_t>(k / kRing + (kMistake == Mistake::wrongPhase)) % 2);
    const uint64_t tile = descriptorOf<Major::depth>(memory + s * 8192);
    wgmmaFence();
    for (uint32_t i = 0; i < 4; i++) wgmma<bf16, 64, Major::depth, Major::depth>(c, advanced(tile, 32 * i), advanced(tile, 32 * i), true);
    wgmmaCommit();
    if (kMistake == Mistake::releasedEarly) {
      if (lane() == 0) arrive(empty + s);
      wgmmaWait<1>();
    } else {
      wgmmaWait<1>();
      if (k > 0 && lane() == 0) arrive(empty + (k - 1) % kRing);
    }
  }
  wgmmaWait<0>();
  holdRegisters(c);
  for (unsigned i = 0; i < 32; i++) out[(16 * warpOfBlock() + lane() / 4 + 8 * (i / 2 % 2)) * 64 + 8 * (i / 4) + 2 * (lane() % 4) + i % 2] = c[i];
}

template <Mistake kMistake> bool pipelined(int tiles) {
  Buffer<bf16> x(static_cast<size_t>(tiles + 1) * 4096);
  Buffer<float> out(4096);
  for (size_t i = 0; i < x.size(); i++) x[i].bits = halfOf(DType::bf16, static_cast<double>((i * 7 + i / 64 * 3 + i / 4096) % 9) - 4);
  run<pipeline<kMistake>>(1, 160, kRing * 8192 + 64, mapOf(DType::bf16, x.data(), {64, 64 * (tiles + 1)}, {1, 64}, {64, 64}, true), out.data(), tiles);
  for (size_t i = 0; i < 64; i++)
    for (size_t j = 0; j < 64; j++) {
      double e = 0;
      for (size_t k = 0; k < static_cast<size_t>(tiles) * 64; k++) {
        const size_t at = k / 64 * 4096 + k % 64;
        e += fromHalf(DType::bf16, x[at + i * 64].bits) * fromHalf(DType::bf16, x[at + j * 64].bits);
      }
      if (static_cast<double>(out[i * 64 + j]) != e) return false;
    }
  return true;
}

// Not right in some order, or reported.
template <class F> bool noticed(F&& right) {
  bool all = true;
  for (const auto& o : kOrders) {
    simt::setOrder(o.order, o.seed);
    try {
      all = all && right();
    } catch (const simt::Error&) {
      all = false;
    }
  }
  return !all;
}
template <Mistake kMistake> bool noticed() { return noticed([] { return pipelined<kMistake>(7); }); }
template <Defect kDefect> bool noticedInProduct() { return noticed([] { return product<bf16, 64, Major::depth, Major::depth, false, kDefect>(); }); }

__global__ void arriveTwice(int) {
  auto* const b = sharedMemory<Mbarrier>();
  make(b, 1);
  if (threadIdx.x == 0) arriveExpecting(b, 16), arrive(b);
}
__global__ void neverInitialised(int) { arrive(sharedMemory<Mbarrier>()); }
__global__ void writtenOver(int) {
  auto* const b = sharedMemory<Mbarrier>();
  make(b, 1);
  b->state = 7;
  waitFor(b, 0);
}
__global__ void neverArrives(int) {
  auto* const b = sharedMemory<Mbarrier>();
  make(b, 33);
  arrive(b);
  waitFor(b, 0);
}
__global__ void tooManyBytes(int) {
  auto* const b = sharedMemory<Mbarrier>();
  make(b, 4);
  if (threadIdx.x == 0) arriveExpecting(b, 1 << 19), arriveExpecting(b, 1 << 19);
}
__global__ void staging(const WW_GRID_CONSTANT TensorMap map, int mistake) {   // 1: written over before it was read; 2: nobody waits
  auto* const tile = sharedMemory<uint16_t>();
  for (unsigned i = threadIdx.x; i < 1024; i += 32) tile[i] = static_cast<uint16_t>(i);
  fenceAsyncProxy();
  barrier();
  if (threadIdx.x == 0) {
    storeBox<2>(&map, {0, 0}, tile);
    bulkCommit();
    if (mistake == 1) tile[5] = 7;
    if (mistake != 2) bulkWaitRead<0>();
    if (mistake == 0) tile[5] = 7;
  }
}
// Each thread writes its own 16 bytes; one of them does not fence.
__global__ void oneUnfenced(const WW_GRID_CONSTANT TensorMap map) {
  auto* const tile = sharedMemory<uint16_t>();
  for (unsigned i = threadIdx.x; i < 128; i += 32) {
    Vector<uint32_t, 4> v{{i, i, i, i}};
    store(reinterpret_cast<uint32_t*>(tile) + 4 * i, v);
  }
  if (threadIdx.x != 17) fenceAsyncProxy();
  barrier();
  if (threadIdx.x == 0) {
    storeBox<2>(&map, {0, 0}, tile);
    bulkCommit();
    bulkWait<0>();
  }
}
__global__ void neverAwaited(const WW_GRID_CONSTANT TensorMap map) {
  auto* const memory = sharedMemory<char>();
  auto* const b = reinterpret_cast<Mbarrier*>(memory + 2048);
  make(b, 1);
  if (threadIdx.x == 0) arriveExpecting(b, 2048), loadBox<2>(memory, &map, {0, 0}, b);
}
__global__ void pastTheEnd(const WW_GRID_CONSTANT TensorMap map) {
  auto* const memory = sharedMemory<char>();
  auto* const b = reinterpret_cast<Mbarrier*>(memory);
  make(b, 1);
  if (threadIdx.x == 0) arriveExpecting(b, 2048), loadBox<2>(memory + 1024, &map, {0, 0}, b);
  waitFor(b, 0);
}
__global__ void partOfTheWarpgroup(int) {
  float c[32];
  for (float& v : c) v = 0;
  if (warpOfBlock() < 3) {
    wgmmaFence();
    wgmma<bf16, 64, Major::depth, Major::depth>(c, descriptorOf<Major::depth>(sharedMemory<char>()), descriptorOf<Major::depth>(sharedMemory<char>()), true);
    wgmmaCommit();
    wgmmaWait<0>();
  }
}
template <class F> void expectRefused(const char* what, const char* part, F&& f) {
  try {
    f();
    expect(false, "%s: nothing was refused", what);
  } catch (const std::runtime_error& e) {
    expect(std::string(e.what()).find(part) != std::string::npos, "%s: the message lacks \"%s\": %s", what, part, e.what());
  }
}

void mistakes() {

  for (const int tiles : {0, 1, 2, 7}) inEveryOrder([&] { expect(pipelined<Mistake::none>(tiles), "a pipeline of %d tiles is wrong", tiles); });
  expect(noticed<Mistake::releasedEarly>(), "a stage that is released before its products are done was not noticed");
  expect(noticed<Mistake::wrongPhase>(), "a wait for the wrong phase was not noticed");
  expect(noticed<Mistake::fewBytes>(), "too few announced bytes were not noticed");
  expect(noticed<Mistake::manyBytes>(), "too many announced bytes were not noticed");
  expect(noticed<Mistake::noEmptyWait>(), "a stage that is filled before it is free was not noticed");
  expect(noticed<Mistake::notFenced>(), "barriers that were not fenced were not noticed");
  expect(noticedInProduct<Defect::wrongStep>(), "a wrong offset in a descriptor was not noticed");
  expect(noticedInProduct<Defect::touched>(), "sums that are read while products are under way were not noticed");
  expect(noticedInProduct<Defect::noWait>(), "tiles that are read before they have come were not noticed");
  simt::setOrder(simt::Order::forward);
  expectError("products without a fence", [] { static_cast<void>(product<bf16, 64, Major::depth, Major::depth, false, Defect::noFence>()); }, {"product64", "without wgmmaFence", "hopper_kernels.hpp:"});
  expectError("half a warpgroup", [] { run<partOfTheWarpgroup>(1, 128, 16384, 0); }, {"partOfTheWarpgroup", "warp 3 brought 0 products"});

  Buffer<uint16_t> tensor(2048);
  const TensorMap map = mapOf(DType::bf16, tensor.data(), {64, 16}, {1, 64}, {64, 16}, true);
  expectError("a box that was not fenced", [&] { run<bringBack<false, false>>(1, 32, 2048, map, 0, 0); }, {"bringBack", "without a fence", "storeBox"});
  expectError("a thread that did not fence", [&] { run<oneUnfenced>(1, 32, 2048, map); }, {"oneUnfenced", "without a fence"});
  run<staging>(1, 32, 2048, map, 0);
  expect(tensor[5] == 5, "storeBox reads what was written after the wait");
  expectError("staging that is written over", [&] { run<staging>(1, 32, 2048, map, 1); }, {"staging", "before this was done with it"});
  expectError("a store that nobody waits for", [&] { run<staging>(1, 32, 2048, map, 2); }, {"staging", "the block ended before it had read"});
  expectError("a load that nobody waits for", [&] { run<neverAwaited>(1, 32, 2048 + 8, map); }, {"neverAwaited", "nobody waited"});
  expectError("a box beyond shared memory", [&] { run<pastTheEnd>(1, 32, 2048, map); }, {"pastTheEnd", "not in the 2048 bytes"});
  expectError("arrivals too many", [] { run<arriveTwice>(1, 32, 8, 0); }, {"more than the 1 arrivals"});
  expectError("no initialisation", [] { run<neverInitialised>(1, 1, 8, 0); }, {"no thread has initialised"});
  expectError("a barrier written over", [] { run<writtenOver>(1, 32, 8, 0); }, {"written over"});
  expectError("an arrival too few", [] { run<neverArrives>(1, 32, 8, 0); }, {"deadlock", "32 of 32 threads wait in mbarrier wait at"});
  expectError("bytes beyond the count", [] { run<tooManyBytes>(1, 32, 8, 0); }, {"1048575 at most"});
  Buffer<int> out(384);
  expectError("registers beyond the budget", [&] { run<exchangeRegisters<32, 240>>(1, 384, 0, out.data()); }, {"exchangeRegisters", "deadlock", "setRegisters at"});
  expectError("fewer registers by more", [&] { run<exchangeRegisters<24, 160>>(1, 384, 0, out.data()); }, {"setRegisters to 160, less than the 168"});
  simt::setArchitecture(80);
  expectError("another GPU", [] { run<neverInitialised>(1, 1, 8, 0); }, {"is Hopper's, and this is sm_80"});
  simt::setArchitecture(90);

  expectRefused("an odd address", "multiple of 16", [&] { mapOf(DType::bf16, tensor.data() + 1, {64, 16}, {1, 64}, {64, 16}, true); });
  expectRefused("an odd stride", "a stride of 130 bytes", [&] { mapOf(DType::bf16, tensor.data(), {64, 16}, {1, 65}, {64, 16}, true); });
  expectRefused("a size of nothing", "size 0", [&] { mapOf(DType::bf16, tensor.data(), {0, 16}, {1, 64}, {64, 16}, true); });
  expectRefused("a box too wide", "a box of 256 bytes", [&] { mapOf(DType::bf16, tensor.data(), {128, 16}, {1, 128}, {128, 16}, true); });
  expectRefused("a box too high", "a box of 257", [&] { mapOf(DType::bf16, tensor.data(), {64, 16}, {1, 64}, {64, 257}, true); });

  if (kAddressSanitizer) {   // a map that says more than the tensor has
    const auto dead = deathOf("a box past the tensor", [&] {
      Buffer<uint16_t> small(64 * 15), shown(1024);
      run<bring<2>>(1, 64, 2048, mapOf(DType::bf16, small.data(), {64, 16}, {1, 64}, {64, 16}, false), Place3{{0, 0, 0}}, shown.data(), 2048u);
    });
    expect(dead.find("AddressSanitizer: heap-buffer-overflow") != std::string::npos, "a box past the tensor is not reported");
  }
}

}  // namespace
}  // namespace warpweft::test

int main() {
  using namespace warpweft::test;
  warpweft::simt::setArchitecture(90);
  mistakes();
  return report("simt hopper defects");
}
