#pragma once
#include "runtime/dtype.hpp"

namespace warpweft {

// What a CPU kernel may use besides its arguments: threads, scratch memory, and the way to report a bad index.
class Context {
 public:
  virtual int threads() const = 0;

  // Calls body(begin, end, thread) over [0, n) in chunks of `grain`, spread over the threads. The chunks depend on n and grain alone, so that a
  // reduction whose partial results are kept by chunk gives the same bits for every number of threads. `thread` is below threads().
  template <class F> WW_INLINE void parallelFor(int64_t n, int64_t grain, F&& body) {
    if (n <= 0) return;
    const int64_t chunks = (n + grain - 1) / grain;
    if (chunks == 1) return body(int64_t{0}, n, 0);
    struct Call { F* body; int64_t n, grain; } call{&body, n, grain};
    parallelChunks(chunks, [](void* p, int64_t chunk, int thread) {
      const Call& c = *static_cast<Call*>(p);
      const int64_t begin = chunk * c.grain, end = begin + c.grain;
      (*c.body)(begin, end < c.n ? end : c.n, thread);
    }, &call);
  }

  // Scratch of one thread, 64-byte aligned; a later call by the same thread may return the same memory. Contents are undefined.
  virtual void* threadScratch(int thread, size_t bytes) = 0;

  // The memory that the op's workspace(args) asked for; 64-byte aligned, contents undefined.
  virtual void* workspace() const = 0;

  // Reports that the index at `position` (counted in elements of the index tensor) is `value` and not in [0, size). The kernel writes zeros for it and
  // goes on; the op's outputs reject with IndexError when they are read. Callable from any thread.
  virtual void indexFault(int64_t position, int64_t value, int64_t size) = 0;

  // True if an input of this op came out of an op that reported an index fault: optimizers then leave everything as it is.
  virtual bool faulty() const = 0;

 protected:
  ~Context() = default;
  virtual void parallelChunks(int64_t chunks, void (*body)(void*, int64_t chunk, int thread), void* argument) = 0;
};

}  // namespace warpweft
