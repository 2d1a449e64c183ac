#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace warpweft {

class Session;

// One piece of queued work. run() and the destructor are called on the stream's thread, or the destructor alone where the session has closed.
class Task {
 public:
  explicit Task(Session* session) : session(session) {}
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  virtual void run() = 0;

  Session* const session;
  Task* next = nullptr;
  int64_t number = 0;   // counts the tasks of its stream, from 1
};

// One thread that takes tasks in the order in which they were queued. Never destroyed (a thread may run past static destructors).
class Stream {
 public:
  explicit Stream(const char* name);   // of the thread: at most 15 characters
  // Takes ownership. Waits where more than kRunAhead tasks are queued, so that a program that never waits does not run out of memory.
  void submit(Task* task);
  // Waits until everything that was queued before has run.
  void synchronize();
  bool idle() const { return finished_.load(std::memory_order_acquire) == submitted_.load(std::memory_order_acquire); }
  // Removes the session's queued tasks.
  void drop(Session* session);
  // Waits for the task that runs, if it is the session's.
  void settle(Session* session);

 private:
  void work();

  static constexpr int64_t kRunAhead = 8192;
  std::mutex mutex_;
  std::condition_variable arrived_, done_;
  Task *first_ = nullptr, *last_ = nullptr;
  Session* current_ = nullptr;
  int64_t running_ = 0;   // number of the task that runs, 0 between tasks
  bool sleeping_ = false;
  int waiting_ = 0;
  std::atomic<int64_t> submitted_{0}, finished_{0};
};

}  // namespace warpweft
