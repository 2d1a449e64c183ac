#include "runtime/stream.hpp"

#include <pthread.h>

#include <string>
#include <thread>

namespace warpweft {

Stream::Stream(const char* name) {
  std::thread([this, name = std::string(name)] {
    pthread_setname_np(pthread_self(), name.c_str());
    work();
  }).detach();
}

void Stream::submit(Task* task) {
  std::unique_lock lock(mutex_);
  if (submitted_.load(std::memory_order_relaxed) - finished_.load(std::memory_order_acquire) >= kRunAhead) {
    waiting_++;
    done_.wait(lock, [&] { return submitted_.load(std::memory_order_relaxed) - finished_.load(std::memory_order_acquire) < kRunAhead / 2; });
    waiting_--;
  }
  (last_ ? last_->next : first_) = task;
  last_ = task;
  task->number = submitted_.fetch_add(1, std::memory_order_release) + 1;
  if (sleeping_) {
    sleeping_ = false;
    lock.unlock();
    arrived_.notify_one();
  }
}

void Stream::synchronize() {
  std::unique_lock lock(mutex_);
  const int64_t target = submitted_.load(std::memory_order_relaxed);
  waiting_++;
  // Not by the count of finished tasks: tasks that came later and are cancelled count as finished before those that this waits for.
  done_.wait(lock, [&] { return (running_ == 0 || running_ > target) && (!first_ || first_->number > target); });
  waiting_--;
}

void Stream::drop(Session* session) {
  Task* dropped = nullptr;
  {
    const std::lock_guard lock(mutex_);
    Task** link = &first_;
    last_ = nullptr;
    while (Task* task = *link) {
      if (task->session == session) {
        *link = task->next;
        task->next = dropped;
        dropped = task;
        finished_.fetch_add(1, std::memory_order_release);
      } else {
        last_ = task;
        link = &task->next;
      }
    }
    done_.notify_all();
  }
  while (Task* task = dropped) {
    dropped = task->next;
    delete task;
  }
}

void Stream::settle(Session* session) {
  std::unique_lock lock(mutex_);
  waiting_++;
  done_.wait(lock, [&] { return current_ != session; });
  waiting_--;
}

void Stream::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    while (!first_) {
      sleeping_ = true;   // again after every wait: who notified took it back, and what came may be cancelled by now
      arrived_.wait(lock);
    }
    sleeping_ = false;
    Task* task = first_;
    first_ = task->next;
    if (!first_) last_ = nullptr;
    current_ = task->session;
    running_ = task->number;
    lock.unlock();
    task->run();
    delete task;
    lock.lock();
    current_ = nullptr;
    running_ = 0;
    finished_.fetch_add(1, std::memory_order_release);
    if (waiting_) done_.notify_all();
  }
}

}  // namespace warpweft
