#pragma once
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/op.hpp"
#include "runtime/profile.hpp"

namespace warpweft {

// One evaluation of the TypeScript layer: its tensors by handle, and the faults of its queued work. A handle is a number: 24 bits of slot, 29 bits of generation,
// so that a handle used after its tensor went is told apart from the next tensor in that slot.
class Session {
 public:
  using Handle = double;

  struct Record {
    Storage* storage = nullptr;   // null in a free slot
    View view;
    uint32_t generation = 1;
  };

  ~Session() { clear(); }

  // Frees every tensor.
  void clear();

  Handle create(DType dtype, Device& device, int rank, const int64_t* sizes);
  // A view of the same storage; offset in elements from the first element of `of`. Throws ShapeError if it leaves the storage.
  Handle view(Handle of, int64_t offset, int rank, const int64_t* sizes, const int64_t* strides);
  // Another handle of the same tensor.
  Handle share(Handle of);
  void destroy(Handle handle);
  Record& at(Handle handle, const char* op, const char* argument);

  // Of the session on one device.
  struct Usage { int64_t tensors = 0, bytes = 0, peakBytes = 0; };
  const Usage& usage(const Device& device) const { return usage_[device.index]; }
  void resetPeak(const Device& device) { usage_[device.index].peakBytes = usage_[device.index].bytes; }

  // The first fault that no read has reported yet; taken by the next wait for the whole device.
  void report(std::shared_ptr<const Fault> fault);
  std::shared_ptr<const Fault> takeFault();
  // A read has rejected with it: the next wait need not say it again.
  void reported(const std::shared_ptr<const Fault>& fault);

  Profile profile;

 private:
  Handle insert(Storage* storage, const View& view);

  std::deque<Record> slots_;   // addresses stay as it grows
  std::vector<uint32_t> free_;
  Usage usage_[kMaxDevices];
  std::mutex mutex_;
  std::shared_ptr<const Fault> fault_;
};

}  // namespace warpweft
