#pragma once
// The sums of a over k: the gradient of the bias that goes with dy^T x. a is read once more, by 32 lines and a part of k for each block; the parts are added in
// their order.
#include "cuda/gemm/problem.hpp"

namespace warpweft::cuda::gemm {

inline constexpr int kSumLines = 32, kSumWarps = 8, kSumThreads = 32 * kSumWarps;
inline constexpr int64_t kSumDepth = 512;   // k of a block, more where there would be more than kMostSumParts parts
inline constexpr int64_t kMostSumParts = 64;

inline int64_t sumParts(int64_t K) { return most(1, least(kMostSumParts, ceilDiv(K, kSumDepth))); }

// partial [parts, M]
template <class T> __global__ void __launch_bounds__(kSumThreads) sumLines(Operand a, int64_t M, int64_t K, int64_t parts, float* partial) {
  WW_SHARED(float, sums, [kSumWarps][kSumLines]);
  const int warp = static_cast<int>(warpOfBlock()), l = static_cast<int>(lane());
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kSumLines, part = blockIdx.y, begin = K * part / parts, end = K * (part + 1) / parts;
  const T* const data = static_cast<const T*>(a.data);
  if (a.line == 1) {   // a lane has a line, each warp every eighth k
    float sum = 0;
    if (first + l < M)
      for (int64_t k = begin + warp; k < end; k += kSumWarps) sum += toFloat(data[first + l + k * a.depth]);
    sums[warp][l] = sum;
    barrier();
    if (warp != 0 || first + l >= M) return;
    WW_UNROLL for (int w = 1; w < kSumWarps; w++) sum += sums[w][l];
    partial[part * M + first + l] = sum;
  } else {   // a warp has a line at a time, each lane every 32nd k
    for (int line = warp; line < kSumLines && first + line < M; line += kSumWarps) {
      float sum = 0;
      for (int64_t k = begin + l; k < end; k += 32) sum += toFloat(data[(first + line) * a.line + k * a.depth]);
      sum = warpSum(sum);
      if (l == 0) partial[part * M + first + line] = sum;
    }
  }
}

namespace {   // no template: each file has its own

constexpr unsigned kAddThreads = 128;
__global__ void __launch_bounds__(kAddThreads) addParts(const float* partial, int64_t M, int64_t parts, float* out, bool accumulate) {
  const int64_t m = static_cast<int64_t>(blockIdx.x) * kAddThreads + threadIdx.x;
  if (m >= M) return;
  float sum = partial[m];
  for (int64_t p = 1; p < parts; p++) sum += partial[p * M + m];
  out[m] = accumulate ? out[m] + sum : sum;
}

}  // namespace

}  // namespace warpweft::cuda::gemm
