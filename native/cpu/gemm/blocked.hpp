#pragma once
// A product by packed panels and register tiles, after Goto, van de Geijn 2008 ("Anatomy of high-performance matrix multiplication"): both operands are packed
// once, by all threads; then a grid of blocks of c is shared out.
#include "cpu/gemm/epilogue.hpp"
#include "cpu/gemm/plan.hpp"
#include "cpu/gemm/workers.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Multiplications that are worth waking a thread for.
inline constexpr int64_t kTaskProducts = 1 << 17;
// Sums of a block of c that wait for the next block of depth.
inline constexpr int64_t kWaitingBytes = 256 << 10;
inline constexpr int64_t kScratchBytes = kWaitingBytes + 4 * kMostRows * kColumns;

// E: panel elements; B: storage of b where it is read in place, else E; T: storage of a and b.
template <class E, class B, class T> class Blocked {
 public:
  // `memory` has plan.bytes(), the workers' own one kScratchBytes.
  static void run(const Product& p, const Plan& q, char* memory, const Workers& workers) {
    if (p.K <= q.piece) return piece(p, q, memory, workers);
    Product part = p;
    Plan plan = q;
    for (int64_t k = 0; k < p.K; k += q.piece) {
      part.K = minimum(q.piece, p.K - k);
      part.a.data = p.a.data + k * p.a.depth * sizeof(T);
      part.b.data = p.b.data + k * p.b.depth * sizeof(T);
      cut(plan, p.type, part.K);
      piece(part, plan, memory, workers);
      part.accumulate = part.addSums = true;
    }
  }

 private:
  struct Block { int64_t row, rows, column, columns; };
  struct Depth { int64_t begin, size; bool first, last; };
  struct Tiles { Tile<E, E> packed; Tile<E, B> inPlace; };

  static void piece(const Product& p, const Plan& q, char* memory, const Workers& workers) {
    const Blocked x{p, q, reinterpret_cast<E*>(memory), reinterpret_cast<E*>(memory + q.aBytes), reinterpret_cast<float*>(memory + q.aBytes + q.bBytes)};
    for (int64_t column = 0; column < p.N; column += q.columns)
      for (int64_t row = 0; row < p.M; row += q.rows) {
        const Block block{row, minimum(q.rows, p.M - row), column, minimum(q.columns, p.N - column)};
        x.pack(block, row == 0, column == 0 || q.rows < p.M, column == 0, workers);
        x.multiply(block, workers);
        if (q.splits > 1) x.combine(block, workers);
      }
  }

  // Packs the operands' pieces of a block.
  void pack(const Block& block, bool packB, bool packA, bool firstColumns, const Workers& workers) const {
    constexpr int64_t kTaskElements = 1 << 14;
    const int64_t panelsOfA = packA ? ceilDiv(block.rows, q.height) : 0;
    // Of a b that is read in place, only the last panel, if it is not whole.
    const int64_t allOfB = ceilDiv(block.columns, kColumns), firstOfB = q.direct ? block.columns / kColumns : 0, panelsOfB = packB ? allOfB - firstOfB : 0;
    const int64_t groupA = maximum(1, kTaskElements / maximum(1, q.height * q.elements)), groupB = maximum(1, kTaskElements / maximum(1, kColumns * q.elements));
    const int64_t tasksOfB = ceilDiv(panelsOfB, groupB), tasks = tasksOfB + ceilDiv(panelsOfA, groupA);
    workers.each(tasks, [&](int64_t task, int) {
      if (task < tasksOfB) {
        const int64_t panel = firstOfB + task * groupB, line = panel * kColumns, lines = minimum(block.columns - line, groupB * kColumns);
        packPanels<E, T, false>(p.b, p.N, p.K, block.column + line, lines, kColumns, b + (panel - firstOfB) * kColumns * q.elements, p.exchanged ? sumsAt(block.column + line) : nullptr,
                                p.addSums);
      } else {
        const int64_t panel = (task - tasksOfB) * groupA, line = panel * q.height, lines = minimum(block.rows - line, groupA * q.height);
        packPanels<E, T, true>(p.a, p.M, p.K, block.row + line, lines, q.height, a + line * q.elements, !p.exchanged && firstColumns ? sumsAt(block.row + line) : nullptr, p.addSums);
      }
    });
  }
  float* sumsAt(int64_t line) const { return p.sums ? p.sums + line : nullptr; }

  // The grid: blocks of `tall` by `wide` panels for each part of the depth.
  void multiply(const Block& block, const Workers& workers) const {
    const int64_t panelsOfA = ceilDiv(block.rows, q.height), panelsOfB = ceilDiv(block.columns, kColumns);
    int64_t tall = panelsOfA, wide = panelsOfB;
    if (waits()) {
      const int64_t most = kWaitingBytes / (4 * q.height * kColumns);   // tiles
      if (kPassesB) wide = minimum(wide, near()), tall = minimum(tall, maximum(1, most / wide));
      else tall = minimum(tall, near()), wide = minimum(wide, maximum(1, most / tall));
    }
    const auto tasks = [&] { return ceilDiv(panelsOfA, tall) * ceilDiv(panelsOfB, wide) * q.splits; };
    const int64_t enough = workers.count() == 1 ? 1 : 4 * workers.count(), least = kTaskProducts / maximum(1, q.height * kColumns * p.K);
    while (tasks() < enough && tall * wide > least * q.splits && tall * wide > 1) {
      if (wide > 1 && wide * kColumns >= tall * q.height) wide = ceilDiv(wide, 2);
      else if (tall > 1) tall = ceilDiv(tall, 2);
      else wide = ceilDiv(wide, 2);
    }
    const int64_t down = ceilDiv(panelsOfA, tall), across = ceilDiv(panelsOfB, wide);
    workers.each(down * across * q.splits, [&](int64_t task, int thread) {
      const int64_t split = task / (down * across), top = task % down * tall, left = task / down % across * wide;
      grid(block, top, minimum(top + tall, panelsOfA), left, minimum(left + wide, panelsOfB), split, waits() ? workers.scratch(thread, kScratchBytes) : nullptr);
    });
  }

  // Panels that pass by again and again, and so should stay in L2.
  int64_t near() const { return maximum(1, kNearBytes / (4 * (kPassesB ? kColumns : q.height) * maximum(1, q.run))); }

  // Sums go through memory of their own between blocks of depth, unless they may lie in c.
  bool waits() const { return q.blocks > 1 && q.splits == 1 && !p.plain(); }

  void grid(const Block& block, int64_t top, int64_t bottom, int64_t left, int64_t right, int64_t split, float* waiting) const {
    const int64_t firstBlock = q.blocks * split / q.splits, lastBlock = q.blocks * (split + 1) / q.splits;
    alignas(64) float hot[kMostRows * kColumns];
    [[maybe_unused]] const RegistersOf<E> registers;
    Tiles tiles{packedTile<E, T>(q.height, kVectors), nullptr};
    if constexpr (std::is_same_v<B, T>)
      if (q.direct) tiles.inPlace = tileOf<E, B, false>(q.height, kVectors);
    for (int64_t k = firstBlock; k < lastBlock; k++) {
      const Depth depth{k * q.run, minimum(q.run, q.elements - k * q.run), k == firstBlock, k + 1 == lastBlock};
      const auto cell = [&](int64_t i, int64_t j) WW_ALWAYS {
        float* const sums = waiting ? waiting + ((i - top) * (right - left) + j - left) * q.height * kColumns : hot;
        this->cell(tiles, block, i, j, split, depth, sums);
      };
      const int64_t group = near();
      if constexpr (kPassesB) {
        for (int64_t j = left; j < right; j += group) {
          const int64_t end = minimum(j + group, right);
          for (int64_t i = top; i < bottom; i++)
            for (int64_t l = j; l < end; l++) cell(i, l);
        }
      } else {
        for (int64_t i = top; i < bottom; i += group) {
          const int64_t end = minimum(i + group, bottom);
          for (int64_t j = left; j < right; j++)
            for (int64_t l = i; l < end; l++) cell(l, j);
        }
      }
    }
  }

  // One tile of c over one block of depth. `sums` is where it waits for the next one, or for its epilogue.
  WW_INLINE void cell(const Tiles& tiles, const Block& block, int64_t i, int64_t j, int64_t split, const Depth& depth, float* sums) const {
    const int64_t row = i * q.height, rows = minimum(q.height, block.rows - row);
    const int64_t column = j * kColumns, columns = minimum(kColumns, block.columns - column);
    const bool plain = p.plain();
    Target target{sums, kColumns, rows, columns, !depth.first};
    if (q.splits > 1) target = {partial + (split * q.rows + row) * q.columns + column, q.columns, rows, columns, !depth.first};
    else if (plain) target = {elementOf<float>(p.c, block.row + row, block.column + column), p.c.row, rows, columns, p.accumulate || !depth.first};
    const E* const panel = a + row * q.elements + depth.begin * q.height;
    if (q.direct && columns == kColumns) {
      tiles.inPlace(panel, reinterpret_cast<const B*>(p.b.data) + depth.begin * p.b.depth + block.column + column, p.b.depth, depth.size, target);
    } else {
      const Tile<E, E> packed = columns > kColumns - kWidth ? tiles.packed : packedTile<E, T>(q.height, ceilDiv(columns, kWidth));
      packed(panel, b + (q.direct ? 0 : column * q.elements) + depth.begin * kColumns, kColumns, depth.size, target);
    }
    if (q.splits == 1 && !plain && depth.last) finish(p, target.data, kColumns, block.row + row, rows, block.column + column, columns);
  }

  // Adds the parts of the depth in their order.
  void combine(const Block& block, const Workers& workers) const {
    workers.each(ceilDiv(block.rows, q.height), [&](int64_t task, int) {
      const int64_t row = task * q.height, rows = minimum(q.height, block.rows - row);
      float* const sums = partial + row * q.columns;
      for (int64_t s = 1; s < q.splits; s++)
        for (int64_t i = 0; i < rows * q.columns; i += kWidth) store(sums + i, load(sums + i) + load(sums + s * q.rows * q.columns + i));
      finish(p, sums, q.columns, row, rows, 0, block.columns);
    });
  }

 public:
  const Product& p;
  const Plan& q;
  E* const a;
  E* const b;
  float* const partial;
};

}  // namespace warpweft::cpu::WW_ISA::gemm
