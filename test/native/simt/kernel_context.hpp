#pragma once
// Takes the place of the CPU's part of test_context.hpp: kernels are those of cuda/, run by the emulator. Where a test asks for one thread the fibers go
// forward, where it asks for several they go in reverse: what tests say about bits and threads, they then say about bits and races.
#include "cuda/kernel.cuh"

#define WW_DECLARE(Op)
#define WW_ENTRIES(Op) std::vector<warpweft::test::Kernel>{{"simt", &warpweft::cuda::table[warpweft::opIndex<warpweft::Op>]}}

namespace warpweft::test {

struct Kernel { const char* isa; const cuda::Entry* entry; };

inline std::vector<Kernel> withTiles(std::vector<Kernel> kernels) { return kernels; }   // a way of the CPU's

inline constexpr bool kRoundsFactors = true;   // tensor cores take probabilities and such in the dtype of the op

class TestContext {
 public:
  explicit TestContext(int threads = 1) : threads_(threads) {}

  // Runs an op as the library does, with a workspace of exactly the size that it asks for, filled with NaN.
  template <class Op> void run(const Kernel& kernel, const Op& op) {
    DeviceInfo info{};
    info.capability = simt::architecture();
    info.multiprocessors = 4;
    info.sharedPerBlock = simt::sharedMemoryLimit();
    if (!kernel.entry->launch) {
      std::fprintf(stderr, "%s has no kernel in cuda/\n", Op::name);
      std::abort();
    }
    const size_t bytes = kernel.entry->workspace ? kernel.entry->workspace(&op, info) : 0;
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes ? bytes : 1)) std::abort();
    const std::unique_ptr<void, void (*)(void*)> workspace(memory, std::free);
    std::memset(memory, 0xFF, bytes);
    std::memset(static_cast<void*>(&word_), 0xFF, sizeof word_);
    const uint32_t faulty = 1;
    Launch launch{};
    launch.op = opIndex<Op>;
    launch.args = &op;
    launch.workspace = bytes ? memory : nullptr;
    launch.faulty = faultyInput ? &faulty : nullptr;
    launch.owner = this;
    launch.faultWord = [](void* owner) { return &static_cast<TestContext*>(owner)->word_; };
    simt::setOrder(threads_ == 1 ? simt::Order::forward : threads_ == 2 ? simt::Order::shuffled : simt::Order::reverse);
    cuda::Context context(launch, info, nullptr);
    kernel.entry->launch(&op, context);
    faults = word_.position != ~uint64_t{0};
    faultPosition = static_cast<int64_t>(word_.position);
    faultValue = word_.value;
    faultSize = word_.size;
  }

  // A device keeps the first fault and does not count.
  bool reported(int64_t n) const { return (faults > 0) == (n > 0); }

  int64_t faults = 0, faultPosition = 0, faultValue = 0, faultSize = 0;
  bool faultyInput = false;

 private:
  int threads_;
  FaultWord word_{};
};

}  // namespace warpweft::test

namespace warpweft::cuda {
// Wanted by the kernels' objects: `used`, so that it is there for them.
[[gnu::used]] inline void Context::upload(void* target, const void* source, size_t bytes) { std::memcpy(target, source, bytes); }
}  // namespace warpweft::cuda
