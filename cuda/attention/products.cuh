#pragma once
// The two products of attention. Sums lie in the registers of a warp as tensor cores leave them, whatever computes them: with g = lane / 4 and t = lane % 4,
// c[r][n][e] is row 16 r + g + 8 (e / 2), column 8 n + 2 t + e % 2. Scores, masks and dropout are thereby written once for all dtypes.
#include "cuda/attention/tiles.cuh"

namespace warpweft::cuda::attention {

template <int RT, int NT> WW_DEVICE void clear(float (&c)[RT][NT][4]) {
  WW_UNROLL for (int r = 0; r < RT; r++) WW_UNROLL for (int n = 0; n < NT; n++) WW_UNROLL for (int e = 0; e < 4; e++) c[r][n][e] = 0;
}

// 16-bit types: mma m16n8k16, sums in float32.
template <class T> struct Products {
  // c += rows columns^T, of 16 RT rows and 8 NT columns that are both rows of tiles kWidth wide.
  template <int kWidth, int RT, int NT> static WW_DEVICE void scores(float (&c)[RT][NT][4], const T* rows, const T* columns) {
    constexpr int S = kStride<T, kWidth>;
    const int l = static_cast<int>(lane());
    const T* a = rows + l % 16 * S + l / 16 * 8;
    const T* b = columns + (l % 8 + l / 16 * 8) * S + l / 8 % 2 * 8;
    WW_UNROLL for (int k = 0; k < kWidth; k += 16) {
      uint32_t left[RT][4];
      WW_UNROLL for (int r = 0; r < RT; r++) ldmatrix<4>(left[r], a + r * 16 * S + k);
      WW_UNROLL for (int n = 0; n < NT; n += 2) {
        uint32_t right[4];
        ldmatrix<4>(right, b + n * 8 * S + k);
        const uint32_t first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
        WW_UNROLL for (int r = 0; r < RT; r++) {
          mma<T>(c[r][n], left[r], first);
          mma<T>(c[r][n + 1], left[r], second);
        }
      }
    }
  }
  // c += p tile, of p in registers, rounded to T: two of its column tiles are the left operand of a product as they are.
  template <int kWidth, int RT, int NT, int DT> static WW_DEVICE void values(float (&c)[RT][DT][4], const float (&p)[RT][NT][4], const T* tile, float*) {
    constexpr int S = kStride<T, kWidth>;
    const int l = static_cast<int>(lane());
    const T* b = tile + l % 16 * S + l / 16 * 8;
    WW_UNROLL for (int n = 0; n < NT; n += 2) {
      uint32_t left[RT][4];
      WW_UNROLL for (int r = 0; r < RT; r++) {
        left[r][0] = packed<T>(p[r][n][0], p[r][n][1]);
        left[r][1] = packed<T>(p[r][n][2], p[r][n][3]);
        left[r][2] = packed<T>(p[r][n + 1][0], p[r][n + 1][1]);
        left[r][3] = packed<T>(p[r][n + 1][2], p[r][n + 1][3]);
      }
      WW_UNROLL for (int d = 0; d < DT; d += 2) {
        uint32_t right[4];
        ldmatrix<4, true>(right, b + n * 8 * S + d * 8);
        const uint32_t first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
        WW_UNROLL for (int r = 0; r < RT; r++) {
          mma<T>(c[r][d], left[r], first);
          mma<T>(c[r][d + 1], left[r], second);
        }
      }
    }
  }
};

// float32: fused multiply-adds.
template <> struct Products<float> {
  template <int kWidth, int RT, int NT> static WW_DEVICE void scores(float (&c)[RT][NT][4], const float* rows, const float* columns) {
    constexpr int S = kStride<float, kWidth>;
    const int g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
    [[maybe_unused]] constexpr int kUnroll = kWidth <= 128 ? 2 : 1;   // the sums of 256 columns leave no registers for more
    WW_UNROLL_BY(kUnroll) for (int k = 0; k < kWidth; k += 4) {
      Vector<float, 4> left[RT][2];
      WW_UNROLL for (int r = 0; r < RT; r++) WW_UNROLL for (int h = 0; h < 2; h++) left[r][h] = load<4>(rows + (16 * r + g + 8 * h) * S + k);
      WW_UNROLL for (int n = 0; n < NT; n++)
        WW_UNROLL for (int e = 0; e < 2; e++) {
          const auto right = load<4>(columns + (8 * n + 2 * t + e) * S + k);
          WW_UNROLL for (int r = 0; r < RT; r++)
            WW_UNROLL for (int h = 0; h < 2; h++)
              WW_UNROLL for (int i = 0; i < 4; i++) c[r][n][2 * h + e] = fma(left[r][h].v[i], right.v[i], c[r][n][2 * h + e]);
        }
    }
  }
  // A row of p is spread over four lanes: it goes through `exchange`, the warp's own.
  template <int kWidth, int RT, int NT, int DT> static WW_DEVICE void values(float (&c)[RT][DT][4], const float (&p)[RT][NT][4], const float* tile, float* exchange) {
    constexpr int S = kStride<float, kWidth>, E = 8 * NT + 4;
    const int g = static_cast<int>(lane()) / 4, t = static_cast<int>(lane()) % 4;
    warpBarrier();
    WW_UNROLL for (int r = 0; r < RT; r++)
      WW_UNROLL for (int n = 0; n < NT; n++)
        WW_UNROLL for (int h = 0; h < 2; h++) store(exchange + (16 * r + g + 8 * h) * E + 8 * n + 2 * t, Vector<float, 2>{{p[r][n][2 * h], p[r][n][2 * h + 1]}});
    warpBarrier();
    WW_UNROLL_BY(1) for (int k = 0; k < 8 * NT; k += 4) {
      Vector<float, 4> left[RT][2];
      WW_UNROLL for (int r = 0; r < RT; r++) WW_UNROLL for (int h = 0; h < 2; h++) left[r][h] = load<4>(exchange + (16 * r + g + 8 * h) * E + k);
      WW_UNROLL for (int i = 0; i < 4; i++)
        WW_UNROLL for (int d = 0; d < DT; d++) {
          const auto right = load<2>(tile + (k + i) * S + 8 * d + 2 * t);
          WW_UNROLL for (int r = 0; r < RT; r++)
            WW_UNROLL for (int h = 0; h < 2; h++)
              WW_UNROLL for (int e = 0; e < 2; e++) c[r][d][2 * h + e] = fma(left[r][h].v[i], right.v[e], c[r][d][2 * h + e]);
        }
    }
  }
};

}  // namespace warpweft::cuda::attention
