#pragma once
// A matmul brought to one form: products of equal sizes, of which the dimensions of the batch that can be rows are rows, and c lies in rows where its strides allow it.
#include <utility>

#include "cuda/kernel.cuh"
#include "ops/matmul.hpp"

namespace warpweft::cuda::gemm {

// A matrix seen as lines (rows of a, columns of b) along the depth k. Strides count elements.
struct Operand {
  const void* data;
  int64_t line, depth;
};
// A matrix of results; data is null if it is absent.
struct Plane {
  void* data;
  int64_t row, column;
};

// What moves along the batch.
enum Moving { kA, kB, kC, kPreactivation, kDerivative, kMoving };

struct Batch {
  int rank;
  int64_t count;
  int64_t sizes[kMaxRank - 2];              // innermost first
  int64_t strides[kMaxRank - 2][kMoving];   // elements

  WW_DEVICE void offsets(int64_t index, int64_t (&out)[kMoving]) const {
    WW_UNROLL for (int k = 0; k < kMoving; k++) out[k] = 0;
    for (int d = 0; d < rank; d++) {
      const int64_t next = index / sizes[d], i = index - next * sizes[d];
      WW_UNROLL for (int k = 0; k < kMoving; k++) out[k] += i * strides[d][k];
      index = next;
    }
  }
};

struct Problem {
  int64_t M, N, K;
  DType type, outType;   // of a and b; of the planes
  Operand a, b;
  Plane c, preactivation, derivative;
  const float* bias;
  float alpha;
  Activation activation;
  bool accumulate;
  bool tf32;             // float32 by tensor cores, rounded to 10 bits of fraction
  bool exchanged;        // computed as c^T = b^T a^T: the bias belongs to the rows
  Batch batch;
};

// Strides of dimensions of size 1 mean nothing; they get values that make the fast paths apply: also where nothing is read, addresses of copies are multiples of 16.
inline void settle(Problem& p) {
  if (p.K == 1) {
    p.a.depth = p.a.line == 1 ? 0 : 1;
    p.b.depth = p.b.line == 1 ? 0 : 1;
  }
  if (p.M == 1) p.a.line = p.a.depth == 1 ? 0 : 1;
  if (p.N == 1) p.b.line = p.b.depth == 1 ? 0 : 1;
  for (Plane* plane : {&p.c, &p.preactivation, &p.derivative}) {
    if (p.N == 1) plane->column = 1;
    if (p.M == 1) plane->row = 0;
  }
}

// c^T = b^T a^T.
inline void exchange(Problem& p) {
  std::swap(p.M, p.N);
  std::swap(p.a, p.b);
  for (Plane* plane : {&p.c, &p.preactivation, &p.derivative}) std::swap(plane->row, plane->column);
  for (int d = 0; d < p.batch.rank; d++) std::swap(p.batch.strides[d][kA], p.batch.strides[d][kB]);
  p.exchanged = !p.exchanged;
}

inline Problem problemOf(const Matmul& op) {
  const View* const views[kMoving] = {&op.a, &op.b, &op.c, &op.preactivation, &op.derivative};
  Problem p{};
  p.M = op.a.size(-2), p.N = op.b.size(-1), p.K = op.a.size(-1);
  p.type = op.a.dtype, p.outType = op.c.dtype;
  p.a = {op.a.data, op.a.stride(-2), op.a.stride(-1)};
  p.b = {op.b.data, op.b.stride(-1), op.b.stride(-2)};
  const auto plane = [](const View& v) { return v ? Plane{v.data, v.stride(-2), v.stride(-1)} : Plane{nullptr, 0, 1}; };
  p.c = plane(op.c), p.preactivation = plane(op.preactivation), p.derivative = plane(op.derivative);
  p.bias = op.bias ? op.bias.as<const float>() : nullptr;
  p.alpha = static_cast<float>(op.alpha);
  p.activation = static_cast<Activation>(op.activation);
  p.accumulate = op.c.accumulate;
  p.tf32 = op.tf32 && op.a.dtype == DType::f32;
  p.batch.count = 1;

  // From the innermost dimension of the batch outwards. While b is broadcast and rows go on at equal distances, the dimension becomes rows.
  bool rows = true;
  for (int d = op.a.rank - 3; d >= 0; d--) {
    const int64_t size = op.a.sizes[d];
    if (size == 1) continue;
    int64_t* const row[kMoving] = {&p.a.line, nullptr, &p.c.row, &p.preactivation.row, &p.derivative.row};
    rows = rows && op.b.strides[d] == 0;
    for (int k = 0; k < kMoving; k++)
      if (k != kB && *views[k]) rows = rows && (p.M == 1 || views[k]->strides[d] == p.M * *row[k]);
    if (rows) {
      for (int k = 0; k < kMoving; k++)
        if (k != kB && *views[k] && p.M == 1) *row[k] = views[k]->strides[d];
      p.M *= size;
      continue;
    }
    // A dimension that goes on where the one within it ends is no dimension of its own.
    bool goesOn = p.batch.rank > 0;
    for (int k = 0; k < kMoving; k++)
      if (*views[k] && goesOn) goesOn = views[k]->strides[d] == p.batch.sizes[p.batch.rank - 1] * p.batch.strides[p.batch.rank - 1][k];
    p.batch.count *= size;
    if (goesOn) {
      p.batch.sizes[p.batch.rank - 1] *= size;
      continue;
    }
    p.batch.sizes[p.batch.rank] = size;
    for (int k = 0; k < kMoving; k++) p.batch.strides[p.batch.rank][k] = *views[k] ? views[k]->strides[d] : 0;
    p.batch.rank++;
  }
  settle(p);
  if (p.c.row == 1 && p.c.column != 1) {
    exchange(p);
    settle(p);
  }
  return p;
}

// How an operand of 16-bit elements comes into shared memory.
//   depth, lines   copies of 16 bytes, along k or along its lines
//   elements       one by one: rows that do not begin at multiples of 16 bytes, or no stride of 1
enum class Layout { depth, lines, elements };

inline Layout layoutOf(const Problem& p, Moving which) {
  const Operand& x = which == kA ? p.a : p.b;
  const int64_t lines = which == kA ? p.M : p.N;
  const auto whole = [](int64_t stride) { return stride % 8 == 0; };
  if (!aligned(x.data, 16)) return Layout::elements;
  for (int d = 0; d < p.batch.rank; d++)
    if (!whole(p.batch.strides[d][which])) return Layout::elements;
  if (x.depth == 1 && (lines == 1 || whole(x.line))) return Layout::depth;
  if (x.line == 1 && whole(x.depth)) return Layout::lines;
  return Layout::elements;
}

}  // namespace warpweft::cuda::gemm
