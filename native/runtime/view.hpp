#pragma once
#include "runtime/dtype.hpp"

namespace warpweft {

inline constexpr int kMaxRank = 8;

// What a kernel sees of a tensor. Sizes and strides count elements; data points at the first element and is null for an absent argument.
struct View {
  void* data;
  int64_t sizes[kMaxRank];
  int64_t strides[kMaxRank];
  int32_t rank;
  DType dtype;

  WW_INLINE explicit operator bool() const { return rank >= 0; }
  template <class T> WW_INLINE T* as() const { return static_cast<T*>(data); }
  WW_INLINE int64_t size(int d) const { return sizes[d < 0 ? d + rank : d]; }
  WW_INLINE int64_t stride(int d) const { return strides[d < 0 ? d + rank : d]; }
  WW_INLINE int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; d++) n *= sizes[d];
    return n;
  }
  // Product of all sizes but the last: the number of rows of a tensor seen as [rows, columns].
  WW_INLINE int64_t rows() const {
    int64_t n = 1;
    for (int d = 0; d + 1 < rank; d++) n *= sizes[d];
    return n;
  }
  WW_INLINE int64_t columns() const { return rank ? sizes[rank - 1] : 1; }
  // Elements between rows, for tensors that passed Check::rows (rows are equally spaced, elements of a row adjacent).
  WW_INLINE int64_t rowStride() const {
    for (int d = rank - 2; d >= 0; d--)
      if (sizes[d] != 1) return strides[d];
    return columns();
  }
};

// The kinds of tensor arguments an op declares. An absent optional argument has rank -1.
struct In : View {};     // read
struct Out : View {};    // written entirely, never read; must not overlap any input
struct InOut : View {};  // read and written in place
// A gradient that the op produces: absent (not wanted), overwritten by the first writer, or accumulated into by later ones.
struct Grad : View { bool accumulate; };

// An argument that is not given.
template <class T> constexpr T absent() {
  T v{};
  v.rank = -1;
  return v;
}

// Variable numbers of tensors (optimizers, concatenation).
struct InList { const View* items; int64_t count; WW_INLINE const View& operator[](int64_t i) const { return items[i]; } };
struct InOutList { const View* items; int64_t count; WW_INLINE const View& operator[](int64_t i) const { return items[i]; } };

}  // namespace warpweft
