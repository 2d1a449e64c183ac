#pragma once
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime/call.hpp"

namespace warpweft {

// What the ops of a session do on the CPU's thread while it is profiled: when each of them ran, what it had to move, what it computed.
class Profile {
 public:
  using Clock = std::chrono::steady_clock;

  // Throws OpError ERR_CONFIG if it is on already.
  void start();
  // Ends it. JSON: {"kinds": [[op, arguments], …], "events": [[kind, start, duration, bytes, flop], …] in microseconds, "lost": events beyond kMostEvents}
  std::string stop();
  bool on() const { return on_.load(std::memory_order_acquire); }

  // On the device's thread. `bytes` and `flop` are those that the op says of itself; negative bytes: those of its arguments.
  void add(const Call& call, Clock::time_point began, double bytes, double flop);

 private:
  static constexpr size_t kMostEvents = 1'000'000;
  struct Event { int kind; double start, duration, bytes, flop; };

  std::atomic<bool> on_{false};
  std::mutex mutex_;
  Clock::time_point origin_;
  std::map<std::pair<std::string, std::string>, int> kinds_;
  std::vector<Event> events_;
  size_t lost_ = 0;
};

}  // namespace warpweft
