#pragma once
// Tiles of a 16-bit operand in shared memory. A tile has rows of 16-byte chunks: lines with their elements along k (Layout::depth, elements), or steps of k with
// their elements along the lines (Layout::lines), which ldmatrix transposes. Chunks are exchanged within 128 bytes so that neither copies nor ldmatrix, which reads
// one chunk of eight consecutive rows, find two of them in the same banks.
#include "cuda/gemm/problem.hpp"

namespace warpweft::cuda::gemm {

inline constexpr int kChunk = 8;   // elements of 16 bytes

// Which chunks of a row are exchanged, by the row: rows of fewer than 8 chunks share their 128 bytes with others, of which each is exchanged differently. Every
// eighth row is the same.
template <int kChunks> WW_DEVICE int exchange(int row) {
  static_assert((kChunks & (kChunks - 1)) == 0);
  constexpr int kRowsOfLine = kChunks < 8 ? 8 / kChunks : 1, kMask = (kChunks < 8 ? kChunks : 8) - 1;
  return row / kRowsOfLine & kMask;
}

// The part of an operand that a block goes through: kLines lines from `first` on, kDepth steps of k at a time from `k` on, brought in by kThreads threads.
template <class T, Layout kLayout, int kLines, int kDepth, int kThreads> class Loader {
 public:
  static constexpr bool kAcross = kLayout == Layout::lines;
  static constexpr int kRows = kAcross ? kDepth : kLines, kChunks = (kAcross ? kLines : kDepth) / kChunk;
  static constexpr int kElements = kLines * kDepth;

  // chunked (of Layout::elements): this operand could be copied along k.
  WW_DEVICE Loader(const Operand& x, int64_t offset, int64_t lines, int64_t K, int64_t first, int64_t k, bool chunked)
      : row_(static_cast<int>(threadIdx.x) / kChunks), chunk_(static_cast<int>(threadIdx.x) % kChunks), lines_(static_cast<int>(least(kLines, lines - first))),
        line_(x.line), depth_(x.depth), left_(K - k), chunked_(chunked) {
    from_ = static_cast<const T*>(x.data) + offset + first * x.line + k * x.depth;
    if (kLayout != Layout::elements || chunked) from_ += kAcross ? chunk_ * kChunk + row_ * depth_ : chunk_ * kChunk + row_ * line_;
  }

  // Begins to bring in the next tile. What lies outside of the operand is zero, and not read.
  WW_DEVICE void issue(T* tile) {
    const int left = static_cast<int>(least(kDepth, left_));
    if (kLayout == Layout::elements && !chunked_) {
      elements(tile, left);
    } else {
      // Of a chunk, the same elements are inside of the operand for all rows.
      const int inside = (kAcross ? lines_ : left) - chunk_ * kChunk, rows = kAcross ? left : lines_;
      const unsigned valid = inside >= kChunk ? 2 * kChunk : inside > 0 ? 2 * static_cast<unsigned>(inside) : 0;
      T* const to = tile + (row_ * kChunks + (chunk_ ^ exchange<kChunks>(row_))) * kChunk;
      WW_UNROLL for (int i = 0; i < kRows / kRowsAtOnce; i++)
        cpAsync(to + i * kRowsAtOnce * kChunks * kChunk, from_ + i * kRowsAtOnce * (kAcross ? depth_ : line_), row_ + i * kRowsAtOnce < rows ? valid : 0);
    }
    from_ += kDepth * depth_;
    left_ -= kDepth;
  }

 private:
  static constexpr int kRowsAtOnce = kThreads / kChunks;
  static_assert(kThreads % kChunks == 0 && kRows % kRowsAtOnce == 0 && kRowsAtOnce % 8 == 0);

  // Neighbouring threads take neighbouring lines where these lie together, else neighbouring chunks of a line.
  WW_DEVICE void elements(T* tile, int left) const {
    for (int n = static_cast<int>(threadIdx.x); n < kRows * kChunks; n += kThreads) {
      const int row = line_ == 1 ? n % kRows : n / kChunks, chunk = line_ == 1 ? n / kRows : n % kChunks;
      const T* from = from_ + row * line_ + chunk * kChunk * depth_;
      Vector<uint32_t, kChunk / 2> pairs;
      WW_UNROLL for (int j = 0; j < kChunk; j += 2) {
        uint32_t low = 0, high = 0;
        if (row < lines_ && chunk * kChunk + j < left) low = from[j * depth_].bits;
        if (row < lines_ && chunk * kChunk + j + 1 < left) high = from[(j + 1) * depth_].bits;
        pairs.v[j / 2] = low | high << 16;
      }
      store(reinterpret_cast<uint32_t*>(tile + (row * kChunks + (chunk ^ exchange<kChunks>(row))) * kChunk), pairs);
    }
  }

  int row_, chunk_, lines_;
  int64_t line_, depth_, left_;
  bool chunked_;
  const T* from_;
};

// Fragments of a tile (device/matrix.cuh has their tables): 16 lines by 16 steps of k from (line, k) on, both multiples of 16. As an operand a they are the registers
// a[0..3]; as an operand b, b[0..1] of lines 0 to 7 and b[0..1] of lines 8 to 15.
// l: the lane, which gives the address of a row.
template <class L, bool kIsA, class T> WW_DEVICE void fragment(uint32_t (&r)[4], const T* tile, int line, int k, int l) {
  const int within = l % 8, second = l / 8 % 2, third = l / 16, exchanged = exchange<L::kChunks>(within);
  // Matrices 0, 1, 2, 3 of an a go down the lines first, those of two b along k first.
  const int lineStep = kIsA ? second : third, chunkStep = kIsA ? third : second;
  if constexpr (L::kAcross) ldmatrix<4, true>(r, tile + ((8 * chunkStep + within + k) * L::kChunks + ((line / kChunk + lineStep) ^ exchanged)) * kChunk);
  else ldmatrix<4>(r, tile + ((8 * lineStep + within + line) * L::kChunks + ((k / kChunk + chunkStep) ^ exchanged)) * kChunk);
}

}  // namespace warpweft::cuda::gemm
