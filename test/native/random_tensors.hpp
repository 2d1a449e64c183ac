#pragma once
// Tensors of rows for the tests of streaming ops, contiguous or with a gap after each row.
#include "test_context.hpp"

namespace warpweft::test {

inline constexpr DType kFloatTypes[] = {DType::f32, DType::bf16, DType::f16};

inline double normal() {
  static std::mt19937_64 generator(7);
  return std::normal_distribution<double>()(generator);
}

template <class F> Tensor filled(Tensor t, F&& f) {
  t.fill(f);
  return t;
}

inline Tensor rows(DType t, int64_t R, int64_t C, bool strided) {
  return strided ? Tensor(t, {R, C}, {C + 5, 1}, 3) : Tensor(t, {R, C});
}
inline Tensor randomRows(DType t, int64_t R, int64_t C, bool strided, double mean = 0, double deviation = 1) {
  return filled(rows(t, R, C, strided), [&](int64_t) { return mean + deviation * normal(); });
}
inline Tensor randomVector(int64_t C) { return filled(Tensor(DType::f32, {C}), [](int64_t) { return normal(); }); }

inline std::vector<double> valuesOf(const Tensor& t) { return t.view() ? t.values() : std::vector<double>(); }

}  // namespace warpweft::test
