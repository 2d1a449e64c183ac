#include "runtime/profile.hpp"

#include <cstdio>

#include "runtime/op.hpp"

namespace warpweft {
namespace {

// Of the elements that there are: along a stride of zero there is one.
double bytesOf(const View& v) {
  double n = 1;
  for (int d = 0; d < v.rank; d++) n *= v.strides[d] == 0 && v.sizes[d] > 0 ? 1.0 : static_cast<double>(v.sizes[d]);
  return n * static_cast<double>(sizeOf(v.dtype));
}

double bytesOf(const Call& call) {
  double sum = 0;
  for (size_t i = 0; i < call.count; i++) sum += (call.uses[i].role == Role::update ? 2 : 1) * bytesOf(call.uses[i].view);
  return sum;
}

std::string argumentsOf(const Call& call) {
  constexpr size_t kShown = 8;   // optimizers have hundreds
  std::string s;
  for (size_t i = 0; i < call.count && i < kShown; i++) s.append(i ? ", " : "").append(call.uses[i].argument).append(" ").append(describe(call.uses[i].view));
  if (call.count > kShown) s.append(" and ").append(std::to_string(call.count - kShown)).append(" more");
  return s;
}

double microseconds(Profile::Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

}  // namespace

void Profile::start() {
  const std::lock_guard lock(mutex_);
  if (on()) throw OpError{"ERR_CONFIG", "profile: one is under way already; a profile cannot be taken inside another"};
  kinds_.clear();
  events_.clear();
  lost_ = 0;
  origin_ = Clock::now();
  on_.store(true, std::memory_order_release);
}

void Profile::add(const Call& call, Clock::time_point began, double bytes, double flop) {
  const Clock::time_point ended = Clock::now();
  const std::lock_guard lock(mutex_);
  if (!on()) return;
  if (events_.size() == kMostEvents) { lost_++; return; }
  const auto [kind, fresh] = kinds_.try_emplace({call.name, argumentsOf(call)}, static_cast<int>(kinds_.size()));
  events_.push_back({kind->second, microseconds(began - origin_), microseconds(ended - began), bytes < 0 ? bytesOf(call) : bytes, flop});
}

std::string Profile::stop() {
  const std::lock_guard lock(mutex_);
  on_.store(false, std::memory_order_release);
  std::vector<const std::pair<std::string, std::string>*> kinds(kinds_.size());
  for (const auto& [key, index] : kinds_) kinds[static_cast<size_t>(index)] = &key;
  std::string json = "{\"kinds\":[";
  for (size_t i = 0; i < kinds.size(); i++)   // names and shapes: nothing that JSON escapes
    json.append(i ? ",[\"" : "[\"").append(kinds[i]->first).append("\",\"").append(kinds[i]->second).append("\"]");
  json += "],\"events\":[";
  for (size_t i = 0; i < events_.size(); i++) {
    const Event& e = events_[i];
    char text[160];
    std::snprintf(text, sizeof text, "%s[%d,%.3f,%.3f,%.0f,%.0f]", i ? "," : "", e.kind, e.start, e.duration, e.bytes, e.flop);
    json += text;
  }
  json.append("],\"lost\":").append(std::to_string(lost_)).append("}");
  kinds_.clear();
  events_ = {};
  return json;
}

}  // namespace warpweft
