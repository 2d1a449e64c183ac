#pragma once
// How a product is cut into pieces. Everything that decides the order of additions follows from sizes, strides and the instruction set, nothing from threads.
#include "cpu/gemm/few_rows.hpp"
#include "cpu/gemm/panels.hpp"
#include "cpu/gemm/tile.hpp"
#include "cpu/gemm/tiles.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Up to here reading rows of a float32 b where they lie costs less than packing them.
inline constexpr int64_t kDirectRows = 48;

// Depth of a block.
inline constexpr int64_t kRun = 512;
// Depth of a block where b is read where it lies: few enough rows for the prefetchers to follow each of them.
inline constexpr int64_t kDirectRun = 16;
// What the panels that pass by again and again may take of L2.
inline constexpr int64_t kNearBytes = (kPassesB ? 512 : 256) << 10;
// Where sums may be added up in c, depth is packed in pieces of about this size for both operands together, which pass through the caches once.
inline constexpr int64_t kPieceBytes = 1 << 20;
// Limits of the packed copies. Operands beyond them are packed piece by piece.
inline constexpr int64_t kPackedA = 4 << 20, kPackedB = 8 << 20;
// The same for matrix tiles, whose terms take half as much again as the numbers, and which are too fast to pack anything twice.
inline constexpr int64_t kTileRun = 768, kTilePieceBytes = 8 << 20, kPackedTilesA = 16 << 20, kPackedTilesB = 32 << 20;

struct Plan {
  bool dots, weighted;   // dots.hpp, weighted_rows.hpp, else panels
  bool tiles, pairs, direct;   // elements are of matrix tiles, or pairs of bfloat16; b is read where it lies
  int64_t height;        // lines of a panel of a
  int64_t piece;         // depth that is packed at a time
  int64_t elements;      // of a piece
  int64_t run, blocks;   // elements of a block of depth; number of blocks in a piece
  int64_t rows, columns; // of a and b that are packed at a time, whole panels
  int64_t splits;        // parts of the depth that are summed apart, for want of rows and columns to share out
  int64_t aBytes, bBytes, sumsBytes;   // the parts of the workspace

  WW_INLINE int64_t bytes() const { return aBytes + bBytes + sumsBytes; }
};

// The panel height that costs least for M rows, an empty row being as dear as a full one and a step of depth three quarters of a row.
static int64_t heightFor(int64_t M, int64_t most) {
  int64_t best = 0, least = 0;
  for (int64_t h = 1; h <= most; h++) {
    const int64_t cost = ceilDiv(M, h) * (4 * h + 3);
    if (best == 0 || cost <= least) best = h, least = cost;
  }
  return best;
}

// Lines of an operand that fit into `bytes`: whole panels, at least `least` of them, in pieces of equal size.
static int64_t pieceOf(int64_t lines, int64_t panel, int64_t elements, int64_t bytes, int64_t least) {
  const int64_t most = maximum(least, bytes / maximum(1, 4 * elements * panel)) * panel;
  return roundUp(ceilDiv(lines, ceilDiv(lines, most)), panel);
}

// Elements of a line and a step of depth in matrix tiles.
static int64_t elementsOfStep(DType type) {
  return type == DType::bf16 ? kElementsOfStep<bf16> : type == DType::f16 ? kElementsOfStep<f16> : kElementsOfStep<float>;
}

// Cuts a depth of K into blocks.
static void cut(Plan& q, DType type, int64_t K) {
  const int64_t unit = q.tiles ? elementsOfStep(type) : 1;
  q.elements = q.tiles ? ceilDiv(K, kTileDepth) * unit : q.pairs ? elementsIn<Pair>(K) : K;
  q.blocks = maximum(1, ceilDiv(q.elements, q.tiles ? kTileRun : q.direct ? kDirectRun : kRun));
  q.run = roundUp(ceilDiv(q.elements, q.blocks), unit);
}

// Without `withTiles`: the plan for numbers that tiles cannot take.
static Plan planOf(const Product& p, bool withTiles = true) {
  Plan q{};
  const bool half = p.type != DType::f32, sumsOfB = p.sums && p.exchanged;
  q.splits = 1;
  q.dots = p.M <= kFewRows && p.b.depth == 1 && p.b.line != 1 && !p.sums;
  q.weighted = p.M <= kFewRows && p.b.line == 1 && !p.sums;
  if (q.dots || q.weighted) {
    q.aBytes = roundUp(p.M * p.K * 4, 64);
    return q;
  }
  q.direct = p.b.line == 1 && !sumsOfB && p.M <= (half ? kFewRows : kDirectRows);
  q.tiles = kTiles && withTiles && usesTiles() && !q.direct && p.M > kFewRows && p.N >= kFewRows && p.K >= kTileDepth;
  q.pairs = kPairs && !q.tiles && !q.direct && p.type == DType::bf16 && usesPairs();
  q.height = q.tiles ? kTilePanel : heightFor(p.M, q.direct && half ? kRowsOfHalf : kRows);
  q.piece = maximum(1, p.K);
  cut(q, p.type, p.K);
  const int64_t tiles = ceilDiv(p.M, q.height) * ceilDiv(p.N, kColumns);
  if (!q.direct && tiles <= 32 && q.blocks >= 8) {
    q.splits = minimum(q.blocks / 4, ceilDiv(64, tiles));
  } else if (!q.direct && p.plain()) {
    const int64_t depth = q.tiles ? maximum(1, kTilePieceBytes / (4 * elementsOfStep(p.type) * (p.M + p.N))) * kTileDepth
                                  : maximum(1, kPieceBytes / (4 * kRun * (p.M + p.N))) * kRun * (q.pairs ? kSteps<Pair> : 1);
    q.piece = minimum(q.piece, depth);
    cut(q, p.type, minimum(q.piece, p.K));
  }
  q.rows = q.splits > 1 ? roundUp(p.M, q.height) : pieceOf(p.M, q.height, q.elements, q.tiles ? kPackedTilesA : kPackedA, 8);
  q.columns = q.splits > 1 || q.direct ? roundUp(p.N, kColumns) : pieceOf(p.N, kColumns, q.elements, q.tiles ? kPackedTilesB : kPackedB, 4);
  q.aBytes = roundUp(q.rows * q.elements * 4, 64);
  q.bBytes = roundUp((q.direct ? kColumns : q.columns) * q.elements * 4, 64);
  if (q.splits > 1) q.sumsBytes = q.splits * q.rows * q.columns * 4;
  return q;
}

}  // namespace warpweft::cpu::WW_ISA::gemm
