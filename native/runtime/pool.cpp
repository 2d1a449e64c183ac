#include "runtime/pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <cstdlib>
#include <new>
#include <thread>

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

int configuredThreads() {
  cpu_set_t set;
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  if (cores < 1) cores = 1;
  if (const char* text = std::getenv("WARPWEFT_THREADS")) {
    const int n = std::atoi(text);
    if (n >= 1) cores = n;
  }
  return cores;
}

}  // namespace

Pool& Pool::instance() {
  static Pool* pool = new Pool;
  return *pool;
}

Pool::Pool() {
  int wanted = configuredThreads();
  if (wanted > kMaxThreads) wanted = kMaxThreads;
  for (int i = 1; i < wanted; i++) {
    try {
      std::thread([this, i] { work(i); }).detach();
    } catch (...) {
      break;   // the system gives no more threads: work with those there are
    }
    started_ = i + 1;
  }
  threads_ = started_;
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
    body_(argument_, chunk, thread);
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
