#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "runtime/view.hpp"

namespace warpweft {

class Device;

// Something that went wrong in queued work and belongs to the results computed from it.
struct Fault { std::string code, message; };

// The message of an index that a kernel found out of range.
inline std::shared_ptr<const Fault> indexFault(const char* op, int64_t position, int64_t value, int64_t size) {
  return std::make_shared<Fault>(Fault{"ERR_INDEX", std::string(op) + ": index " + std::to_string(value) + " at position " + std::to_string(position) +
                                       " is outside of [0, " + std::to_string(size) + ")"});
}

// The memory behind one or more views. `owners` (handles, saved tensors) decide when the memory goes back to the allocator, in stream order; `references`
// (handles and queued tasks) decide when this object goes.
class Storage {
 public:
  Storage(Device& device, void* data, size_t bytes) : device(device), data(data), bytes(bytes) {}

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() { if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this; }

  Device& device;
  void* const data;
  const size_t bytes;
  int owners = 0;          // JavaScript's thread only
  uint32_t version = 0;    // raised by every write that is queued; JavaScript's thread only
  std::shared_ptr<const Fault> fault;   // the thread of the device only, which alone knows how to read it (Device::confirmed)

 private:
  ~Storage() = default;
  std::atomic<int> references_{1};
};

}  // namespace warpweft
