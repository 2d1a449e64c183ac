#pragma once
// What happens to sums on their way into c, while they are on the chip: scale, bias, activation (or its slope), accumulation; or, where the depth is split, into
// partial sums that `combine` adds in their order.
#include "cuda/elementwise/activation.cuh"
#include "cuda/gemm/problem.hpp"

namespace warpweft::cuda::gemm {

inline constexpr int kUnit = 4;   // columns that a thread finishes at a time

struct Identity {
  static WW_DEVICE float value(float x) { return x; }
  static WW_DEVICE ValueAndSlope both(float x) { return {x, 1.f}; }
};

template <class F> WW_DEVICE void dispatchActivation(Activation activation, F&& f) {
  switch (activation) {
    case Activation::relu: return f(Relu{});
    case Activation::gelu: return f(Gelu{});
    case Activation::geluTanh: return f(GeluTanh{});
    case Activation::silu: return f(Silu{});
    default: return f(Identity{});
  }
}

struct Epilogue {
  int64_t M, N;
  Plane c, preactivation, derivative;
  const float* bias;
  float alpha;
  Activation activation;
  bool accumulate, biasOfRows;
  bool wide;      // planes are float32, whatever a and b are
  bool vectors;   // rows of the planes are made of aligned units

  static Epilogue of(const Problem& p) {
    Epilogue e{p.M, p.N, p.c, p.preactivation, p.derivative, p.bias, p.alpha, p.activation, p.accumulate, p.exchanged, p.outType == DType::f32, true};
    const Plane* const planes[] = {&p.c, &p.preactivation, &p.derivative};
    for (int k = 0; k < 3; k++) {
      if (!planes[k]->data) continue;
      e.vectors = e.vectors && planes[k]->column == 1 && planes[k]->row % kUnit == 0 && aligned(planes[k]->data, static_cast<size_t>(kUnit * sizeOf(p.outType)));
      for (int d = 0; d < p.batch.rank; d++) e.vectors = e.vectors && p.batch.strides[d][kC + k] % kUnit == 0;
    }
    return e;
  }

  // The planes of one product of the batch. T: the type of a and b.
  template <class T> WW_DEVICE void move(const int64_t (&offsets)[kMoving]) {
    const int64_t size = wide ? 4 : static_cast<int64_t>(sizeof(T));
    const auto by = [&](Plane& plane, Moving which) {
      if (plane.data) plane.data = static_cast<char*>(plane.data) + offsets[which] * size;
    };
    by(c, kC);
    by(preactivation, kPreactivation);
    by(derivative, kDerivative);
  }

  // Sums of up to kUnit columns, those inside of N, of a row inside of M.
  template <class T> WW_DEVICE void write(int64_t row, int64_t column, const Vector<float, kUnit>& sums) const {
    if constexpr (sizeof(T) == 2)
      if (!wide) return writeAs<T>(row, column, sums);
    writeAs<float>(row, column, sums);
  }

 private:
  template <class C> WW_DEVICE static C* at(const Plane& plane, int64_t row, int64_t column) {
    return static_cast<C*>(plane.data) + row * plane.row + column * plane.column;
  }
  template <class C> WW_DEVICE void read(const Plane& plane, int64_t row, int64_t column, bool whole, int64_t count, float (&out)[kUnit]) const {
    const C* from = at<C>(plane, row, column);
    if (whole) {
      const auto in = load<kUnit>(from);
      WW_UNROLL for (int j = 0; j < kUnit; j++) out[j] = in[j];
    } else {
      WW_UNROLL for (int j = 0; j < kUnit; j++) out[j] = j < count ? toFloat(from[j * plane.column]) : 0.f;
    }
  }
  template <class C> WW_DEVICE void put(const Plane& plane, int64_t row, int64_t column, bool whole, int64_t count, const float (&v)[kUnit]) const {
    C* to = at<C>(plane, row, column);
    if (whole) {
      Vector<C, kUnit> out;
      WW_UNROLL for (int j = 0; j < kUnit; j++) out.set(j, v[j]);
      store(to, out);
    } else {
      WW_UNROLL for (int j = 0; j < kUnit; j++)
        if (j < count) to[j * plane.column] = fromFloat<C>(v[j]);
    }
  }
  template <class C> WW_DEVICE void writeAs(int64_t row, int64_t column, const Vector<float, kUnit>& sums) const {
    const int64_t count = least(kUnit, N - column);
    const bool whole = vectors && count == kUnit;
    float v[kUnit], other[kUnit];
    WW_UNROLL for (int j = 0; j < kUnit; j++) {
      v[j] = sums.v[j] * alpha;
      if (bias && j < count) v[j] += bias[biasOfRows ? row : column + j];
    }
    if (preactivation.data) put<C>(preactivation, row, column, whole, count, v);
    if (derivative.data) {
      read<C>(derivative, row, column, whole, count, other);
      dispatchActivation(activation, [&](auto f) { WW_UNROLL for (int j = 0; j < kUnit; j++) v[j] *= f.both(other[j]).slope; });
    } else {
      dispatchActivation(activation, [&](auto f) { WW_UNROLL for (int j = 0; j < kUnit; j++) v[j] = f.value(v[j]); });
    }
    if (accumulate) {
      read<C>(c, row, column, whole, count, other);
      WW_UNROLL for (int j = 0; j < kUnit; j++) v[j] += other[j];
    }
    put<C>(c, row, column, whole, count, v);
  }
};

// Partial sums [splits, M, pitch]; none where the depth is not split.
struct Partials {
  float* data;
  int64_t pitch;   // floats, a multiple of kUnit
  static int64_t pitchOf(int64_t N) { return ceilDiv(N, kUnit) * kUnit; }
  WW_DEVICE float* at(int64_t M, int64_t split, int64_t row, int64_t column) const { return data + (split * M + row) * pitch + column; }
};

// Brings a slab of sums, kRows by kColumns in shared memory at a pitch of kPitch floats, to where they go. kThreads threads take part, of which this is `thread`; they
// have met at a barrier since the slab was written, and meet at another before it is written again.
template <class T, int kRows, int kColumns, int kPitch, int kThreads>
WW_DEVICE void finishSlab(const Epilogue& e, const Partials& partials, int64_t split, const float* slab, int64_t row, int64_t column, int thread) {
  constexpr int kUnits = kColumns / kUnit;
  static_assert(kPitch % kUnit == 0);
  for (int i = thread; i < kRows * kUnits; i += kThreads) {
    const int r = i / kUnits, c = i % kUnits * kUnit;
    if (row + r >= e.M || column + c >= e.N) continue;
    const Vector<float, kUnit> sums = load<kUnit>(slab + r * kPitch + c);
    if (partials.data) store(partials.at(e.M, split, row + r, column + c), sums);
    else e.write<T>(row + r, column + c, sums);
  }
}

inline constexpr unsigned kCombineThreads = 256;

template <class T> __global__ void __launch_bounds__(kCombineThreads, 4) combine(Epilogue e, Partials partials, int64_t splits) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kCombineThreads + threadIdx.x, units = partials.pitch / kUnit;
  const int64_t row = i / units, column = i % units * kUnit;
  if (row >= e.M) return;
  Vector<float, kUnit> sums = load<kUnit, Cache::streamed>(partials.at(e.M, 0, row, column));
  for (int64_t s = 1; s < splits; s++) {
    const auto more = load<kUnit, Cache::streamed>(partials.at(e.M, s, row, column));
    WW_UNROLL for (int j = 0; j < kUnit; j++) sums.v[j] += more.v[j];
  }
  e.write<T>(row, column, sums);
}

}  // namespace warpweft::cuda::gemm
