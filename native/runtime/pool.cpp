#include "runtime/pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <thread>
#include <utility>

namespace warpweft {
namespace {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// About 20 microseconds: longer than the gap between two ops of a busy queue, shorter than what anybody would notice of an idle process.
constexpr int kSpins = 2000;

int coresOfProcess() {
  cpu_set_t set;
  const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  return cores < 1 ? 1 : cores;
}

int configuredThreads() {
  if (const char* text = std::getenv("WARPWEFT_THREADS")) {
    const int n = std::atoi(text);
    if (n >= 1) return n;
  }
  return coresOfProcess();
}

}  // namespace

Pool& Pool::instance() {
  static Pool* pool = new Pool;
  return *pool;
}

Pool::Pool() {
  const int wanted = std::min(configuredThreads(), kMaxThreads);
  most_ = std::max(wanted, std::min(coresOfProcess(), kMaxThreads));
  start(wanted);
  threads_ = started_;
}

void Pool::start(int wanted) {
  while (started_ < wanted) {
    try {
      std::thread([this, i = started_] { work(i); }).detach();
    } catch (...) {
      return;   // the system gives no more threads: work with those there are
    }
    started_++;
  }
}

void Pool::limit(int n) {
  const std::lock_guard lock(starting_);
  n = std::clamp(n, 1, most_);
  start(n);
  threads_ = std::min(n, started_);
}

void* Pool::scratch(int thread, size_t bytes) {
  Scratch& s = scratch_[thread];
  if (s.bytes < bytes) {
    std::free(s.data);
    const size_t rounded = (bytes + 4095) / 4096 * 4096;
    s.data = std::aligned_alloc(4096, rounded);
    s.bytes = s.data ? rounded : 0;
    if (!s.data) throw std::bad_alloc();
  }
  return s.data;
}

void Pool::drain(int thread) {
  for (;;) {
    const int64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= chunks_) return;
    try {
      body_(argument_, chunk, thread);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_.store(chunks_, std::memory_order_relaxed);
    }
  }
}

void Pool::run(int64_t chunks, void (*body)(void*, int64_t, int), void* argument) {
  const int helpers = threads_ - 1;
  if (helpers == 0 || chunks == 1) {
    for (int64_t i = 0; i < chunks; i++) body(argument, i, 0);
    return;
  }
  body_ = body;
  argument_ = argument;
  chunks_ = chunks;
  next_.store(0, std::memory_order_relaxed);
  open_.store(true, std::memory_order_seq_cst);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  drain(0);
  open_.store(false, std::memory_order_seq_cst);
  for (int spins = 0; joined_.load(std::memory_order_seq_cst) != 0; spins++) {
    if (spins < kSpins) relax();
    else sched_yield();
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Pool::work(int thread) {
  pthread_setname_np(pthread_self(), "warpweft");
  uint64_t seen = 0;
  for (;;) {
    uint64_t now = epoch_.load(std::memory_order_acquire);
    for (int spins = 0; now == seen && spins < kSpins; spins++) {
      relax();
      now = epoch_.load(std::memory_order_acquire);
    }
    if (now == seen) {
      std::unique_lock lock(mutex_);
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] { return epoch_.load(std::memory_order_seq_cst) != seen; });
      sleeping_.fetch_sub(1, std::memory_order_relaxed);
      now = epoch_.load(std::memory_order_acquire);
    }
    seen = now;
    // Join first, look second: run() closes the job first and waits for those who joined second, so one of the two sees the other. A thread that wakes
    // up too late finds the job closed, and nobody has waited for it.
    joined_.fetch_add(1, std::memory_order_seq_cst);
    if (open_.load(std::memory_order_seq_cst) && thread < threads_) drain(thread);
    joined_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace warpweft
