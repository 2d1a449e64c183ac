#pragma once
// One launch over lists of contiguous tensors: pieces of kPiece elements, numbered through all tensors, a block each. The list lies at the begin of the workspace.
#include <vector>

#include "cuda/kernel.cuh"
#include "ops/parameter_lists.hpp"

namespace warpweft::cuda {

inline constexpr int64_t kPiece = 8192;
inline constexpr unsigned kListThreads = 256;

// A tensor of each list that the op goes over, and the number of its first piece.
struct Member {
  void* data[5];
  int64_t n, firstPiece;
  DType grad, low;   // dtypes of those that have a choice
  bool vectors;      // all of them are aligned
};

struct MemberList {
  const Member* members;
  int count;
};

inline bool quadAligned(const View& v) { return aligned(v.data, static_cast<size_t>(least(16, 4 * sizeOf(v.dtype)))); }

// Builds the list on the host.
class MemberListBuilder {
 public:
  Member& add(int64_t n) {
    Member m{};
    m.n = n;
    m.firstPiece = pieces_;
    m.vectors = true;
    pieces_ += ceilDiv(n, kPiece);
    members_.push_back(m);
    return members_.back();
  }
  static void put(Member& m, int k, const View& v) {
    m.data[k] = v.data;
    m.vectors = m.vectors && quadAligned(v);
  }
  int64_t pieces() const { return pieces_; }
  // Copies it to the device; nothing to do (and members null) without pieces.
  MemberList upload(Context& context) const {
    if (pieces_ == 0) return {nullptr, 0};
    context.upload(context.workspace(), members_.data(), members_.size() * sizeof(Member));
    return {static_cast<const Member*>(context.workspace()), static_cast<int>(members_.size())};
  }

 private:
  std::vector<Member> members_;
  int64_t pieces_ = 0;
};

template <class List> size_t memberBytes(const List& list) { return static_cast<size_t>(list.count) * sizeof(Member); }

// The tensor that piece `piece` belongs to: the last that starts at or before it. Empty tensors, which start where the next one does, are passed over.
WW_DEVICE Member memberOf(const MemberList& list, int64_t piece) {
  int low = 0, high = list.count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (list.members[middle].firstPiece <= piece) low = middle;
    else high = middle - 1;
  }
  return list.members[low];
}

// Calls f(i, width) for the elements of a piece: four at a time (width.value 4) where all tensors are aligned, else one.
template <int kWidth> struct Width { static constexpr int value = kWidth; };
template <class F> WW_DEVICE void eachOfPiece(const Member& m, int64_t piece, F&& f) {
  const int64_t begin = (piece - m.firstPiece) * kPiece, end = least(begin + kPiece, m.n);
  const int64_t whole = m.vectors ? begin + (end - begin) / 4 * 4 : begin;
  for (int64_t i = begin + 4 * static_cast<int64_t>(threadIdx.x); i < whole; i += 4 * kListThreads) f(i, Width<4>{});
  for (int64_t i = whole + threadIdx.x; i < end; i += kListThreads) f(i, Width<1>{});
}

// V elements of a floating tensor as float32.
template <int V> WW_DEVICE void readFloats(const void* p, DType t, int64_t i, float (&out)[V]) {
  const auto with = [&](const auto* data) {
    const auto in = load<V, Cache::streamed>(data + i);
    WW_UNROLL for (int j = 0; j < V; j++) out[j] = in[j];
  };
  if (t == DType::f32) with(static_cast<const float*>(p));
  else if (t == DType::bf16) with(static_cast<const bf16*>(p));
  else with(static_cast<const f16*>(p));
}
template <int V> WW_DEVICE void writeFloats(float* p, int64_t i, const float (&v)[V]) {
  Vector<float, V> out;
  WW_UNROLL for (int j = 0; j < V; j++) out.v[j] = v[j];
  store<Cache::streamed>(p + i, out);
}
// The low-precision copy of a parameter.
template <int V> WW_DEVICE void writeLow(void* p, DType t, int64_t i, const float (&v)[V]) {
  const auto with = [&]<class T>(T* data) {
    Vector<T, V> out;
    WW_UNROLL for (int j = 0; j < V; j++) out.set(j, v[j]);
    store(data + i, out);
  };
  if (t == DType::bf16) with(static_cast<bf16*>(p));
  else with(static_cast<f16*>(p));
}

// The factor of all gradients: their scale without that of the loss, and clipping to maxNorm as torch.nn.utils.clip_grad_norm_ does it. `skip`: an input is faulty, or the norm is not
// finite and the step is to be left out then.
struct Clipping {
  const float* lossScale;   // null: 1
  const float* norm;        // null: no clipping
  const uint32_t* faulty;   // null: nothing is
  float maxNorm;
  bool skipNonFinite;
};
struct GradientFactor { float factor; bool skip; };
WW_DEVICE GradientFactor gradientFactor(float scale, const Clipping& c) {
  if (c.faulty && *c.faulty) return {scale, true};
  if (c.lossScale) scale /= *c.lossScale;
  if (!c.norm) return {scale, false};
  const float n = *c.norm, clip = c.maxNorm / (n + 1e-6f);
  return {abs(c.maxNorm) < floatOf(0x7F800000u) && !(clip >= 1.f) ? scale * clip : scale, c.skipNonFinite && n - n != 0.f};
}

}  // namespace warpweft::cuda
