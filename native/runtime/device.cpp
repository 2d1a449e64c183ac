#include "runtime/device.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/op.hpp"
#include "runtime/storage.hpp"

namespace warpweft {
namespace {

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

// All bits set: NaN in every float format, -1 in every signed integer.
class PoisonTask final : public Task {
 public:
  PoisonTask(Device& device, void* data, size_t bytes) : Task(nullptr), device_(device), data_(data), bytes_(bytes) {}
  void run() override { device_.fill(data_, 0xFF, bytes_); }
 private:
  Device& device_;
  void* data_;
  size_t bytes_;
};

}  // namespace

bool poisoned() {
  static const bool on = [] { const char* text = std::getenv("WARPWEFT_POISON"); return text && *text && std::strcmp(text, "0") != 0; }();
  return on;
}

void* Device::allocate(size_t bytes, const char* what) {
  void* data = allocator_.allocate(bytes);
  if (!data) {
    synchronize();
    allocator_.trim();
    data = allocator_.allocate(bytes);
  }
  if (!data) {
    const Allocator::Statistics s = allocator_.statistics();
    throw OpError{"ERR_OUT_OF_MEMORY", std::string(what) + " asked for " + megabytes(static_cast<int64_t>(bytes)) + " on " + name + ", where " +
                  megabytes(s.live) + " are in use in " + std::to_string(s.blocks) + " tensors and " + megabytes(allocator_.limit()) +
                  " may be used. Use smaller batches, activation checkpointing, or dispose of tensors that are no longer needed"};
  }
  if (poisoned()) submit(new PoisonTask(*this, data, bytes));
  return data;
}

void Device::release(void* data, size_t bytes) {
  if (poisoned()) submit(new PoisonTask(*this, data, bytes));
  allocator_.release(data);
}

void Device::fail(std::shared_ptr<const Fault> failure) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

std::shared_ptr<const Fault> Device::failure() {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Device::reset() {
  synchronize();
  const std::lock_guard lock(mutex_);
  failure_.reset();
}

void* Device::reserveHost(size_t bytes) { return std::malloc(bytes ? bytes : 1); }
void Device::releaseHost(void* data) { std::free(data); }

HostBuffer::HostBuffer(Device& device, size_t bytes) : device_(&device), data_(device.reserveHost(bytes)), bytes_(bytes) {}
HostBuffer::~HostBuffer() {
  if (data_) device_->releaseHost(data_);
}

namespace {
std::atomic<Device*> others[kMaxDevices - 1];
std::atomic<int> otherCount{0};
}  // namespace

int deviceCount() { return 1 + otherCount.load(std::memory_order_acquire); }

void addDevice(Device* device) {
  const int n = otherCount.load(std::memory_order_relaxed);
  others[n].store(device, std::memory_order_relaxed);
  otherCount.store(n + 1, std::memory_order_release);
}

Device& deviceAt(int index) {
  if (index == 0) return cpuDevice();
  if (index > 0 && index < deviceCount()) return *others[index - 1].load(std::memory_order_relaxed);
  std::string names = "cpu";
  for (int i = 1; i < deviceCount(); i++) names += ", " + deviceAt(i).name;
  throw OpError{"ERR_DEVICE", "device " + std::to_string(index) + " does not exist; this process has: " + names};
}

}  // namespace warpweft
