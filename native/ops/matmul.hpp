#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// What a product does to its result: y = activation(x).   gelu: Hendrycks, Gimpel 2016; geluTanh its tanh approximation; silu: x sigmoid(x)
enum class Activation : int64_t { none, relu, gelu, geluTanh, silu };
inline constexpr int64_t kActivations = 5;

// c = f(alpha * a b + bias), batched over the leading dimensions; transposes and broadcasts are views. Sums are float32 over the whole of K.
//   forward   f = activation, `preactivation` keeps its argument
//   backward  given `derivative`, the preactivation of a forward product: f(x) = x * activation'(derivative)
//   rowSum    sum of a over k: with a = dy^T, b = x the gradient of the bias beside that of the weight
struct Matmul {
  static constexpr auto name = "matmul";
  In a;                // [.., M, K]  floating
  In b;                // [.., K, N]  dtype of a; or [K, N], the same for all of the batch
  Grad c;              // [.., M, N]  dtype of a, or float32
  In bias;             // [N]         float32
  Out preactivation;   // [.., M, N]  dtype of c
  In derivative;       // [.., M, N]  dtype of c
  Grad rowSum;         // [M]         float32; the product is not batched
  int64_t activation;
  double alpha;
  bool tf32 = false;   // a and b of float32 may be rounded to 10 bits of fraction, for tensor cores: GPUs do so where it is set, the CPU never does

  static constexpr auto fields() {
    return warpweft::fields(arg("a", &Matmul::a), arg("b", &Matmul::b), arg("c", &Matmul::c), optional("bias", &Matmul::bias),
                            optional("preactivation", &Matmul::preactivation), optional("derivative", &Matmul::derivative), optional("rowSum", &Matmul::rowSum),
                            arg("activation", &Matmul::activation), arg("alpha", &Matmul::alpha), arg("tf32", &Matmul::tf32));
  }
  // A matrix b is repeated over the batch.
  void settle() {
    if (b.rank != 2 || a.rank <= 2) return;
    const int added = a.rank - 2;
    for (int d = a.rank - 1; d >= 0; d--) {
      b.sizes[d] = d < added ? a.sizes[d] : b.sizes[d - added];
      b.strides[d] = d < added ? 0 : b.strides[d - added];
    }
    b.rank = a.rank;
  }
  double flop() const { return 2.0 * static_cast<double>(c.numel()) * static_cast<double>(a.size(-1)); }
  void check(const Check& check) const {
    check.rankAtLeast("a", a, 2);
    check.rank("b", b, a.rank);
    check.rank("c", c, a.rank);
    check.floating("a", a);
    check.sameDtype("b", b, "a", a);
    check.dtype("c", c, {a.dtype, DType::f32});
    const int64_t M = a.size(-2), K = a.size(-1), N = b.size(-1);
    if (b.size(-2) != K) check.shape("b", "is %s, expected %lld rows, the columns of a, which is %s", describe(b).c_str(), static_cast<long long>(K), describe(a).c_str());
    bool same = c.size(-2) == M && c.size(-1) == N;
    int64_t products = 1;
    for (int d = 0; d + 2 < a.rank; d++) {
      same = same && b.sizes[d] == a.sizes[d] && c.sizes[d] == a.sizes[d];
      products *= a.sizes[d];
    }
    if (!same) check.shape("c", "is %s, expected the product of a, which is %s, and b, which is %s", describe(c).c_str(), describe(a).c_str(), describe(b).c_str());
    check.is("bias", bias, {N}, DType::f32);
    for (const auto& [argument, v] : {std::pair<const char*, const View*>{"preactivation", &preactivation}, {"derivative", &derivative}}) {
      check.sameSizes(argument, *v, "c", c);
      check.sameDtype(argument, *v, "c", c);
    }
    if (preactivation && derivative) check.fail("ERR_CONFIG", "derivative", "is for a backward product, preactivation for a forward one: give one of them");
    check.is("rowSum", rowSum, {M}, DType::f32);
    if (rowSum && products != 1) check.shape("rowSum", "is for one product, and a is %s", describe(a).c_str());
    check.range("activation", static_cast<double>(activation), 0, kActivations - 1);
  }
};

}  // namespace warpweft
