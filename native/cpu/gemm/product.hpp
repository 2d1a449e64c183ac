#pragma once
// A matmul brought to one form: a list of products of equal sizes, each with row-contiguous c where the strides allow it.
#include "cpu/kernel.hpp"
#include "ops/matmul.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// A matrix seen as lines (rows of a, columns of b) along the depth k. Strides count elements.
struct Operand { const char* data; int64_t line, depth; };
// A matrix of results; data is null if it is absent.
struct Plane { char* data; int64_t row, column; };

struct Product {
  int64_t M, N, K;
  DType type, outType;   // of a and b; of the planes
  Operand a, b;
  Plane c, preactivation, derivative;
  const float* bias;     // a value per column, or per row
  float* sums;           // over k, a value per line of a or of b
  float alpha;
  Activation activation;
  bool accumulate, addSums, exchanged;   // exchanged: computed as c^T = b^T a^T, so that bias and sums belong to the other side

  WW_INLINE bool plain() const { return outType == DType::f32 && c.column == 1 && alpha == 1.f && !bias && !preactivation.data && !derivative.data && activation == Activation::none; }
};

inline constexpr int kPlanes = 5;   // a, b, c, preactivation, derivative: what moves along the batch

struct Batch {
  Product first;
  int rank = 0;
  int64_t count = 1;
  int64_t sizes[kMaxRank];
  int64_t strides[kMaxRank][kPlanes];   // bytes

  WW_INLINE Product operator[](int64_t index) const {
    Product p = first;
    char* const data[kPlanes] = {const_cast<char*>(p.a.data), const_cast<char*>(p.b.data), p.c.data, p.preactivation.data, p.derivative.data};
    int64_t offset[kPlanes] = {};
    for (int d = rank - 1; d >= 0; d--) {
      const int64_t i = index % sizes[d];
      index /= sizes[d];
      for (int k = 0; k < kPlanes; k++) offset[k] += i * strides[d][k];
    }
    p.a.data = data[0] + offset[0];
    p.b.data = data[1] + offset[1];
    p.c.data = data[2] + offset[2];
    if (data[3]) p.preactivation.data = data[3] + offset[3];
    if (data[4]) p.derivative.data = data[4] + offset[4];
    return p;
  }
};

// c^T = b^T a^T.
static void exchange(Product& p) {
  const int64_t M = p.M;
  p.M = p.N, p.N = M;
  const Operand a = p.a;
  p.a = p.b, p.b = a;
  for (Plane* plane : {&p.c, &p.preactivation, &p.derivative}) *plane = {plane->data, plane->column, plane->row};
  p.exchanged = !p.exchanged;
}

// Strides of dimensions of size 1 mean nothing; they get values that make the fast paths apply.
static void settle(Product& p) {
  if (p.M == 1) p.a.line = 0;
  if (p.N == 1) p.b.line = 0;
  if (p.K == 1) {
    if (p.a.line != 1) p.a.depth = 1;
    if (p.b.line != 1) p.b.depth = 1;
  }
  for (Plane* plane : {&p.c, &p.preactivation, &p.derivative}) {
    if (p.N == 1) plane->column = 1;
    if (p.M == 1) plane->row = p.N;
  }
}

static Batch batchOf(const Matmul& op) {
  const int rank = op.a.rank;
  const View* const views[kPlanes] = {&op.a, &op.b, &op.c, &op.preactivation, &op.derivative};
  Batch batch;
  Product& p = batch.first;
  p.M = op.a.size(-2), p.N = op.b.size(-1), p.K = op.a.size(-1);
  p.type = op.a.dtype, p.outType = op.c.dtype;
  p.a = {op.a.as<const char>(), op.a.stride(-2), op.a.stride(-1)};
  p.b = {op.b.as<const char>(), op.b.stride(-1), op.b.stride(-2)};
  const auto plane = [](const View& v) { return v ? Plane{v.as<char>(), v.stride(-2), v.stride(-1)} : Plane{nullptr, 0, 0}; };
  p.c = plane(op.c), p.preactivation = plane(op.preactivation), p.derivative = plane(op.derivative);
  p.bias = op.bias ? op.bias.as<const float>() : nullptr;
  p.sums = op.rowSum ? op.rowSum.as<float>() : nullptr;
  p.alpha = static_cast<float>(op.alpha);
  p.activation = static_cast<Activation>(op.activation);
  p.accumulate = op.c.accumulate, p.addSums = op.rowSum && op.rowSum.accumulate, p.exchanged = false;

  // From the innermost batch dimension outwards. While b is broadcast and rows go on at equal distances, the dimension becomes rows.
  bool collapsing = true;
  for (int d = rank - 3; d >= 0; d--) {
    const int64_t size = op.a.sizes[d];
    if (size == 1) continue;
    int64_t* const row[kPlanes] = {&p.a.line, nullptr, &p.c.row, &p.preactivation.row, &p.derivative.row};
    collapsing = collapsing && op.b.strides[d] == 0;
    for (int k = 0; k < kPlanes; k++)
      if (k != 1 && *views[k]) collapsing = collapsing && (p.M == 1 || views[k]->strides[d] == p.M * *row[k]);
    if (collapsing) {
      if (p.M == 1)
        for (int k = 0; k < kPlanes; k++)
          if (k != 1 && *views[k]) *row[k] = views[k]->strides[d];
      p.M *= size;
      continue;
    }
    batch.sizes[batch.rank] = size;
    for (int k = 0; k < kPlanes; k++) batch.strides[batch.rank][k] = *views[k] ? views[k]->strides[d] * sizeOf(views[k]->dtype) : 0;
    batch.rank++;
    batch.count *= size;
  }
  // operator[] takes the last dimension for the innermost.
  for (int i = 0, j = batch.rank - 1; i < j; i++, j--) {
    const int64_t size = batch.sizes[i];
    batch.sizes[i] = batch.sizes[j], batch.sizes[j] = size;
    for (int k = 0; k < kPlanes; k++) {
      const int64_t stride = batch.strides[i][k];
      batch.strides[i][k] = batch.strides[j][k], batch.strides[j][k] = stride;
    }
  }

  settle(p);
  // A column-major c; or so few columns that most lanes of a row would be idle, while a can be read along its rows.
  const bool narrow = p.N <= 4 && p.M > 4 * p.N && p.a.depth == 1;
  if ((p.c.row == 1 && p.c.column != 1) || narrow) {
    exchange(p);
    settle(p);
    for (int d = 0; d < batch.rank; d++) {
      const int64_t stride = batch.strides[d][0];
      batch.strides[d][0] = batch.strides[d][1], batch.strides[d][1] = stride;
    }
  }
  return batch;
}

}  // namespace warpweft::cpu::WW_ISA::gemm
