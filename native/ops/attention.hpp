#pragma once
#include <limits>

#include "runtime/op.hpp"

// Scaled dot-product attention that never stores the scores (Vaswani et al. 2017, eq. 1; Rabe and Staats 2021; Dao et al. 2022).
//
//   s[i, j] = cap(scale * q_i . k_j) + bias[i, j]    for the keys j that query i may see, -infinity for the others
//   lse[i]  = log sum_j exp(s[i, j])                 -infinity where i sees no key
//   p[i, j] = exp(s[i, j] - lse[i])
//   y_i     = sum_j m[i, j] p[i, j] v_j              zeros where i sees no key
//
// cap(x) = softcap * tanh(x / softcap), or x where softcap is 0 (Gemma team 2024, section 2).
//
// Query head h reads key/value head h / (H / G). With n queries and m keys (of the whole tensor, or of one packed sequence) query i sees key j if
// keyPadding[j] is nonzero, and j <= i + m - n if `causal`, and j > i + m - n - window if `window` > 0. A key that keyPadding hides is never read
// into a result, whatever it holds.
//
// Packed sequences: B is 1 and sequence s owns the queries [queryOffsets[s], queryOffsets[s + 1]) and the keys [keyOffsets[s], keyOffsets[s + 1]).
// keyPadding and bias are then addressed by packed positions. Offsets that fall or leave the tensor are an index fault, and all results are zeros.
//
// Dropout: m[i, j] is 0 or 1 / keep rate, from DropoutStream (runtime/philox.hpp) with `rng` and `call`. Rows and columns are those of one head of one
// batch row (or of one packed sequence, both then counted from the sequence's start), cut into 16 x 16 tiles of 32 groups of eight elements:
//
//   group = ((n * H + h) * ceil(Tq / 16) + i / 16) * ceil(Tk / 16) + j / 16) * 32 + r * 4 + t
//
// n is the batch row or the number of the packed sequence; Tq and Tk are the tensors' sizes also where sequences are packed; r = 0..7 and t = 0..3 are the
// rows and columns of a tensor core's fragment (r * 4 + t is the lane). Number e = 0..7 of the group belongs to
//
//   row 16 (i / 16) + r + 8 * (e / 2 % 2),  column 16 (j / 16) + 2 t + e % 2 + 8 * (e / 4)
namespace warpweft {

namespace attention {

struct Shape { int64_t batch, queries, keys, heads, groups, dim; };

// q [B, Tq, H, D], k and v [B, Tk, G, D], rows of adjacent elements.
inline Shape checkInputs(const Check& c, const View& q, const View& k, const View& v) {
  c.floating("q", q); c.rank("q", q, 4);
  c.sameDtype("k", k, "q", q); c.rank("k", k, 4);
  c.sameDtype("v", v, "q", q);
  const Shape s{q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3)};
  c.sizes("k", k, {s.batch, s.keys, s.groups, s.dim});
  c.sizes("v", v, {s.batch, s.keys, s.groups, s.dim});
  if (s.heads != s.groups && (s.heads == 0 || s.groups == 0 || s.heads % s.groups != 0))
    c.shape("k", "has %lld heads, expected a divisor of the %lld heads of q", static_cast<long long>(s.groups), static_cast<long long>(s.heads));
  return s;
}

inline void checkAdjacent(const Check& c, const char* name, const View& v) {
  if (v && v.size(3) > 1 && v.stride(3) != 1)
    c.shape(name, "%s has a stride of %lld in its last dimension, expected adjacent elements", describe(v).c_str(), static_cast<long long>(v.stride(3)));
}

struct Options { View keyPadding, bias, queryOffsets, keyOffsets, rng; int64_t window; double dropout, softcap; };

inline void checkOptions(const Check& c, const Shape& s, const Options& o, DType dtype) {
  c.sizes("keyPadding", o.keyPadding, {s.batch, s.keys});
  c.dtype("keyPadding", o.keyPadding, {DType::b8, DType::i32, DType::u8});
  c.sizes("bias", o.bias, {s.batch, s.heads, s.queries, s.keys});
  c.dtype("bias", o.bias, {DType::f32, dtype});
  if (bool(o.queryOffsets) != bool(o.keyOffsets)) c.shape("queryOffsets", "and keyOffsets go together, but one of them is absent");
  if (o.queryOffsets) {
    if (s.batch != 1) c.shape("q", "has a batch of %lld, expected 1 where sequences are packed by offsets", static_cast<long long>(s.batch));
    c.rank("queryOffsets", o.queryOffsets, 1);
    if (o.queryOffsets.size(0) < 1) c.shape("queryOffsets", "is empty, expected one offset more than there are sequences");
    c.is("queryOffsets", o.queryOffsets, {o.queryOffsets.size(0)}, DType::i32);
    c.is("keyOffsets", o.keyOffsets, {o.queryOffsets.size(0)}, DType::i32);
  }
  if (o.window < 0) c.fail("ERR_CONFIG", "window", "is %lld, expected 0 (none) or the number of keys that a query sees", static_cast<long long>(o.window));
  c.range("dropout", o.dropout, 0, 1);
  c.range("softcap", o.softcap, 0, std::numeric_limits<double>::max());
  if (o.dropout > 0 && !o.rng) c.fail("ERR_CONFIG", "rng", "is absent, expected the random state [3] because dropout is %g", o.dropout);
  c.is("rng", o.rng, {3}, DType::i64);
}

// Of one product of [Tq, D] with [Tk, D] over the pairs that may see each other; unknown, and 0, where the lengths lie in packed offsets.
inline double productFlop(const View& q, const View& k, const View& offsets, bool causal, int64_t window) {
  if (offsets) return 0;
  const int64_t n = q.size(1), m = k.size(1);
  double pairs = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t last = causal ? i + m - n : m - 1, first = window > 0 ? i + m - n - window + 1 : 0;
    const int64_t end = last < m - 1 ? last : m - 1, begin = first > 0 ? first : 0;
    if (end >= begin) pairs += static_cast<double>(end - begin + 1);
  }
  return 2.0 * pairs * static_cast<double>(q.size(0) * q.size(2) * q.size(3));
}

}  // namespace attention

struct Attention {
  static constexpr auto name = "attention";
  In q;                         // [B, Tq, H, D]
  In k, v;                      // [B, Tk, G, D]    dtype of q; G divides H
  Out y;                        // [B, Tq, H, D]    dtype of q
  Out lse;                      // [B, H, Tq]       float32, for backward
  In keyPadding;                // [B, Tk]          bool, int32 or uint8; nonzero: attend
  In bias;                      // [B, H, Tq, Tk]   float32 or dtype of q; stride 0 where broadcast
  In queryOffsets, keyOffsets;  // [S + 1]          int32
  In rng;                       // [3]              int64
  bool causal;
  int64_t window;
  double scale, dropout;
  int64_t call;
  double softcap;

  static constexpr auto fields() {
    return warpweft::fields(arg("q", &Attention::q), arg("k", &Attention::k), arg("v", &Attention::v), arg("y", &Attention::y), optional("lse", &Attention::lse),
                            optional("keyPadding", &Attention::keyPadding), optional("bias", &Attention::bias),
                            optional("queryOffsets", &Attention::queryOffsets), optional("keyOffsets", &Attention::keyOffsets), optional("rng", &Attention::rng),
                            arg("causal", &Attention::causal), arg("window", &Attention::window), arg("scale", &Attention::scale),
                            arg("dropout", &Attention::dropout), arg("call", &Attention::call), arg("softcap", &Attention::softcap));
  }
  double flop() const { return 2 * attention::productFlop(q, k, queryOffsets, causal, window); }   // q k^T, p v
  void check(const Check& c) const {
    const auto s = attention::checkInputs(c, q, k, v);
    c.sameSizes("y", y, "q", q); c.sameDtype("y", y, "q", q); c.writable("y", y);
    for (auto [name, t] : {std::pair<const char*, const View&>{"q", q}, {"k", k}, {"v", v}, {"y", y}}) attention::checkAdjacent(c, name, t);
    c.is("lse", lse, {s.batch, s.heads, s.queries}, DType::f32);
    attention::checkOptions(c, s, {keyPadding, bias, queryOffsets, keyOffsets, rng, window, dropout, softcap}, q.dtype);
  }
};

// With dp[i, j] = m[i, j] dy_i . v_j and delta[i] = sum_j p[i, j] dp[i, j] = dy_i . y_i (Dao et al. 2022, appendix B.2):
//
//   ds[i, j] = p[i, j] (dp[i, j] - delta[i])
//   du[i, j] = ds[i, j] (1 - tanh^2(scale * q_i . k_j / softcap)), or ds[i, j] where softcap is 0
//   dq_i = scale * sum_j du[i, j] k_j     dk_j = scale * sum_i du[i, j] q_i     dv_j = sum_i m[i, j] p[i, j] dy_i     biasGrad = ds, summed where broadcast
struct AttentionBackward {
  static constexpr auto name = "attentionBackward";
  In dy, q;                     // [B, Tq, H, D]
  In k, v;                      // [B, Tk, G, D]
  In y, lse;                    // as forward wrote them
  In keyPadding, bias, queryOffsets, keyOffsets, rng;
  Grad dq;                      // [B, Tq, H, D]    dtype of q, any strides with adjacent elements
  Grad dk, dv;                  // [B, Tk, G, D]
  Grad biasGrad;                // [B | 1, H | 1, Tq | 1, Tk]   float32 or dtype of q; 1 where the bias was broadcast
  bool causal;
  int64_t window;
  double scale, dropout;
  int64_t call;
  double softcap;

  static constexpr auto fields() {
    using A = AttentionBackward;
    return warpweft::fields(arg("dy", &A::dy), arg("q", &A::q), arg("k", &A::k), arg("v", &A::v), arg("y", &A::y), arg("lse", &A::lse),
                            optional("keyPadding", &A::keyPadding), optional("bias", &A::bias), optional("queryOffsets", &A::queryOffsets),
                            optional("keyOffsets", &A::keyOffsets), optional("rng", &A::rng), optional("dq", &A::dq), optional("dk", &A::dk),
                            optional("dv", &A::dv), optional("biasGrad", &A::biasGrad), arg("causal", &A::causal), arg("window", &A::window),
                            arg("scale", &A::scale), arg("dropout", &A::dropout), arg("call", &A::call), arg("softcap", &A::softcap));
  }
  double flop() const { return 5 * attention::productFlop(q, k, queryOffsets, causal, window); }   // q k^T once more, dy v^T, and those of dq, dk, dv
  void check(const Check& c) const {
    const auto s = attention::checkInputs(c, q, k, v);
    const std::pair<const char*, const View&> likeQ[] = {{"dy", dy}, {"y", y}, {"dq", dq}}, likeK[] = {{"dk", dk}, {"dv", dv}};
    for (auto [name, t] : likeQ) { c.sameSizes(name, t, "q", q); c.sameDtype(name, t, "q", q); attention::checkAdjacent(c, name, t); }
    for (auto [name, t] : likeK) { c.sameSizes(name, t, "k", k); c.sameDtype(name, t, "q", q); attention::checkAdjacent(c, name, t); }
    attention::checkAdjacent(c, "q", q); attention::checkAdjacent(c, "k", k); attention::checkAdjacent(c, "v", v);
    c.writable("dq", dq); c.writable("dk", dk); c.writable("dv", dv);
    c.is("lse", lse, {s.batch, s.heads, s.queries}, DType::f32);
    attention::checkOptions(c, s, {keyPadding, bias, queryOffsets, keyOffsets, rng, window, dropout, softcap}, q.dtype);
    if (biasGrad) {
      const int64_t full[] = {s.batch, s.heads, s.queries};
      bool fits = biasGrad.rank == 4 && biasGrad.size(3) == s.keys;
      for (int d = 0; fits && d < 3; d++) fits = biasGrad.size(d) == full[d] || biasGrad.size(d) == 1;
      if (!fits)
        c.shape("biasGrad", "is %s, expected [%lld or 1, %lld or 1, %lld or 1, %lld]", describe(biasGrad).c_str(), static_cast<long long>(s.batch),
                static_cast<long long>(s.heads), static_cast<long long>(s.queries), static_cast<long long>(s.keys));
      c.dtype("biasGrad", biasGrad, {DType::f32, q.dtype});
      c.writable("biasGrad", biasGrad);
      if (!bias) c.shape("bias", "is absent, expected it where biasGrad is given");
    }
  }
};

}  // namespace warpweft
