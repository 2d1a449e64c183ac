#pragma once
#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA::gemm {

// Who works on one product: all threads, or one that has its own memory for it.
struct Workers {
  Context& context;
  int only = -1;                 // that thread
  float* own = nullptr;          // its memory

  WW_INLINE int count() const { return only < 0 ? context.threads() : 1; }
  WW_INLINE float* scratch(int thread, int64_t bytes) const { return own ? own : static_cast<float*>(context.threadScratch(thread, static_cast<size_t>(bytes))); }
  // f(task, thread) for each of n tasks.
  template <class F> WW_INLINE void each(int64_t n, F&& f) const {
    if (only >= 0) {
      for (int64_t i = 0; i < n; i++) f(i, only);
      return;
    }
    context.parallelFor(n, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; i++) f(i, thread);
    });
  }
};

}  // namespace warpweft::cpu::WW_ISA::gemm
