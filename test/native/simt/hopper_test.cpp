// Hopper's part of the device layer against its definitions, in four orders of the fibers, and by nvcc on a GPU: barriers that count arrivals and bytes, copies of boxes,
// products of warpgroups, fragments to shared memory, registers that are handed on.
#include "hopper_kernels.hpp"

namespace warpweft::test {
namespace {

using namespace warpweft::cuda;   // not outside: CUDA's headers, of which some come last, mean their own functions of these names

// Warp 0 brings numbers to a ring of two slots, warp 1 takes them: phases and their parity, by arrivals alone. n = 0 and 1 too.
__global__ void ring(const int* in, int* out, int n) {
  WW_SHARED(int, slots, [2][32]);
  WW_SHARED(Mbarrier, full, [2]);
  WW_SHARED(Mbarrier, empty, [2]);
  for (int s = 0; s < 2; s++) make(&full[s], 32), make(&empty[s], 1);
  for (int k = 0; k < n; k++) {
    const int s = k % 2;
    const uint32_t parity = static_cast<uint32_t>(k / 2 % 2);
    if (threadIdx.x < 32) {
      waitFor(&empty[s], parity ^ 1);
      slots[s][lane()] = in[k * 32 + static_cast<int>(lane())];
      arrive(&full[s]);
    } else {
      waitFor(&full[s], parity);
      out[k * 32 + static_cast<int>(lane())] = slots[s][31 - lane()];
      warpBarrier();
      if (lane() == 0) arrive(&empty[s]);
    }
  }
}

void testPhases() {
  for (const int n : {0, 1, 2, 3, 7}) {
    Buffer<int> in(256), out(256);
    for (size_t i = 0; i < 256; i++) in[i] = static_cast<int>(i * 3 + 1);
    run<ring>(1, 64, 0, in.data(), out.data(), n);
    for (size_t i = 0; i < 256; i++) expect(out[i] == (i < static_cast<size_t>(n) * 32 ? in[i / 32 * 32 + 31 - i % 32] : 0), "mbarrier ring of %d, number %zu", n, i);
  }
}

void testLoads() {
  constexpr int64_t W = 150, H = 9, D = 3, pitch = 152;
  Buffer<uint16_t> tensor(pitch * H * D), out(640);
  for (size_t i = 0; i < tensor.size(); i++) tensor[i] = static_cast<uint16_t>(i + 1);
  for (const bool swizzled : {false, true})
    for (const int rank : {2, 3})
      for (const Place3 place : {Place3{{0, 0, 0}}, Place3{{64, 2, 1}}, Place3{{120, 6, 2}}, Place3{{-8, -2, -1}}, Place3{{149, 8, 0}}, Place3{{150, 0, 0}}, Place3{{0, 9, 3}}}) {
        const int deep = rank == 3 ? 2 : 1;
        const TensorMap map = rank == 3 ? mapOf(DType::bf16, tensor.data(), {W, H, D}, {1, pitch, pitch * H}, {64, 5, 2}, swizzled)
                                        : mapOf(DType::bf16, tensor.data(), {W, H}, {1, pitch}, {64, 5}, swizzled);
        const auto bytes = static_cast<uint32_t>(64 * 5 * deep * 2);
        if (rank == 3) run<bring<3>>(1, 64, bytes, map, place, out.data(), bytes);
        else run<bring<2>>(1, 64, bytes, map, place, out.data(), bytes);
        for (int z = 0; z < deep; z++)
          for (int y = 0; y < 5; y++)
            for (int x = 0; x < 64; x++) {
              const int64_t gx = place.at[0] + x, gy = place.at[1] + y, gz = rank == 3 ? place.at[2] + z : 0;
              const bool inside = gx >= 0 && gx < W && gy >= 0 && gy < H && gz >= 0 && gz < D;
              const int row = z * 5 + y, unit = swizzled ? x / 8 ^ row % 8 : x / 8;
              const uint16_t expected = inside ? tensor[static_cast<size_t>((gz * H + gy) * pitch + gx)] : 0;
              expect(out[static_cast<size_t>(row * 64 + unit * 8 + x % 8)] == expected, "loadBox<%d>%s at (%d, %d, %d): element (%d, %d, %d)", rank, swizzled ? " swizzled" : "", place.at[0],
                     place.at[1], place.at[2], x, y, z);
            }
      }
}

template <bool kTransposed> void testStores() {
  constexpr int64_t W = 70, H = 20, pitch = 72;
  for (const auto& [x, y] : {std::pair<int, int>{0, 0}, {6, 4}, {30, 10}, {-3, -2}}) {
    Buffer<uint16_t> tensor(pitch * H);
    for (size_t i = 0; i < tensor.size(); i++) tensor[i] = 9999;
    run<bringBack<kTransposed, true>>(1, 32, 2048, mapOf(DType::f16, tensor.data(), {W, H}, {1, pitch}, {64, 16}, true), x, y);
    for (int64_t r = 0; r < H; r++)
      for (int64_t c = 0; c < pitch; c++) {
        const int64_t i = r - y, j = c - x;
        const bool inside = i >= 0 && i < 16 && j >= 0 && j < 64 && c < W;
        expect(tensor[static_cast<size_t>(r * pitch + c)] == (inside ? 100 * i + j : 9999), "storeBox at (%d, %d): element (%d, %d)", x, y, static_cast<int>(c), static_cast<int>(r));
      }
  }
}

__global__ void addTwice(float* to, int n) {
  auto* const mine = sharedMemory<float>();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += 32) mine[i] = static_cast<float>(i);
  fenceAsyncProxy();
  barrier();
  if (threadIdx.x == 0) {
    addFloats(to, mine, static_cast<uint32_t>(4 * n));
    addFloats(to + 4, mine, static_cast<uint32_t>(4 * n));
    bulkCommit();
    bulkWait<0>();
  }
}

void testAdditions() {
  Buffer<float> sums(68);
  for (size_t i = 0; i < 68; i++) sums[i] = 1000;
  run<addTwice>(2, 32, 256, sums.data(), 64);
  for (int i = 0; i < 68; i++)
    expect(sums[static_cast<size_t>(i)] == 1000.f + 2.f * static_cast<float>((i < 64 ? i : 0) + (i >= 4 ? i - 4 : 0)), "addFloats, element %d", i);
}

template <class T, int N> void testProducts() {
  constexpr Major D = Major::depth, L = Major::lines;
  expect(product<T, N, D, D, false>() && product<T, N, D, L, false>() && product<T, N, L, D, false>() && product<T, N, L, L, false>(), "wgmma");
  expect(product<T, N, D, D, true>() && product<T, N, D, L, true>(), "wgmma with A in registers");
}

void testRegisters() {
  Buffer<int> out(384);
  run<exchangeRegisters<24, 240>>(1, 384, 0, out.data());
  for (size_t i = 0; i < 384; i++) expect(out[i] == 1, "setRegisters");
}

}  // namespace
}  // namespace warpweft::test

int main() {
  using namespace warpweft::test;
#ifdef WARPWEFT_SIMT
  warpweft::simt::setArchitecture(90);
#endif
  inEveryOrder([] {
    testPhases();
    testLoads();
    testStores<false>();
    testStores<true>();
    testAdditions();
    testRegisters();
    testProducts<warpweft::bf16, 64>();
    testProducts<warpweft::f16, 128>();
    testProducts<warpweft::bf16, 256>();
  });
  return report("simt hopper");
}
