#pragma once
// What every CPU kernel file includes. The file is compiled once per instruction set, with WW_ISA naming the set and its namespace; nothing but the
// functions `run` and `workspace` may be visible outside of it. No intrinsics here or in kernels: they are in cpu/simd.
#include "cpu/simd/simd.hpp"
#include "runtime/backend.hpp"
#include "runtime/context.hpp"
#include "runtime/philox.hpp"
#include "runtime/view.hpp"

namespace warpweft::cpu::WW_ISA {

// Calls body.template operator()<T>() with the storage type of a floating dtype.
template <class F> WW_INLINE void dispatchFloat(DType t, F&& body) {
  switch (t) {
    case DType::f32: body.template operator()<float>(); break;
    case DType::f16: body.template operator()<f16>(); break;
    default: body.template operator()<bf16>(); break;
  }
}

WW_INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
WW_INLINE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
WW_INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Reads an id, label or index of either integer type.
WW_INLINE int64_t indexAt(const View& v, int64_t element) {
  return v.dtype == DType::i64 ? v.as<const int64_t>()[element] : v.as<const int32_t>()[element];
}

}  // namespace warpweft::cpu::WW_ISA

// Ends every kernel file, once for each op in it: hands `run(const Op&, Context&)` (and `workspace(const Op&)`) to the table of this instruction set.
#define WW_KERNEL(Op)                                                                                                             \
  extern const Entry entry##Op;                                                                                                   \
  const Entry entry##Op{[](const void* a, Context& c) { run(*static_cast<const Op*>(a), c); }, nullptr};
#define WW_KERNEL_WITH_WORKSPACE(Op)                                                                                              \
  extern const Entry entry##Op;                                                                                                   \
  const Entry entry##Op{[](const void* a, Context& c) { run(*static_cast<const Op*>(a), c); },                                    \
                        [](const void* a) { return workspace(*static_cast<const Op*>(a)); }};
