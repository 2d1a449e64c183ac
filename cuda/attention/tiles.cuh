#pragma once
// Sizes of tiles, in one place, and how rows come to shared memory and fragments go back.
#include "cuda/attention/problem.cuh"

namespace warpweft::cuda::attention {

// Widths of heads that kernels are made for; narrower heads are padded with zeros on the chip.
template <class T, class F> void dispatchWidth(int64_t dim, F&& body) {
  if (dim <= 32) return body.template operator()<32>();
  if (dim <= 64) return body.template operator()<64>();
  if constexpr (sizeof(T) == 2)
    if (dim <= 96 && dim > 64) return body.template operator()<96>();
  if (dim <= 128) return body.template operator()<128>();
  return body.template operator()<256>();
}

// Forward: a warp has 16 kRowTiles rows and the whole width of their result in registers; a block of up to kWarps warps goes over tiles of kKeys keys.
template <class T, int kWidth> struct ForwardTiles {   // 16-bit types: tensor cores
  static constexpr int kRowTiles = kWidth <= 128 ? 2 : 1, kKeys = kWidth <= 32 ? 64 : 32, kWarps = 4;
};
template <int kWidth> struct ForwardTiles<float, kWidth> {
  static constexpr int kRowTiles = 1, kKeys = kWidth <= 128 ? 32 : 16, kWarps = kWidth <= 128 ? 4 : 2;
};

// Backward: a block keeps 16 rows a warp of two tensors (queries and dY, or keys and values) and lets tiles of kRows rows of the other two go by, through kStages
// pieces of shared memory. Everything fits the 99 KiB of sm_86, 89 and 120. Kernels are bounded to one block a multiprocessor, so that ptxas takes the registers that
// they need: left alone it spills a few for the sake of a third block.
template <class T, int kWidth> struct BackwardTiles {
  static constexpr int kWarps = 4, kRows = kWidth <= 64 ? 64 : kWidth <= 128 ? 32 : 16, kStages = kWidth <= 128 ? 2 : 1;
};
template <int kWidth> struct BackwardTiles<float, kWidth> {
  static constexpr int kWarps = kWidth <= 64 ? 4 : kWidth <= 128 ? 2 : 1, kRows = kWidth <= 64 ? 32 : 16, kStages = kWidth <= 128 ? 2 : 1;
};

// Elements between the rows of a tile: 16 bytes more than the row, so that eight rows lie in different banks.
template <class T, int kWidth> inline constexpr int kStride = kWidth + kVector<T>;

// Memory of a warp in which the float32 path turns fragments into rows (products.cuh): rows of kColumns floats and four more.
template <class T, int kRowTiles, int kColumns> inline constexpr int kExchange = sizeof(T) == 4 ? 16 * kRowTiles * (kColumns + 4) : 0;

// Tile rows [0, rows) from row(r), a pointer or null for zeros; columns from dim on are zeros. `vectors`: rows are made of whole 16 bytes, and come asynchronously.
template <int kWidth, class T, class Row> WW_DEVICE void copyRows(T* tile, int rows, int dim, bool vectors, Row&& row) {
  constexpr int V = kVector<T>, kUnits = kWidth / V;
  if (vectors) {
    for (int n = static_cast<int>(threadIdx.x); n < rows * kUnits; n += static_cast<int>(blockDim.x)) {
      const int r = n / kUnits, column = n % kUnits * V;
      const T* from = row(r);
      const bool there = from && column < dim;
      cpAsync<16>(tile + r * kStride<T, kWidth> + column, there ? from + column : tile, there ? 16 : 0);
    }
  } else {
    for (int n = static_cast<int>(threadIdx.x); n < rows * kWidth; n += static_cast<int>(blockDim.x)) {
      const int r = n / kWidth, column = n % kWidth;
      const T* from = row(r);
      tile[r * kStride<T, kWidth> + column] = from && column < dim ? from[column] : fromFloat<T>(0.f);
    }
  }
}

// Two adjacent elements, `column` even. pairs: dim is even and rows begin at even places.
template <class T> WW_DEVICE void storePair(T* row, int column, int dim, bool pairs, float a, float b, bool accumulate) {
  if (column >= dim) return;
  if (pairs) {
    Vector<T, 2> out;
    if (accumulate) {
      const auto old = load<2>(row + column);
      a += old[0];
      b += old[1];
    }
    out.set(0, a);
    out.set(1, b);
    store(row + column, out);
    return;
  }
  row[column] = fromFloat<T>(accumulate ? toFloat(row[column]) + a : a);
  if (column + 1 < dim) row[column + 1] = fromFloat<T>(accumulate ? toFloat(row[column + 1]) + b : b);
}

}  // namespace warpweft::cuda::attention
