#pragma once
#include "ops/rows_like.hpp"

namespace warpweft {

// What every op with dropout demands of its random state.
inline void checkDropout(const Check& c, const char* name, double p, const View& rng) {
  c.range(name, p, 0, 1);
  c.is("rng", rng, {3}, DType::i64);
  if (p > 0 && !rng) c.fail("ERR_CONFIG", "rng", "is absent, expected int64 [3] (seed, micro-step, rank) where %s is above 0", name);
}

// y = x * m, m = 0 with probability p, else 1 / (1 - p).   Srivastava et al. 2014 ("inverted")
// The backward pass is the same op on dy: hence y may be accumulated into.
// The mask depends on rng, call and the element's index alone (runtime/philox.hpp); p is rounded to 1/65536.
struct Dropout {
  static constexpr auto name = "dropout";
  In x;           // [.., C]
  Grad y;         // [.., C]  dtype of x
  In rng;         // [3]      int64: seed, micro-step, rank
  double p;
  int64_t call;   // tells the dropouts of a step apart

  static constexpr auto fields() {
    return warpweft::fields(arg("x", &Dropout::x), arg("y", &Dropout::y), optional("rng", &Dropout::rng), arg("p", &Dropout::p),
                            arg("call", &Dropout::call));
  }
  void check(const Check& c) const {
    c.floating("x", x);
    c.rows("x", x);
    checkWritableRowsLike(c, "y", y, "x", x);
    checkDropout(c, "p", p, rng);
  }
};

}  // namespace warpweft
