#pragma once
// Spreads work over lists of contiguous tensors: pieces of kListPiece elements, numbered through all tensors, so that one call serves hundreds of small ones.
#include "cpu/kernel.hpp"
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr int64_t kListPiece = 16384;

// starts[i]: the pieces before tensor i; `starts` has room for count + 1.
template <class List> WW_INLINE int64_t countPieces(const List& list, int64_t* starts) {
  int64_t pieces = 0;
  for (int64_t i = 0; i < list.count; i++) {
    starts[i] = pieces;
    pieces += ceilDiv(list[i].numel(), kListPiece);
  }
  starts[list.count] = pieces;
  return pieces;
}

// Calls body(tensor, begin, end, piece) for every piece.
template <class List, class F> WW_INLINE void forEachPiece(const List& list, const int64_t* starts, Context& c, F&& body) {
  c.parallelFor(starts[list.count], 1, [&](int64_t begin, int64_t end, int) __attribute__((noinline)) {
    int64_t low = 0, high = list.count - 1;   // the last tensor that starts at or before `begin`
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (starts[middle] <= begin) low = middle;
      else high = middle - 1;
    }
    for (int64_t piece = begin; piece < end; piece++) {
      while (starts[low + 1] <= piece) low++;
      const int64_t first = (piece - starts[low]) * kListPiece;
      body(low, first, minimum(first + kListPiece, list[low].numel()), piece);
    }
  });
}

template <class List> WW_INLINE size_t startBytes(const List& list) { return static_cast<size_t>(list.count + 1) * sizeof(int64_t); }

// The factor of all gradients: their scale without that of the loss, and clipping to maxNorm as torch.nn.utils.clip_grad_norm_ does it. `skip`: the norm is not finite, and the step
// is to be left out then.
struct GradientFactor { float factor; bool skip; };
WW_INLINE GradientFactor gradientFactor(float scale, const View& lossScale, const View& norm, double maxNorm, bool skipNonFinite) {
  if (lossScale) scale /= *lossScale.as<const float>();
  if (!norm) return {scale, false};
  const float n = *norm.as<const float>();
  const bool finite = n - n == 0.f;
  const float clip = static_cast<float>(maxNorm) / (n + 1e-6f);
  return {maxNorm < static_cast<double>(__builtin_inff()) && !(clip >= 1.f) ? scale * clip : scale, skipNonFinite && !finite};
}

}  // namespace warpweft::cpu::WW_ISA
