#pragma once
#include "runtime/op.hpp"

namespace warpweft {

// The demand of ops that stream over rows: `v` has the sizes and the dtype of `w`, in strided rows.
inline void checkRowsLike(const Check& c, const char* argument, const View& v, const char* other, const View& w) {
  c.sameSizes(argument, v, other, w);
  c.sameDtype(argument, v, other, w);
  c.rows(argument, v);
}

// The same for a tensor that the op writes.
inline void checkWritableRowsLike(const Check& c, const char* argument, const View& v, const char* other, const View& w) {
  checkRowsLike(c, argument, v, other, w);
  c.writable(argument, v);
}

}  // namespace warpweft
