#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>

namespace warpweft {

// The threads of the process that compute: one pool, whatever the number of Node environments, so that cores are never oversubscribed. The caller of run()
// works as thread 0. Threads spin for a few microseconds between jobs and sleep after that. Never destroyed: threads may outlive static destructors.
class Pool {
 public:
  static Pool& instance();

  int threads() const { return threads_; }
  // Calls body(argument, chunk, thread) for every chunk; returns when all are done. One caller at a time (the CPU stream). What a chunk throws, on whatever
  // thread, is thrown on to the caller once no thread works on the job any more; chunks that had not begun by then are left out.
  void run(int64_t chunks, void (*body)(void*, int64_t, int), void* argument);
  // Uses n threads from now on, at least one and at most one a core (or WARPWEFT_THREADS, where that is more); those that were never needed before are started now.
  void limit(int n);
  // 64-byte aligned scratch of one thread, kept and grown.
  void* scratch(int thread, size_t bytes);

 private:
  Pool();
  void start(int wanted);
  void work(int thread);
  void drain(int thread);

  static constexpr int kMaxThreads = 256;
  struct alignas(64) Scratch { void* data = nullptr; size_t bytes = 0; };

  std::mutex starting_;
  int most_, started_ = 1;
  std::atomic<int> threads_{1};
  Scratch scratch_[kMaxThreads];

  // The job. `epoch_` announces it; threads that see a new epoch join while it is open and take chunks until none is left.
  void (*body_)(void*, int64_t, int) = nullptr;
  void* argument_ = nullptr;
  int64_t chunks_ = 0;
  std::exception_ptr failure_;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint64_t> epoch_{0};
  alignas(64) std::atomic<bool> open_{false};
  std::atomic<int> joined_{0};
  std::atomic<int> sleeping_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace warpweft
