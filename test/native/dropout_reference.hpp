#pragma once
// Dropout factors one by one, from the scalar definition in runtime/philox.hpp.
#include "runtime/philox.hpp"
#include "test_context.hpp"

namespace warpweft::test {

inline Tensor rngState(int64_t seed, int64_t step, int64_t rank) {
  Tensor t(DType::i64, {3});
  const int64_t state[3] = {seed, step, rank};
  std::memcpy(t.view().data, state, sizeof state);
  return t;
}

inline double factorAt(const Tensor& rng, int64_t call, double p, int64_t element) {
  float factors[8];
  DropoutStream::from(rng.view().as<const int64_t>(), call, p).factors(static_cast<uint64_t>(element) / 8, factors);
  return static_cast<double>(factors[element % 8]);
}

}  // namespace warpweft::test
