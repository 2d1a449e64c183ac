#pragma once
// Walks tensors of equal sizes and any strides together, in blocks that stay in L1.
#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr int64_t kBlock = 1024;         // elements of a block
inline constexpr int64_t kShortRow = 256;       // rows below this share a block
inline constexpr int64_t kTileRows = 16, kTileColumns = 64;
inline constexpr int64_t kGrain = 16384;        // elements of a chunk of work

// The sizes that N tensors have in common, with dimensions of size 1 dropped, ordered by the strides of tensor 0, and joined where all tensors allow it.
template <int N> struct Loop {
  int rank = 0;
  int64_t sizes[kMaxRank], strides[N][kMaxRank];   // a single element has rank 0
  int64_t total = 1;
  bool flat[N];   // all elements of the tensor adjacent, in the loop's order

  WW_INLINE int64_t inner() const { return rank ? sizes[rank - 1] : 1; }
  WW_INLINE int64_t innerStride(int k) const { return rank ? strides[k][rank - 1] : 1; }
};

// Some elements, numbered 0 … count - 1: from `index` on, either as they follow each other in the loop's order, or a tile of `rows` (along dimension `tile`) by
// `columns` (along the innermost).
struct Block {
  int64_t index[kMaxRank];
  int64_t count;
  int64_t rows, columns;   // rows = 0: no tile
  int tile;
};

template <int N> WW_INLINE Loop<N> loopOver(const View* const (&views)[N]) {
  Loop<N> l;
  const View& first = *views[0];
  for (int d = 0; d < first.rank; d++) {
    l.total *= first.sizes[d];
    if (first.sizes[d] == 1) continue;
    int at = l.rank++;
    for (; at > 0 && l.strides[0][at - 1] < first.strides[d]; at--) {
      l.sizes[at] = l.sizes[at - 1];
      for (int k = 0; k < N; k++) l.strides[k][at] = l.strides[k][at - 1];
    }
    l.sizes[at] = first.sizes[d];
    for (int k = 0; k < N; k++) l.strides[k][at] = views[k]->strides[d];
  }
  int kept = 0;
  for (int d = 1; d < l.rank; d++) {
    bool joins = true;
    for (int k = 0; k < N; k++) joins = joins && l.strides[k][kept] == l.strides[k][d] * l.sizes[d];
    if (joins) {
      l.sizes[kept] *= l.sizes[d];
    } else {
      kept++;
      l.sizes[kept] = l.sizes[d];
    }
    for (int k = 0; k < N; k++) l.strides[k][kept] = l.strides[k][d];
  }
  if (l.rank) l.rank = kept + 1;
  for (int k = 0; k < N; k++) {
    int64_t expected = 1;
    l.flat[k] = true;
    for (int d = l.rank - 1; d >= 0; d--) {
      l.flat[k] = l.flat[k] && l.strides[k][d] == expected;
      expected *= l.sizes[d];
    }
  }
  return l;
}

// Splits a number into the indices of the given sizes, last fastest.
template <int N> WW_INLINE void locate(const Loop<N>& l, int64_t element, Block& b) {
  for (int d = l.rank - 1; d > 0; d--) {
    b.index[d] = element % l.sizes[d];
    element /= l.sizes[d];
  }
  b.index[0] = element;
}

template <int N> WW_INLINE int64_t offsetOf(const Loop<N>& l, int k, const Block& b) {
  int64_t o = 0;
  for (int d = 0; d < l.rank; d++) o += b.index[d] * l.strides[k][d];
  return o;
}

// A dimension along which some tensor is closer together than along the innermost: tiles of both dimensions use whole cache lines. -1 if there is none.
template <int N> WW_INLINE int tileDimension(const Loop<N>& l) {
  if (l.inner() < kTileRows) return -1;
  for (int k = 0; k < N; k++) {
    int64_t least = l.innerStride(k);
    if (least < 2) continue;
    int tile = -1;
    for (int d = 0; d + 1 < l.rank; d++)
      if (l.strides[k][d] > 0 && l.strides[k][d] < least) { least = l.strides[k][d]; tile = d; }
    if (tile >= 0) return tile;
  }
  return -1;
}

// How a loop is cut into blocks.
template <int N> struct Cut {
  int64_t blocks, grain;   // grain: blocks of a chunk
  int tile;                // the dimension of a tile's rows, or -1
  int64_t pieces;          // blocks of a row; 0: blocks go on over rows
  Loop<1> tiles;           // sizes in tiles

  WW_INLINE void block(const Loop<N>& l, int64_t number, Block& b) const {
    if (tile >= 0) {
      const int last = l.rank - 1;
      locate(tiles, number, b);
      b.index[last] *= kTileColumns;
      b.index[tile] *= kTileRows;
      b.tile = tile;
      b.columns = minimum(kTileColumns, l.sizes[last] - b.index[last]);
      b.rows = minimum(kTileRows, l.sizes[tile] - b.index[tile]);
      b.count = b.rows * b.columns;
      return;
    }
    const int64_t inner = pieces ? l.inner() : l.total, piece = pieces ? number % pieces : number;
    locate(l, start(l, number), b);
    b.rows = b.columns = 0;
    b.tile = 0;
    b.count = minimum(kBlock, inner - piece * kBlock);
  }

  // Where a block that is no tile begins, in the loop's order.
  WW_INLINE int64_t start(const Loop<N>& l, int64_t number) const {
    return pieces ? number / pieces * l.inner() + number % pieces * kBlock : number * kBlock;
  }
};

template <int N> WW_INLINE Cut<N> cutOf(const Loop<N>& l, bool tiled = true) {
  Cut<N> cut;
  const int64_t inner = l.inner();
  cut.tile = tiled ? tileDimension(l) : -1;
  if (cut.tile >= 0) {
    cut.tiles.rank = l.rank;
    for (int d = 0; d < l.rank; d++) cut.tiles.sizes[d] = l.sizes[d];
    cut.tiles.sizes[cut.tile] = ceilDiv(l.sizes[cut.tile], kTileRows);
    cut.tiles.sizes[l.rank - 1] = ceilDiv(inner, kTileColumns);
    cut.blocks = l.total / inner / l.sizes[cut.tile] * cut.tiles.sizes[cut.tile] * cut.tiles.sizes[l.rank - 1];
    cut.grain = kGrain / (kTileRows * kTileColumns);
  } else if (l.rank > 1 && inner < kShortRow) {
    cut.pieces = 0;
    cut.blocks = ceilDiv(l.total, kBlock);
    cut.grain = kGrain / kBlock;
  } else {
    cut.pieces = ceilDiv(inner, kBlock);
    cut.blocks = l.total / inner * cut.pieces;
    cut.grain = ceilDiv(kGrain, minimum(inner, kBlock));
  }
  return cut;
}

// Calls body(block, thread) for blocks that make up the whole, spread over the threads. The blocks depend on sizes and strides alone.
template <int N, class F> WW_INLINE void forEachBlock(const Loop<N>& l, Context& c, F&& body) {
  if (l.total == 0) return;
  const Cut<N> cut = cutOf(l);
  c.parallelFor(cut.blocks, cut.grain, [&](int64_t begin, int64_t end, int thread) __attribute__((noinline)) {
    for (int64_t i = begin; i < end; i++) {
      Block b;
      cut.block(l, i, b);
      body(b, thread);
    }
  });
}

// Calls run(offsets, count, done) for the stretches of a block in which the tensors move by their innermost strides; `done` elements of the block lie before.
template <int N, class F> WW_INLINE void forEachRunOfAll(const Loop<N>& l, const Block& b, F&& run) {
  int64_t offsets[N], index[kMaxRank];
  for (int k = 0; k < N; k++) offsets[k] = offsetOf(l, k, b);
  for (int d = 0; d < l.rank; d++) index[d] = b.index[d];
  const int last = l.rank - 1;
  for (int64_t row = 0; row < b.rows; row++) {
    run(offsets, b.columns, row * b.columns);
    for (int k = 0; k < N; k++) offsets[k] += l.strides[k][b.tile];
  }
  if (b.rows) return;
  for (int64_t done = 0;;) {
    const int64_t n = last > 0 ? minimum(l.sizes[last] - index[last], b.count - done) : b.count;
    run(offsets, n, done);
    done += n;
    if (done == b.count) return;
    index[last] += n;
    for (int k = 0; k < N; k++) offsets[k] += n * l.strides[k][last];
    for (int d = last; d > 0 && index[d] == l.sizes[d]; d--) {
      for (int k = 0; k < N; k++) offsets[k] += l.strides[k][d - 1] - l.sizes[d] * l.strides[k][d];
      index[d] = 0;
      index[d - 1]++;
    }
  }
}

// Tensor k alone, for which the stretches may be longer: run(offset, count, done).
template <int N, class F> WW_INLINE void forEachRun(const Loop<N>& l, int k, const Block& b, F&& run) {
  if (l.flat[k] && !b.rows) return run(offsetOf(l, k, b), b.count, int64_t{0});
  Loop<1> alone;
  alone.rank = l.rank;
  for (int d = 0; d < l.rank; d++) {
    alone.sizes[d] = l.sizes[d];
    alone.strides[0][d] = l.strides[k][d];
  }
  forEachRunOfAll(alone, b, [&](const int64_t (&offsets)[1], int64_t n, int64_t done) { run(offsets[0], n, done); });
}

// Whether tensor k has the elements of the block side by side.
template <int N> WW_INLINE bool isAdjacent(const Loop<N>& l, int k, const Block& b) {
  const int last = l.rank - 1;
  return !b.rows && (l.flat[k] || (l.strides[k][last] == 1 && b.index[last] + b.count <= l.sizes[last]));
}

// Whether the block is a tile along whose rows tensor k is closer together than along its columns: it should be read column by column.
template <int N> WW_INLINE bool isTurned(const Loop<N>& l, int k, const Block& b) {
  return b.rows && l.strides[k][b.tile] < l.innerStride(k);
}

// A turned tile into a buffer, row by row.
template <class T> __attribute__((noinline)) static void turnTile(const T* p, int64_t rowStride, int64_t columnStride, const Block& b, T* y) {
  for (int64_t column = 0; column < b.columns; column++)
    for (int64_t row = 0; row < b.rows; row++) y[row * b.columns + column] = p[column * columnStride + row * rowStride];
}

}  // namespace warpweft::cpu::WW_ISA
