#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// Elementwise functions of two arguments. Broadcasting comes as views with stride 0, so that all sizes are equal here.
//   max, min          NaN in either argument gives NaN
//   div               integers truncate toward zero; x / 0 = 0 for integers (kernels cannot throw)
//   floorDivide       toward minus infinity        remainder   has the sign of the divisor, as in Python and PyTorch
//   pow               integers by repeated squaring, negative exponents truncate to 0 (1 and -1 excepted)
//   eq … ge, logical  give bool; NaN equals nothing and is true
enum class BinaryOp : int64_t {
  add, sub, mul, div, pow, max, min, floorDivide, remainder,
  eq, ne, lt, le, gt, ge, logicalAnd, logicalOr, logicalXor,
};
inline constexpr int64_t kBinaryOps = static_cast<int64_t>(BinaryOp::logicalXor) + 1;
WW_INLINE constexpr bool givesBool(int64_t op) { return op >= static_cast<int64_t>(BinaryOp::eq); }

struct Binary {
  static constexpr auto name = "binary";
  static constexpr const char* mayAlias[][2] = {{"y", "a"}};
  In a, b;   // one dtype, any strides; bool for comparisons and logical ops only
  Grad y;    // the same sizes; the dtype of a, or bool; accumulating (y += a op b) for floating dtypes
  int64_t op;
  static constexpr auto fields() { return warpweft::fields(arg("a", &Binary::a), arg("b", &Binary::b), arg("y", &Binary::y), arg("op", &Binary::op)); }
  void check(const Check& c) const {
    c.range("op", static_cast<double>(op), 0, kBinaryOps - 1);
    c.sameSizes("b", b, "a", a);
    c.sameSizes("y", y, "a", a);
    c.sameDtype("b", b, "a", a);
    if (givesBool(op)) {
      c.dtype("y", y, {DType::b8});
    } else {
      c.dtype("a", a, {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8, DType::i8});
      c.sameDtype("y", y, "a", a);
    }
    if (y.accumulate) c.floating("y", y);
  }
};

// y = a op value, or value op a if reversed. Integer tensors need an integer value.
struct ScalarBinary {
  static constexpr auto name = "scalarBinary";
  static constexpr const char* mayAlias[][2] = {{"y", "a"}};
  In a;     // any strides
  Grad y;   // as in Binary
  int64_t op;
  double value;
  bool reversed;
  static constexpr auto fields() {
    return warpweft::fields(arg("a", &ScalarBinary::a), arg("y", &ScalarBinary::y), arg("op", &ScalarBinary::op), arg("value", &ScalarBinary::value),
                            arg("reversed", &ScalarBinary::reversed));
  }
  void check(const Check& c) const {
    c.range("op", static_cast<double>(op), 0, kBinaryOps - 1);
    c.sameSizes("y", y, "a", a);
    if (!isFloat(a.dtype) && !(value >= -0x1p53 && value <= 0x1p53 && value == static_cast<double>(static_cast<int64_t>(value))))
      c.fail("ERR_DTYPE", "value", "is %g, expected an integer because a is %s. Convert it with .to('float32')", value, nameOf(a.dtype));
    if (givesBool(op)) {
      c.dtype("y", y, {DType::b8});
    } else {
      c.dtype("a", a, {DType::f32, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8, DType::i8});
      c.sameDtype("y", y, "a", a);
    }
    if (y.accumulate) c.floating("y", y);
  }
};

}  // namespace warpweft
