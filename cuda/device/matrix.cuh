#pragma once
// Tensor cores of sm_80 and later: tiles of shared memory to fragments (ldmatrix), products of fragments (mma). All 32 lanes have to come to the same call.
//
// Fragments, with g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix fragments for mma.m16n8k16" and "… m16n8k8"):
//
//   16-bit, A [16, 16]   a[0]: (g, 2t) (g, 2t+1)   a[1]: (g+8, 2t) …   a[2]: (g, 2t+8) …   a[3]: (g+8, 2t+8) …     low half first
//           B [16, 8]    b[0]: (2t, g) (2t+1, g)   b[1]: (2t+8, g) (2t+9, g)                                     (k, n)
//   tf32,   A [16, 8]    a[0]: (g, t)   a[1]: (g+8, t)   a[2]: (g, t+4)   a[3]: (g+8, t+4)
//           B [8, 8]     b[0]: (t, g)   b[1]: (t+4, g)
//   C, D    [16, 8]      c[0]: (g, 2t)  c[1]: (g, 2t+1)  c[2]: (g+8, 2t)  c[3]: (g+8, 2t+1)     float32
//
// ldmatrix<4> on the rows of A (lane l gives the address of row l % 16, column 8 (l / 16)) yields a[0..3]. On B stored [N, K] (adjacent along k), lane l giving
// row n0 + l % 8 of column 8 (l / 8), ldmatrix<2> yields b[0..1]; on B stored [K, N] it is ldmatrix<2, true> with lane l at row k0 + l % 16.
#include "cuda/device/memory.cuh"
#ifdef WARPWEFT_SIMT
#include "cuda/simt/matrix.hpp"
#endif

namespace warpweft::cuda {

// kCount (1, 2, 4) matrices of 8 x 8 16-bit elements. Lanes 8 i … 8 i + 7 give the addresses of the rows of matrix i: 16 bytes each, at multiples of 16 (other
// lanes' addresses are not used). r[i]: row lane / 4, columns 2 (lane % 4) and the next of matrix i; transposed: of its transpose.
template <int kCount, bool kTransposed = false> WW_DEVICE void ldmatrix(uint32_t (&r)[kCount], const void* row WW_AT) {
  static_assert(kCount == 1 || kCount == 2 || kCount == 4);
#ifdef WARPWEFT_SIMT
  simt::ldmatrix<kCount, kTransposed>(r, row, {"ldmatrix", file, line});
#else
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kCount == 1) {
    if constexpr (kTransposed) asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(address) : "memory");
    else asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(address) : "memory");
  } else if constexpr (kCount == 2) {
    if constexpr (kTransposed) asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(address) : "memory");
    else asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(address) : "memory");
  } else {
    if constexpr (kTransposed)
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
    else
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
  }
#endif
}

// c += a b, m16n8k16, T = bf16 or f16. Products are exact; hardware adds them in float32 or a little more, in an order that is not specified, and drops what
// lies below (the emulator adds in double and rounds once).
template <class T> WW_DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::mma16<dtypeOf<T> == DType::bf16>(c, a, b, {"mma", file, line});
#else
  if constexpr (dtypeOf<T> == DType::bf16)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// c += a b, m16n8k8 of values that toTf32 has rounded (the hardware ignores the lower 13 bits).
WW_DEVICE void mmaTf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] WW_AT) {
#ifdef WARPWEFT_SIMT
  simt::mmaTf32(c, a, b, {"mmaTf32", file, line});
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Rounds to 10 bits of fraction, ties away from zero.
WW_DEVICE uint32_t toTf32(float v) {
#ifdef WARPWEFT_SIMT
  return simt::tf32FromFloat(v);
#else
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
  return r;
#endif
}

}  // namespace warpweft::cuda
