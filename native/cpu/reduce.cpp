#include "ops/reduce.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kPiece = 65536;      // elements of a piece of a long reduction: what one thread takes, and what one partial result stands for
constexpr int64_t kShortReduction = 32;
constexpr int64_t kStretch = 16 * kWidth;
constexpr int kRowsAtOnce = 8;         // rows that are added in float32, as a tree, before they go to double

// Partial results: vectors within a block, doubles between blocks.
struct Sum {
  static constexpr float identity = 0.f;
  static WW_INLINE F32 step(F32 acc, F32 x) { return acc + x; }
  static WW_INLINE F32 merge(F32 a, F32 b) { return a + b; }
  static double join(double a, double b) { return a + b; }
};
struct SumOfSquares : Sum {
  static WW_INLINE F32 step(F32 acc, F32 x) { return fma(x, x, acc); }
};
struct Product {
  static constexpr float identity = 1.f;
  static WW_INLINE F32 step(F32 acc, F32 x) { return acc * x; }
  static WW_INLINE F32 merge(F32 a, F32 b) { return a * b; }
  static double join(double a, double b) { return a * b; }
};
struct Maximum {
  static constexpr float identity = -kInfinity;
  static WW_INLINE F32 step(F32 acc, F32 x) { return select(isNan(acc), acc, max(acc, x)); }
  static WW_INLINE F32 merge(F32 a, F32 b) { return step(a, b); }
  static double join(double a, double b) { return a != a || a > b ? a : b; }
};
struct Minimum {
  static constexpr float identity = kInfinity;
  static WW_INLINE F32 step(F32 acc, F32 x) { return select(isNan(acc), acc, min(acc, x)); }
  static WW_INLINE F32 merge(F32 a, F32 b) { return step(a, b); }
  static double join(double a, double b) { return a != a || a < b ? a : b; }
};

// Four accumulators over short stretches, these over the block: no float32 sum has more than about twenty terms.
template <class Op> double reduceBlock(const float* x, int64_t n) {
  F32 total = splat(Op::identity);
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    F32 acc[4] = {splat(Op::identity), splat(Op::identity), splat(Op::identity), splat(Op::identity)};
    const float* p = x + begin;
    eachVectorOfFour(minimum(kStretch, n - begin), [&](int64_t i, auto lanes, int k) { acc[k] = Op::step(acc[k], within(load(p + i, lanes), splat(Op::identity), lanes)); });
    total = Op::merge(total, Op::merge(Op::merge(acc[0], acc[1]), Op::merge(acc[2], acc[3])));
  }
  float lanes[kWidth];
  store(lanes, total);
  double r = static_cast<double>(lanes[0]);
  for (int i = 1; i < kWidth; i++) r = Op::join(r, static_cast<double>(lanes[i]));
  return r;
}

// partial = op over `count` rows. The tree has the same shape for every column, and three levels for eight rows.
template <class Op> void reduceRows(const float* const* rows, int count, float* partial, int64_t n) {
  eachVector(n, [&](int64_t i, auto lanes) {
    const auto row = [&](int k) { return Op::step(splat(Op::identity), load(rows[k] + i, lanes)); };
    if (count == kRowsAtOnce) {
      const auto pair = [&](int k) { return Op::step(row(k), load(rows[k + 1] + i, lanes)); };
      store(partial + i, Op::merge(Op::merge(pair(0), pair(2)), Op::merge(pair(4), pair(6))), lanes);
    } else {
      F32 r = row(0);
      for (int k = 1; k < count; k++) r = Op::step(r, load(rows[k] + i, lanes));
      store(partial + i, r, lanes);
    }
  });
}

// value = value op partial.
template <class Op, class T> void joinAll(double* value, const T* partial, int64_t n) {
  for (int64_t i = 0; i < n; i++) value[i] = Op::join(value[i], static_cast<double>(partial[i]));
}

struct FloatOp {
  double identity;
  double (*block)(const float* x, int64_t n);
  void (*rows)(const float* const* rows, int count, float* partial, int64_t n);
  double (*join)(double a, double b);
  void (*joinFloats)(double* value, const float* partial, int64_t n);
  void (*joinDoubles)(double* value, const double* partial, int64_t n);
};
template <class Op> constexpr FloatOp floatOp = {static_cast<double>(Op::identity), reduceBlock<Op>, reduceRows<Op>, Op::join, joinAll<Op>, joinAll<Op>};

const FloatOp& floatOpFor(ReduceOp op) {
  switch (op) {
    case ReduceOp::max: return floatOp<Maximum>;
    case ReduceOp::min: return floatOp<Minimum>;
    case ReduceOp::prod: return floatOp<Product>;
    case ReduceOp::sumOfSquares: return floatOp<SumOfSquares>;
    default: return floatOp<Sum>;
  }
}

// Of bool, max is `any` and min is `all`: false and true of nothing.
int64_t integerIdentity(ReduceOp op, DType t) {
  const bool isBool = t == DType::b8;
  return op == ReduceOp::max ? (isBool ? 0 : INT64_MIN) : op == ReduceOp::min ? (isBool ? 1 : INT64_MAX) : op == ReduceOp::prod ? 1 : 0;
}
int64_t joinIntegers(ReduceOp op, int64_t a, int64_t b) {
  switch (op) {
    case ReduceOp::max: return a > b ? a : b;
    case ReduceOp::min: return a < b ? a : b;
    case ReduceOp::prod: return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    default: return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
}

// The dimensions of x that stay (with those of y) and those that go, and how the latter are cut into pieces.
struct Plan {
  Loop<2> kept;      // x, y
  Loop<1> reduced;   // x
  bool across;       // the elements that lie side by side in x belong to different results, or there are few for each
  Cut<2> columns;    // of kept, if across
  int64_t rows;      // elements of `reduced` in a piece
  int64_t pieces;
};

Plan planOf(const Reduce& a) {
  View keptX = a.x, keptY = a.y, reducedX = a.x;
  keptX.rank = keptY.rank = reducedX.rank = 0;
  for (int d = 0; d < a.x.rank; d++) {
    View& part = a.y.sizes[d] == a.x.sizes[d] ? keptX : reducedX;
    part.sizes[part.rank] = a.x.sizes[d];
    part.strides[part.rank] = a.x.strides[d];
    if (&part == &keptX) {
      keptY.sizes[part.rank] = a.y.sizes[d];
      keptY.strides[part.rank] = a.y.strides[d];
      keptY.rank++;
    }
    part.rank++;
  }
  Plan p;
  const View* keptViews[] = {&keptX, &keptY};
  const View* reducedViews[] = {&reducedX};
  p.kept = loopOver(keptViews);
  p.reduced = loopOver(reducedViews);
  p.across = isFloat(a.x.dtype) && p.kept.rank && p.reduced.rank && p.reduced.total &&
             (p.kept.innerStride(0) < p.reduced.innerStride(0) || (p.reduced.total <= kShortReduction && p.kept.total > kShortReduction));
  p.rows = kPiece;
  if (p.across) {
    p.columns = cutOf(p.kept, false);
    p.rows = ceilDiv(ceilDiv(kPiece, minimum(p.columns.pieces ? p.kept.inner() : p.kept.total, kBlock)), kRowsAtOnce) * kRowsAtOnce;
  }
  p.pieces = maximum(1, ceilDiv(p.reduced.total, p.rows));
  return p;
}

WW_INLINE void writeResult(const Reduce& a, int64_t offset, double value) {
  dispatchFloat(a.y.dtype, [&]<class T>() {
    T* y = a.y.as<T>() + offset;
    *y = fromFloat<T>(a.y.accumulate ? toFloat(*y) + static_cast<float>(value) : static_cast<float>(value));
  });
}

WW_INLINE View shifted(const View& v, int64_t elements) {
  View s = v;
  s.data = s.as<char>() + elements * sizeOf(v.dtype);
  return s;
}

// Each result from its own stretch of memory: row sums, whole tensors.
template <class Value, class ReduceBlock, class Join, class Write>
WW_INLINE void reduceAlong(const Reduce& a, const Plan& p, Context& c, Value identity, ReduceBlock&& reduceBlock, Join&& join, Write&& write) {
  Value* partial = static_cast<Value*>(c.workspace());
  const int64_t length = minimum(p.reduced.total, p.rows);
  c.parallelFor(p.kept.total * p.pieces, ceilDiv(kGrain, maximum(length, 16)), [&](int64_t begin, int64_t end, int) __attribute__((noinline)) {
    View x = a.x;
    for (int64_t item = begin; item < end; item++) {
      Block at{}, b{};
      locate(p.kept, item / p.pieces, at);
      x.data = a.x.as<char>() + offsetOf(p.kept, 0, at) * sizeOf(a.x.dtype);
      const int64_t first = item % p.pieces * p.rows, last = minimum(p.reduced.total, first + p.rows);
      Value value = identity;
      for (int64_t i = first; i < last; i += kBlock) {
        locate(p.reduced, i, b);
        b.count = minimum(kBlock, last - i);
        value = join(value, reduceBlock(x, b));
      }
      if (p.pieces > 1) partial[item] = value;
      else write(offsetOf(p.kept, 1, at), value);
    }
  });
  if (p.pieces == 1) return;
  for (int64_t k = 0; k < p.kept.total; k++) {
    Value value = identity;
    for (int64_t i = 0; i < p.pieces; i++) value = join(value, partial[k * p.pieces + i]);
    Block at{};
    locate(p.kept, k, at);
    write(offsetOf(p.kept, 1, at), value);
  }
}

// Many results side by side: column sums. Rows are added to a block of columns, so that memory is read in the order in which it lies.
void reduceAcross(const Reduce& a, const Plan& p, Context& c, const FloatOp& op, double divisor) {
  double* partial = static_cast<double*>(c.workspace());
  const auto finish = [&](const Block& b, double* value) {
    alignas(64) float result[kBlock];
    for (int64_t i = 0; i < b.count; i++) result[i] = static_cast<float>(value[i] / divisor);
    writeFloats(p.kept, 1, a.y, a.y.accumulate, b, result, result);
  };
  const int64_t length = minimum(p.reduced.total, p.rows) * minimum(p.columns.pieces ? p.kept.inner() : p.kept.total, kBlock);
  c.parallelFor(p.columns.blocks * p.pieces, ceilDiv(kGrain, length), [&](int64_t begin, int64_t end, int) __attribute__((noinline)) {
    alignas(64) float buffers[kRowsAtOnce][kBlock], sum[kBlock];
    alignas(64) double total[kBlock];
    for (int64_t item = begin; item < end; item++) {
      const int64_t column = item / p.pieces, first = item % p.pieces * p.rows, last = minimum(p.reduced.total, first + p.rows);
      Block b, at{};
      p.columns.block(p.kept, column, b);
      double* value = p.pieces > 1 ? partial + item % p.pieces * p.kept.total + p.columns.start(p.kept, column) : total;
      for (int64_t i = 0; i < b.count; i++) value[i] = op.identity;
      for (int64_t row = first; row < last; row += kRowsAtOnce) {
        const int count = static_cast<int>(minimum(kRowsAtOnce, last - row));
        const float* rows[kRowsAtOnce];
        for (int k = 0; k < count; k++) {
          locate(p.reduced, row + k, at);
          rows[k] = readFloats(p.kept, 0, shifted(a.x, offsetOf(p.reduced, 0, at)), b, buffers[k]);
        }
        op.rows(rows, count, sum, b.count);
        op.joinFloats(value, sum, b.count);
      }
      if (p.pieces == 1) finish(b, total);
    }
  });
  if (p.pieces == 1) return;
  c.parallelFor(p.columns.blocks, 1 + kGrain / (p.pieces * kBlock), [&](int64_t begin, int64_t end, int) {
    for (int64_t column = begin; column < end; column++) {
      Block b;
      p.columns.block(p.kept, column, b);
      double* value = partial + p.columns.start(p.kept, column);
      for (int64_t piece = 1; piece < p.pieces; piece++) op.joinDoubles(value, value + piece * p.kept.total, b.count);
      finish(b, value);
    }
  });
}

void run(const Reduce& a, Context& c) {
  const Plan p = planOf(a);
  if (p.kept.total == 0) return;
  const auto op = static_cast<ReduceOp>(a.op);
  if (!isFloat(a.x.dtype)) {
    const int64_t identity = integerIdentity(op, a.x.dtype);
    reduceAlong<int64_t>(
        a, p, c, identity,
        [&](const View& x, const Block& b) {
          alignas(64) int64_t buffer[kBlock];
          const int64_t* values = readInts(p.reduced, 0, x, b, buffer);
          int64_t r = identity;
          for (int64_t i = 0; i < b.count; i++) r = joinIntegers(op, r, values[i]);
          return r;
        },
        [&](int64_t u, int64_t v) { return joinIntegers(op, u, v); },
        [&](int64_t offset, int64_t value) {
          dispatchInteger(a.y.dtype, [&]<class T>() { a.y.as<T>()[offset] = static_cast<T>(a.y.dtype == DType::b8 ? value != 0 : value); });
        });
    return;
  }
  const FloatOp& f = floatOpFor(op);
  const double divisor = op == ReduceOp::mean ? static_cast<double>(p.reduced.total) : 1.0;
  if (p.across) return reduceAcross(a, p, c, f, divisor);
  reduceAlong<double>(
      a, p, c, f.identity,
      [&](const View& x, const Block& b) {
        alignas(64) float buffer[kBlock];
        return f.block(readFloats(p.reduced, 0, x, b, buffer), b.count);
      },
      [&](double u, double v) { return f.join(u, v); }, [&](int64_t offset, double value) { writeResult(a, offset, value / divisor); });
}

size_t workspace(const Reduce& a) {
  const Plan p = planOf(a);
  return p.pieces > 1 ? static_cast<size_t>(p.kept.total * p.pieces) * sizeof(double) : 0;
}

}  // namespace
WW_KERNEL_WITH_WORKSPACE(Reduce)
}  // namespace warpweft::cpu::WW_ISA
