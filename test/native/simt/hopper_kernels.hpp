#pragma once
// Kernels of Hopper's instructions, for hopper_test.cpp and, with one mistake each, hopper_defects_test.cpp.
#include "device_test.hpp"

namespace warpweft::test {

using namespace warpweft::cuda;

inline TensorMap mapOf(DType t, const void* data, std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> strides, std::initializer_list<int> box, bool swizzled) {
  TensorShape s{data, t, static_cast<int>(sizes.size()), {}, {}, {}, swizzled};
  std::copy(sizes.begin(), sizes.end(), s.sizes);
  std::copy(strides.begin(), strides.end(), s.strides);
  std::copy(box.begin(), box.end(), s.box);
  return tensorMap(s);
}

// One thread makes a barrier that everybody may use.
WW_DEVICE void make(Mbarrier* b, uint32_t arrivals) {
  if (threadIdx.x == 0) {
    initialise(b, arrivals);
    fenceMbarrierInit();
  }
  barrier();
}

struct Place3 { int32_t at[3]; };

// Brings a box of 64 x 5 x 2 elements to shared memory and shows all of it.
template <int kRank> __global__ void bring(const WW_GRID_CONSTANT TensorMap map, Place3 place, uint16_t* out, uint32_t bytes) {
  WW_SHARED(Mbarrier, ready, [1]);
  auto* const tile = sharedMemory<uint16_t>();
  make(ready, 1);
  if (threadIdx.x == 0) {
    arriveExpecting(ready, bytes);
    if constexpr (kRank == 2) loadBox<2>(tile, &map, {place.at[0], place.at[1]}, ready);
    else loadBox<3>(tile, &map, {place.at[0], place.at[1], place.at[2]}, ready);
  }
  waitFor(ready, 0);
  for (uint32_t i = threadIdx.x; i < bytes / 2; i += blockDim.x) out[i] = tile[i];
}

// stmatrix into swizzled lines, then a box to global memory: what lies outside of the tensor stays.
template <bool kTransposed, bool kFenced> __global__ void bringBack(const WW_GRID_CONSTANT TensorMap map, int x, int y) {
  auto* const tile = sharedMemory<uint16_t>();   // 16 lines of 64
  const unsigned l = lane();
  for (unsigned j = 0; j < 4; j++) {   // 16 columns each: matrices (0, 0), (8, 0), (0, 8), (8, 8); element (i, j) is 100 i + j
    uint32_t r[4];
    for (unsigned m = 0; m < 4; m++) {
      const unsigned g = l / 4, t = 2 * (l % 4), row = 8 * (m % 2) + (kTransposed ? t : g), column = 16 * j + 8 * (m / 2) + (kTransposed ? g : t);
      const unsigned nextRow = row + (kTransposed ? 1 : 0), nextColumn = column + (kTransposed ? 0 : 1);
      r[m] = (100 * row + column) | (100 * nextRow + nextColumn) << 16;
    }
    const unsigned m = l / 8, row = 8 * (m % 2) + l % 8, unit = 2 * j + m / 2;
    stmatrix<kTransposed>(tile + row * 64 + (unit ^ row % 8) * 8, r);
  }
  if (kFenced) fenceAsyncProxy();
  barrier();
  if (threadIdx.x == 0) {
    storeBox<2>(&map, {x, y}, tile);
    bulkCommit();
    bulkWait<0>();
  }
}

// One warpgroup gives registers back, two take more than the launch gave them.
template <int kFew, int kMany> __global__ void __launch_bounds__(384, 1) exchangeRegisters(int* out) {
  if (threadIdx.x < 128) setRegisters<kFew, false>();
  else setRegisters<kMany, true>();
  out[threadIdx.x] = 1;
}

// c [64, N] = a [64, 64] b [N, 64]^T of a warpgroup. Boxes as a GEMM loads them; A out of shared memory, or of registers.
enum class Defect { none, wrongStep, noWait, noFence, touched };
template <class T, int N, Major kMajorA, Major kMajorB, bool kRegisters, Defect kDefect = Defect::none>
__global__ void product64(const WW_GRID_CONSTANT TensorMap mapA, const WW_GRID_CONSTANT TensorMap mapB, const T* a, float* out) {
  WW_SHARED(Mbarrier, ready, [1]);
  char* const tileA = sharedMemory<char>();
  char* const tileB = tileA + 64 * 128;
  make(ready, 1);
  if (threadIdx.x == 0) {
    arriveExpecting(ready, (64 + N) * 128);
    loadBox<2>(tileA, &mapA, {0, 0}, ready);
    if constexpr (kMajorB == Major::depth) loadBox<2>(tileB, &mapB, {0, 0}, ready);
    else for (int n = 0; n < N; n += 64) loadBox<2>(tileB + n * 128, &mapB, {n, 0}, ready);
  }
  if (kDefect != Defect::noWait) waitFor(ready, 0);
  const unsigned g = lane() / 4, t = 2 * (lane() % 4), row = 16 * warpOfBlock() + g;
  uint32_t fragments[4][4];
  if constexpr (kRegisters)
    for (unsigned s = 0; s < 4; s++)
      for (unsigned i = 0; i < 4; i++) {
        const T* const from = a + (row + 8 * (i % 2)) * 64 + 16 * s + t + 8 * (i / 2);
        fragments[s][i] = from[0].bits | static_cast<uint32_t>(from[1].bits) << 16;
      }
  float c[N / 2];
  for (int i = 0; i < N / 2; i++) c[i] = 1;   // taken for s > 0 alone
  const uint64_t descriptorA = descriptorOf<kMajorA>(tileA), descriptorB = descriptorOf<kMajorB, 64 * 128>(tileB);
  if (kDefect != Defect::noFence) wgmmaFence();
  for (uint32_t s = 0; s < 4; s++) {
    const uint64_t b = advanced(descriptorB, s * kStepBytes<kMajorB> + (kDefect == Defect::wrongStep && s == 3 ? 16 : 0));
    if constexpr (kRegisters) wgmma<T, N, kMajorB>(c, fragments[s], b, s > 0);
    else wgmma<T, N, kMajorA, kMajorB>(c, advanced(descriptorA, s * kStepBytes<kMajorA>), b, s > 0);
  }
  wgmmaCommit();
  if (kDefect == Defect::touched) {
    wgmmaWait<1>();
    c[0] += 1;
  }
  const bool early = kDefect == Defect::touched;
  const float seen = early ? c[0] : 0;
  wgmmaWait<0>();
  holdRegisters(c);
  for (unsigned j = 0; j < N / 8; j++)
    for (unsigned i = 0; i < 4; i++) out[(row + 8 * (i / 2)) * N + 8 * j + t + i % 2] = early && j == 0 && i == 0 ? seen : c[4 * j + i];
}

template <class T, int N, Major kMajorA, Major kMajorB, bool kRegisters, Defect kDefect = Defect::none> bool product() {
  constexpr DType d = dtypeOf<T>;
  Buffer<T> a(64 * 64), b(N * 64), aT(64 * 64), bT(N * 64);
  Buffer<float> out(64 * N);
  for (size_t i = 0; i < 64; i++)
    for (size_t k = 0; k < 64; k++) a[i * 64 + k].bits = aT[k * 64 + i].bits = halfOf(d, static_cast<double>((i * 7 + k * 5 + i * k / 3) % 15) - 7);
  for (size_t j = 0; j < N; j++)
    for (size_t k = 0; k < 64; k++) b[j * 64 + k].bits = bT[k * N + j].bits = halfOf(d, static_cast<double>((j * 3 + k * 11 + j * k / 5) % 13) - 6);
  const TensorMap mapA = kMajorA == Major::depth ? mapOf(d, a.data(), {64, 64}, {1, 64}, {64, 64}, true) : mapOf(d, aT.data(), {64, 64}, {1, 64}, {64, 64}, true);
  const TensorMap mapB = kMajorB == Major::depth ? mapOf(d, b.data(), {64, N}, {1, 64}, {64, N}, true) : mapOf(d, bT.data(), {N, 64}, {1, N}, {64, 64}, true);
  run<product64<T, N, kMajorA, kMajorB, kRegisters, kDefect>>(1, 128, (64 + N) * 128, mapA, mapB, static_cast<const T*>(a.data()), out.data());
  for (size_t i = 0; i < 64; i++)
    for (size_t j = 0; j < N; j++) {
      double e = 0;
      for (size_t k = 0; k < 64; k++) e += fromHalf(d, a[i * 64 + k].bits) * fromHalf(d, b[j * 64 + k].bits);
      if (static_cast<double>(out[i * N + j]) != e) {
        if (kDefect == Defect::none) expect(false, "wgmma of N %d, majors %d %d%s, at (%zu, %zu): %g, expected %g", N, static_cast<int>(kMajorA), static_cast<int>(kMajorB), kRegisters ? ", A in registers" : "", i, j, static_cast<double>(out[i * N + j]), e);
        return false;
      }
    }
  return true;
}

}  // namespace warpweft::test
