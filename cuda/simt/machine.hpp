#pragma once
// The emulated GPU: one block at a time, one fiber a thread, on the calling thread of the system. A fiber runs until it has to wait for others, then the first
// fiber that can run goes on; which one is first is the order (forward, reverse, shuffled). Kernels that never wait run as plain calls, one thread after the other.
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

// CUDA's names, as far as kernels use them.
struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}   // NOLINT: implicit, as CUDA's is
};

namespace warpweft::simt {

class Fiber;

// What a kernel did that a GPU would not forgive: deadlock, divergence, misalignment, a launch out of bounds.
struct Error : std::runtime_error { using std::runtime_error::runtime_error; };

// Where in the source a thread waits.
struct Site { const char* what; const char* file; int line; };

struct Block { uint3 index; dim3 size, grid; unsigned threads; uint64_t epoch; };   // epoch: counts blocks

struct Warp;

// A copy to shared memory that was issued and has not been waited for.
struct Copy { void* to; const void* from; uint16_t bytes, valid; uint32_t group; };

struct Thread {
  uint3 index;
  unsigned linear, lane;
  Warp* warp;
  Fiber* fiber;          // null: not started
  bool finished;
  Site waits;            // what is null: it does not wait
  uint32_t group;        // cp.async: the group that collects
  std::vector<Copy> copies;
};

// Lanes of a warp that meet in one collective. The last to come computes for all.
struct Meeting {
  uint32_t mask, arrived;
  Site at;
  const void* in[32];
  void* out[32];
  template <class In> const In& input(unsigned lane) const { return *static_cast<const In*>(in[lane]); }
  template <class Out> Out& output(unsigned lane) const { return *static_cast<Out*>(out[lane]); }
  bool has(unsigned lane) const { return mask >> lane & 1; }
};

struct Warp {
  unsigned number;
  uint32_t existing;     // lanes that the block has
  Thread* lanes[32];
  int meetings;
  Meeting meeting[16];   // of disjoint or nested masks
};

extern Thread* self;     // who runs; null outside of a kernel
extern Block block;

enum class Order { forward, reverse, shuffled };
// WARPWEFT_SIMT_ORDER=forward | reverse | shuffled[:seed] unless set here.
void setOrder(Order order, uint64_t seed = 0);
Order order();
uint64_t seed();
// The GPU that is played: 80, 86, 89, 90, 100 or 120. WARPWEFT_SIMT_ARCH, else 80, unless a test sets it.
int architecture();
void setArchitecture(int number);
int sharedMemoryLimit();   // bytes a block may have on that GPU

struct Kernel {
  const char* name;
  void (*run)(const void* arguments);
  const void* arguments;
};
// Runs a grid to its end. Throws Error with the kernel's name and the line where it went wrong; the machine can be used again after that.
void launch(const Kernel& kernel, dim3 grid, dim3 size, size_t sharedBytes);

// The running thread waits until somebody wakes it; what it waits for has to be looked at again then.
void wait(Site at);
void wake(Thread* t);

// What goes on beside the threads of a block (async.cpp, warpgroup.cpp): at its beginning, when no thread can run (true if something was brought on), at its end.
void beginAsync();
bool advanceAsync();
void endAsync();
void beginWarpgroups();
void endWarpgroups();

[[noreturn]] void fail(const char* file, int line, const char* format, ...) __attribute__((format(printf, 3, 4)));

// The thread waits until `threads` threads have come to barrier `id`. strict: they all have to be at the same place of the source.
void barrier(int id, unsigned threads, bool strict, Site at);
// Counts as having come, and goes on.
void barrierArrive(int id, unsigned threads, Site at);

// Returns the meeting to the last lane to come, null to the others once it was completed.
Meeting* arrive(uint32_t mask, const void* in, void* out, Site at);
void complete(Meeting& meeting);

// One collective: compute(const Meeting&) fills the outputs of all lanes.
template <class Out, class In, class Compute> Out collective(uint32_t mask, const In& in, Compute compute, Site at) {
  Out out;
  if (Meeting* m = arrive(mask, &in, &out, at)) {
    compute(*m);
    complete(*m);
  }
  return out;
}

// Dynamic shared memory of the block: exactly as large as the launch says, so that AddressSanitizer sees the first byte beyond.
void* dynamicShared();
size_t dynamicBytes();

// A static shared array: memory of its own, poisoned when a block first touches it.
class SharedArray {
 public:
  explicit SharedArray(size_t bytes) : bytes_(bytes) {}
  void* memory() {
    if (epoch_ != block.epoch) renew();
    return memory_;
  }
 private:
  void renew();
  size_t bytes_;
  uint64_t epoch_ = 0;
  void* memory_ = nullptr;
};
template <class Array, class Place> Array& shared(Place) {
  static SharedArray array(sizeof(Array));   // one for each place and instantiation: Place is a lambda's type
  return *static_cast<Array*>(array.memory());
}

void copyIssue(void* to, const void* from, unsigned bytes, unsigned valid, const char* file, int line);
void copyCommit();
void copyWait(unsigned pending);   // all but the last `pending` groups
void copyWaitAll();

inline void checkAligned(const void* p, size_t bytes, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (reinterpret_cast<uintptr_t>(p) % bytes) fail(file, line, "%s of %zu bytes at the address %p, which is not a multiple of that", what, bytes, p);
}

}  // namespace warpweft::simt
