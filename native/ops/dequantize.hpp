#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// y[n, k] = scale[n] * codes[n, k]: a matrix in int8 with a scale for each row (output channel).   Dettmers et al. 2022, https://arxiv.org/abs/2208.07339, section 2.1
struct DequantizeInt8 {
  static constexpr auto name = "dequantizeInt8";
  In codes;   // [N, K]  int8
  In scale;   // [N]     float32
  Out y;      // [N, K]  any floating dtype, contiguous

  static constexpr auto fields() {
    using D = DequantizeInt8;
    return warpweft::fields(arg("codes", &D::codes), arg("scale", &D::scale), arg("y", &D::y));
  }
  void check(const Check& c) const {
    c.rank("codes", codes, 2);
    c.dtype("codes", codes, {DType::i8});
    c.contiguous("codes", codes);
    c.is("scale", scale, {codes.sizes[0]}, DType::f32);
    c.sameSizes("y", y, "codes", codes);
    c.floating("y", y);
    c.contiguous("y", y);
  }
};

// y[i] = absmax[i / 64] * nf4(code i), code i of two in a byte, the first in its upper half. With groups, absmax itself is stored in 8 bits:
// absmax[b] = mean + groups[b / 256] * codes of absmax[b] (double quantisation).   Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, section 3
struct DequantizeNF4 {
  static constexpr auto name = "dequantizeNF4";
  static constexpr int64_t kBlock = 64, kGroup = 256;
  In codes;       // [(N + 1) / 2]  uint8
  In absmax;      // [ceil(N / 64)]  float32, or int8 with groups
  In groups;      // [ceil(blocks / 256)]  float32, or absent
  Out y;          // N elements, any floating dtype, contiguous
  double mean;

  static constexpr auto fields() {
    using D = DequantizeNF4;
    return warpweft::fields(arg("codes", &D::codes), arg("absmax", &D::absmax), optional("groups", &D::groups), arg("y", &D::y), arg("mean", &D::mean));
  }
  void check(const Check& c) const {
    const int64_t N = y.numel(), blocks = (N + kBlock - 1) / kBlock;
    c.floating("y", y);
    c.contiguous("y", y);
    c.is("codes", codes, {(N + 1) / 2}, DType::u8);
    c.is("absmax", absmax, {blocks}, groups ? DType::i8 : DType::f32);
    if (groups) c.is("groups", groups, {(blocks + kGroup - 1) / kGroup}, DType::f32);
  }
};

}  // namespace warpweft
