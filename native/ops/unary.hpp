#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// The elementwise functions of one argument, and what each keeps for its gradient.
//
//   op             y                                        dx / dy                      saved
//   neg            -x                                       -1                           nothing
//   abs            |x|                                      sign(x)                      x
//   exp            e^x                                      y                            y
//   log            ln x                                     1 / x                        x
//   log1p          ln(1 + x)                                1 / (1 + x)                  x
//   sqrt           x^(1/2)                                  1 / (2 y)                    y
//   rsqrt          x^(-1/2)                                 -y^3 / 2                     y
//   square         x^2                                      2 x                          x
//   reciprocal     1 / x                                    -y^2                         y
//   relu           max(0, x)                                1 where y > 0 (or NaN)       y
//   gelu           x P(X <= x), X standard normal           P + x p(x)                   x     Hendrycks, Gimpel 2016
//   geluTanh       x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), s = sigmoid            x     its tanh form: (1 + tanh u) / 2 = s(2 u)
//   quickGelu      x s(1.702 x)                                                          x     the same paper; CLIP
//   silu           x s(x)                                   s (1 + x (1 - s))            x     Elfwing, Uchibe, Doya 2017
//   tanh           tanh x                                   1 - y^2                      y
//   sigmoid        1 / (1 + e^-x)                           y (1 - y)                    y
//   softplus       ln(1 + e^x)                              s(x)                         x
//   erf            2 / sqrt(pi) int_0^x e^(-t^2) dt         2 / sqrt(pi) e^(-x^2)        x
//   sin, cos                                                cos x, -sin x                x
//   sign floor ceil round trunc                             no gradient                        round: halves to even
//   logicalNot isNan isFinite      bool                     no gradient
//
// Integers have neg, abs, square, relu, sign and logicalNot; bool has logicalNot.
enum class UnaryOp : int64_t {
  neg, abs, exp, log, log1p, sqrt, rsqrt, square, reciprocal, relu, gelu, geluTanh, quickGelu, silu, tanh, sigmoid, softplus, erf, sin, cos,
  sign, floor, ceil, round, trunc, logicalNot, isNan, isFinite,
};
inline constexpr int64_t kUnaryOps = static_cast<int64_t>(UnaryOp::isFinite) + 1;
inline constexpr int64_t kUnaryOpsWithGradient = static_cast<int64_t>(UnaryOp::cos) + 1;

struct Unary {
  static constexpr auto name = "unary";
  static constexpr const char* mayAlias[][2] = {{"y", "x"}};
  In x;    // any strides
  Out y;   // the sizes of x, any strides; the dtype of x, or bool
  int64_t op;
  static constexpr auto fields() { return warpweft::fields(arg("x", &Unary::x), arg("y", &Unary::y), arg("op", &Unary::op)); }
  void check(const Check& c) const {
    c.range("op", static_cast<double>(op), 0, kUnaryOps - 1);
    c.sameSizes("y", y, "x", x);
    switch (static_cast<UnaryOp>(op)) {
      case UnaryOp::logicalNot: c.dtype("y", y, {DType::b8}); break;
      case UnaryOp::isNan: case UnaryOp::isFinite: c.floating("x", x); c.dtype("y", y, {DType::b8}); break;
      case UnaryOp::neg: case UnaryOp::abs: case UnaryOp::square: case UnaryOp::relu: case UnaryOp::sign:
        c.dtype("x", x, {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8, DType::i8});
        c.sameDtype("y", y, "x", x);
        break;
      default: c.floating("x", x); c.sameDtype("y", y, "x", x);
    }
  }
};

// dx = dy * (dx / dy of the table).
struct UnaryBackward {
  static constexpr auto name = "unaryBackward";
  In dy;      // floating, any strides
  In saved;   // the sizes and dtype of dy: x or y as the table says; absent for neg
  Grad dx;    // the same
  int64_t op;
  static constexpr auto fields() {
    return warpweft::fields(arg("dy", &UnaryBackward::dy), optional("saved", &UnaryBackward::saved), optional("dx", &UnaryBackward::dx), arg("op", &UnaryBackward::op));
  }
  void check(const Check& c) const {
    c.range("op", static_cast<double>(op), 0, kUnaryOpsWithGradient - 1);
    c.floating("dy", dy);
    if (!saved && static_cast<UnaryOp>(op) != UnaryOp::neg) c.shape("saved", "is missing");
    c.sameSizes("saved", saved, "dy", dy);
    c.sameDtype("saved", saved, "dy", dy);
    c.sameSizes("dx", dx, "dy", dy);
    c.sameDtype("dx", dx, "dy", dy);
  }
};

}  // namespace warpweft
