#include "ops/reduce.hpp"

#include "cuda/elementwise/convert.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

// A block of 256 threads has `across` results side by side and 256 / across threads for each; the grid's second dimension splits long sums. Where the elements
// of a result lie side by side, across is 1 and neighbours read neighbours of one sum; where results do, it is 32 and neighbours have neighbouring results.
// How the work is split depends on sizes and strides alone.
constexpr unsigned kThreads = 256;
constexpr int64_t kStretch = 64;         // elements that are added in float32, before double takes them
constexpr int64_t kSplitElements = 16384;   // of a result, in one block

template <class T> using Computed = std::conditional_t<kIsFloat<T>, float, int64_t>;    // what elements are added in
template <class T> using Total = std::conditional_t<kIsFloat<T>, double, int64_t>;      // and these sums

template <class A> WW_DEVICE A start(ReduceOp op) {
  switch (op) {
    case ReduceOp::prod: return 1;
    case ReduceOp::max: if constexpr (std::is_same_v<A, int64_t>) return INT64_MIN; else return -static_cast<A>(__builtin_huge_val());
    case ReduceOp::min: if constexpr (std::is_same_v<A, int64_t>) return INT64_MAX; else return static_cast<A>(__builtin_huge_val());
    default: return 0;
  }
}
template <class A> WW_DEVICE A joined(ReduceOp op, A a, A b) {
  switch (op) {
    case ReduceOp::max: return a != a || a > b ? a : b;
    case ReduceOp::min: return a != a || a < b ? a : b;
    case ReduceOp::prod:
      if constexpr (std::is_same_v<A, int64_t>) return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
      else return a * b;
    default:
      if constexpr (std::is_same_v<A, int64_t>) return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
      else return a + b;
  }
}

struct Target {
  void* data;
  DType dtype;
  bool accumulate;
  double share;   // 1 / n for the mean
};

template <class A> WW_DEVICE void put(const Target& y, ReduceOp op, int64_t at, A v) {
  if constexpr (std::is_same_v<A, int64_t>) {
    writeInteger(y.data, y.dtype, at, v);
  } else {
    if (op == ReduceOp::mean) v *= y.share;
    if (y.accumulate) v += static_cast<double>(readFloat(y.data, y.dtype, at));
    writeFloat(y.data, y.dtype, at, static_cast<float>(v));
  }
}

// The threads of a result, in the order of a tree; thread 0 of each has it.
template <class A> WW_DEVICE A joinThreads(ReduceOp op, A v, A* scratch, unsigned across) {
  scratch[threadIdx.x] = v;
  for (unsigned n = kThreads / 2; n >= across; n /= 2) {
    barrier();
    if (threadIdx.x < n) scratch[threadIdx.x] = v = joined(op, v, scratch[threadIdx.x + n]);
  }
  return v;
}

// kept: results (y, x); reduced: the elements of one. partial: [split][results], null where nothing is split.
template <class T>
__global__ void __launch_bounds__(kThreads) reduce(Loop<2> kept, Loop<1> reduced, ReduceOp op, unsigned across, Target y, const T* x, Total<T>* partial) {
  using A = Total<T>;
  using S = Computed<T>;
  WW_SHARED(A, scratch, [kThreads]);
  const int64_t result = static_cast<int64_t>(blockIdx.x) * across + threadIdx.x % across;
  const int64_t share = ceilDiv(reduced.total, gridDim.y), first = share * blockIdx.y, last = least(first + share, reduced.total);
  const int64_t step = kThreads / across;
  int64_t at[2] = {0, 0};
  A total = start<A>(op);
  if (result < kept.total) {
    kept.offsetsOfMany(result, at);
    S sum = start<S>(op);
    int64_t count = 0;
    for (int64_t i = first + threadIdx.x / across; i < last; i += step) {
      int64_t o[1];
      reduced.offsetsOfMany(i, o);
      S v;
      if constexpr (kIsFloat<T>) v = toFloat(x[at[1] + o[0]]);
      else v = static_cast<S>(x[at[1] + o[0]]);
      sum = joined(op, sum, op == ReduceOp::sumOfSquares ? v * v : v);
      if (++count % kStretch == 0) {
        total = joined(op, total, static_cast<A>(sum));
        sum = start<S>(op);
      }
    }
    total = joined(op, total, static_cast<A>(sum));
  }
  total = joinThreads(op, total, scratch, across);
  if (threadIdx.x >= across || result >= kept.total) return;
  if (partial) partial[static_cast<int64_t>(blockIdx.y) * kept.total + result] = total;
  else put(y, op, at[0], total);
}

// A thread a result: the parts of a split, in order.
template <class A> __global__ void __launch_bounds__(kThreads) finish(Loop<2> kept, ReduceOp op, int64_t parts, Target y, const A* partial) {
  const int64_t result = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (result >= kept.total) return;
  A total = partial[result];
  for (int64_t p = 1; p < parts; p++) total = joined(op, total, partial[p * kept.total + result]);
  int64_t at[2];
  kept.offsetsOfMany(result, at);
  put(y, op, at[0], total);
}

struct Plan {
  Loop<2> kept;
  Loop<1> reduced;
  unsigned across;
  int64_t parts;

  static Plan of(const Reduce& a) {
    View y = a.y, x = a.x, r = a.x;   // r: the reduced dimensions alone
    for (int d = 0; d < a.x.rank; d++) {
      if (a.y.sizes[d] == 1) x.sizes[d] = 1;
      else r.sizes[d] = 1;
    }
    const View* both[] = {&y, &x};
    const View* one[] = {&r};
    Plan p{loopOver(both), loopOver(one), 1, 1};
    const bool resultsAdjacent = p.kept.rank > 0 && p.kept.strides[1][0] == 1 && !(p.reduced.rank > 0 && p.reduced.strides[0][0] == 1);
    if (resultsAdjacent || p.reduced.total < kWarp) p.across = kWarp;
    if (p.reduced.total == 1) p.across = kThreads;
    p.parts = most(1, least(ceilDiv(p.reduced.total, kSplitElements), 64));
    // Few results of many elements, side by side: more parts, so that all multiprocessors have one.
    if (p.across == kWarp && p.reduced.total >= 512 && ceilDiv(p.kept.total, kWarp) < 128) p.parts = most(p.parts, least(ceilDiv(p.reduced.total, 256), 64));
    return p;
  }
};

}  // namespace

size_t workspace(const Reduce& a, const DeviceInfo&) {
  const Plan p = Plan::of(a);
  return p.parts > 1 ? static_cast<size_t>(p.parts * p.kept.total) * sizeof(double) : 0;
}

void run(const Reduce& a, Context& context) {
  const Plan p = Plan::of(a);
  if (p.kept.total == 0) return;
  const auto op = static_cast<ReduceOp>(a.op);
  const Target y{a.y.data, a.y.dtype, a.y.accumulate, 1.0 / static_cast<double>(p.reduced.total)};
  const auto with = [&]<class T>() {
    auto* partial = p.parts > 1 ? static_cast<Total<T>*>(context.workspace()) : nullptr;
    const dim3 grid(static_cast<unsigned>(ceilDiv(p.kept.total, p.across)), static_cast<unsigned>(p.parts));
    launch<reduce<T>>(context.stream(), grid, kThreads, 0, p.kept, p.reduced, op, p.across, y, a.x.as<const T>(), partial);
    if (partial) launch<finish<Total<T>>>(context.stream(), blocksFor(p.kept.total, kThreads), kThreads, 0, p.kept, op, p.parts, y, partial);
  };
  switch (a.x.dtype) {
    case DType::i32: return with.template operator()<int32_t>();
    case DType::i64: return with.template operator()<int64_t>();
    case DType::i8: return with.template operator()<int8_t>();
    case DType::u8: case DType::b8: return with.template operator()<uint8_t>();
    default: dispatchFloat(a.x.dtype, with);
  }
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(Reduce)
