#pragma once
// The one memory layout of attention's scratch: panels of 64 columns. Row r of a tile lies at r * 64 of its panel, columns 64.. are in the next panel, so that
// every product has a leading dimension known to the compiler. Query tiles are also held transposed ([d][query]), so that vector lanes are queries: the
// softmax over keys then needs no horizontal operation, and keys and values are read as they come.
#include "cpu/attention/transpose.hpp"
#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA::attention {

inline constexpr int64_t kPanel = 64;          // columns of a panel; also the queries of a block and the keys of a tile
inline constexpr int64_t kTile = kPanel;
inline constexpr int64_t kSpare = 16;          // rows that products may write beyond the last one

// Multiples that a product's rows come in (products.hpp), and columns in whole vectors.
WW_INLINE int64_t vectors(int64_t columns) { return ceilDiv(columns, kWidth); }
WW_INLINE int64_t panels(int64_t columns) { return ceilDiv(columns, kPanel); }

// Rows of `columns` elements, for one (batch, head) of a tensor [B, T, H, D].
template <class T> struct Rows {
  T* data;
  int64_t stride;
  WW_INLINE T* operator[](int64_t i) const { return data + i * stride; }
};
template <class T> WW_INLINE Rows<T> rowsOf(const View& v, int64_t batch, int64_t first, int64_t head) {
  return {v.as<T>() + batch * v.strides[0] + first * v.strides[1] + head * v.strides[2], v.strides[1]};
}

// tile[r] = source[r] for `count` rows, columns padded with zeros to whole vectors; rows where `hidden` says so are zeros.
template <class T, class Hidden> void packRows(Rows<T> source, int64_t count, int64_t columns, float* tile, int64_t panelStride, Hidden hidden) {
  const int64_t whole = columns / kWidth * kWidth;
  for (int64_t r = 0; r < count; r++) {
    const T* x = source[r];
    float* y = tile + r * kPanel;
    const bool skip = hidden(r);
    for (int64_t c = 0; c < columns; c += kWidth) {
      const F32 v = skip ? zero() : c < whole ? load(x + c) : loadPartial(x + c, columns - c);
      store(y + c / kPanel * panelStride + c % kPanel, v);
    }
  }
}
struct NoneHidden { WW_INLINE bool operator()(int64_t) const { return false; } };

// tile[c][r] = factor * source[r][c] with kPanel floats a row; lanes of `count` rounded up to whole vectors are zeros.
template <class T> void packTransposed(Rows<T> source, int64_t count, int64_t columns, float factor, float* tile) {
  const F32 f = splat(factor);
  for (int64_t r = 0; r < count; r += kWidth) {
    for (int64_t c = 0; c < columns; c += kWidth) {
      F32 block[kWidth];
      const int64_t n = columns - c;
      for (int i = 0; i < kWidth; i++)
        block[i] = r + i >= count ? zero() : n >= kWidth ? load(source[r + i] + c) : loadPartial(source[r + i] + c, n);
      transpose(block);
      for (int i = 0; i < kWidth; i++)
        if (i < n) store(tile + (c + i) * kPanel + r, block[i] * f);
    }
  }
}

// result = factor * row (+ result).
template <class T> WW_INLINE void writeRow(T* result, const float* row, int64_t panelStride, int64_t columns, float factor, bool accumulate) {
  const F32 f = splat(factor);
  for (int64_t c = 0; c < columns; c += kWidth) {
    const F32 v = load(row + c / kPanel * panelStride + c % kPanel) * f;
    const int64_t n = columns - c;
    if (n >= kWidth) store(result + c, accumulate ? load(result + c) + v : v);
    else storePartial(result + c, accumulate ? loadPartial(result + c, n) + v : v, n);
  }
}
template <class T> WW_INLINE void writeZeros(T* result, int64_t columns) {
  for (int64_t c = 0; c < columns; c += kWidth) {
    if (columns - c >= kWidth) store(result + c, zero());
    else storePartial(result + c, zero(), columns - c);
  }
}

}  // namespace warpweft::cpu::WW_ISA::attention
