#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "runtime/allocator.hpp"
#include "runtime/backend.hpp"
#include "runtime/stream.hpp"

namespace warpweft {

struct Fault;

// One device: its memory, its stream, its table of kernels. Nothing above this header knows which kind it is.
class Device {
 public:
  Device(std::string name, int index, Allocator::Source memory) : name(std::move(name)), index(index), allocator_(memory) {}
  virtual ~Device() = default;

  // Memory in stream order. Waits for the queue and trims the cache before it gives up; throws OpError ERR_OUT_OF_MEMORY that names what was asked.
  void* allocate(size_t bytes, const char* what);
  void release(void* data, size_t bytes);
  Allocator& allocator() { return allocator_; }

  // The kernel of an op (index in the list of ops/all.hpp); null if this backend has none.
  virtual const Entry* kernel(int op) const = 0;
  // Runs a kernel on the stream's thread. Returns the fault that it reported, if any.
  virtual std::shared_ptr<const Fault> launch(const Entry& entry, const char* op, const void* args, void* workspace, bool faulty) = 0;
  virtual void submit(Task* task) = 0;
  virtual void synchronize() = 0;
  virtual bool idle() const = 0;
  virtual void cancel(Session* session) = 0;
  virtual std::string describe() const = 0;   // "avx512, 2 threads"

  // A failure of queued work itself: every wait rejects with it until the device is reset.
  void fail(std::shared_ptr<const Fault> failure);
  std::shared_ptr<const Fault> failure();
  void reset();

  const std::string name;
  const int index;

 private:
  Allocator allocator_;
  std::mutex mutex_;
  std::shared_ptr<const Fault> failure_;
};

Device& cpuDevice();
// The device of an index (0 = cpu); throws OpError ERR_DEVICE if there is none.
Device& deviceAt(int index);

// WARPWEFT_POISON=1: fresh and freed memory is filled with NaN, in stream order, so that a read of what was never written shows.
bool poisoned();

}  // namespace warpweft
