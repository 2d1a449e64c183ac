#pragma once
#include <utility>

#include "runtime/op.hpp"

namespace warpweft {

// Turns pairs of coordinates of every head by the angle of its position: (a, b) becomes (a cos - b sin, b cos + a sin). Su et al. 2021 ("RoFormer"), eq. 34.
// Pairs are (i, i + R/2) as in GPT-NeoX and LLaMA, or (2i, 2i + 1), interleaved, as in GPT-J. Coordinates from R on stay. With inverse the angles are negative,
// which is the gradient. A position outside of the table is an index fault and gives zeros.
struct Rotary {
  static constexpr auto name = "rotary";
  In x;           // [B, T, H, D] floating; the coordinates of a head are adjacent
  In cos, sin;    // [P, R/2]     float32, R <= D
  In positions;   // [B, T]       int32 or int64; absent: start, start + 1, …
  Grad y;         // [B, T, H, D] dtype of x
  int64_t start;
  bool interleaved, inverse;

  static constexpr auto fields() {
    return warpweft::fields(arg("x", &Rotary::x), arg("cos", &Rotary::cos), arg("sin", &Rotary::sin), optional("positions", &Rotary::positions), arg("y", &Rotary::y),
                            arg("start", &Rotary::start), arg("interleaved", &Rotary::interleaved), arg("inverse", &Rotary::inverse));
  }
  void check(const Check& c) const {
    c.rank("x", x, 4);
    c.floating("x", x);
    c.sameSizes("y", y, "x", x);
    c.sameDtype("y", y, "x", x);
    c.writable("y", y);
    for (const auto& [argument, v] : {std::pair{"x", static_cast<View>(x)}, std::pair{"y", static_cast<View>(y)}})
      if (v.sizes[3] > 1 && v.strides[3] != 1) c.shape(argument, "has a stride of %lld between the coordinates of a head, expected 1", static_cast<long long>(v.strides[3]));
    c.rank("cos", cos, 2);
    c.is("cos", cos, {cos.sizes[0], cos.sizes[1]}, DType::f32);
    c.is("sin", sin, {cos.sizes[0], cos.sizes[1]}, DType::f32);
    if (cos.sizes[1] > x.sizes[3] / 2)
      c.shape("cos", "is %s, expected at most %lld columns: half the width of a head of x, which is %s", describe(cos).c_str(), static_cast<long long>(x.sizes[3] / 2), describe(x).c_str());
    if (positions) {
      c.index("positions", positions);
      c.is("positions", positions, {x.sizes[0], x.sizes[1]}, positions.dtype);
    } else if (start < 0 || start > cos.sizes[0] - x.sizes[1]) {
      c.shape("cos", "is %s, expected a row for each of the positions %lld to %lld", describe(cos).c_str(), static_cast<long long>(start), static_cast<long long>(start + x.sizes[1] - 1));
    }
  }
};

}  // namespace warpweft
