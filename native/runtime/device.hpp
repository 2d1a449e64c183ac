#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/allocator.hpp"
#include "runtime/call.hpp"
#include "runtime/stream.hpp"

namespace warpweft {

class Device;
inline constexpr int kMaxDevices = 17;   // the CPU and sixteen GPUs

// Memory of the host for what goes to a device or comes from it.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(Device& device, size_t bytes);   // data() is null if there is no memory
  ~HostBuffer();
  HostBuffer(HostBuffer&& other) noexcept : device_(other.device_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  HostBuffer& operator=(HostBuffer&& other) noexcept { std::swap(device_, other.device_); std::swap(data_, other.data_); std::swap(bytes_, other.bytes_); return *this; }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// One device: its memory, its thread, its kernels. Nothing above this header knows which kind it is. The device's thread takes tasks in the order in which they
// were queued; what it starts may run later (on a GPU), but in that order.
class Device {
 public:
  Device(std::string name, int index, Allocator::Source memory) : name(std::move(name)), index(index), allocator_(memory) {}
  virtual ~Device() = default;

  // Memory in stream order. Waits for the queue and trims the cache before it gives up; throws OpError ERR_OUT_OF_MEMORY that names what was asked.
  void* allocate(size_t bytes, const char* what);
  void release(void* data, size_t bytes);
  Allocator& allocator() { return allocator_; }

  // Whether the backend has a kernel for an op (index in the list of ops/all.hpp), and the scratch bytes that a call of it needs. Throws OpError where it has none, or
  // none for these arguments.
  virtual bool has(int op) const = 0;
  virtual size_t workspace(int op, const char* name, const void* args) const = 0;

  virtual void submit(Task* task) = 0;
  virtual void synchronize() = 0;
  virtual bool idle() const = 0;
  // Takes the session's tasks out of the queue. `settle` waits for what of it runs, so that nothing refers to the session any more.
  virtual void drop(Session* session) = 0;
  virtual void settle(Session* session) = 0;
  virtual std::string describe() const = 0;   // "avx512, 2 threads"

  // On the device's thread:
  virtual void run(const Call& call) = 0;
  virtual void fill(void* target, int byte, size_t bytes) = 0;
  virtual void upload(void* target, HostBuffer source, size_t bytes) = 0;
  // Copies to the host, then runs `then` (and deletes it), on whatever thread sees the end of the copy. `then` runs also where the device has failed.
  virtual void download(void* target, const void* source, size_t bytes, std::unique_ptr<Task> then) = 0;

  // Writes at once if nothing can be using the memory and the host reaches it; returns false otherwise.
  virtual bool writeNow(Storage& storage, void* target, const void* source, size_t bytes) = 0;
  // Waits for the queue and copies to the host; returns what went wrong in the value, if anything did.
  virtual std::shared_ptr<const Fault> read(Storage& storage, void* target, const void* source, size_t bytes) = 0;
  // What went wrong in a value that has been read, if anything did: known once the read is over.
  virtual std::shared_ptr<const Fault> confirmed(const std::shared_ptr<const Fault>& fault) const { return fault; }
  // The other way: as a storage of this device carries it.
  virtual std::shared_ptr<const Fault> carried(const std::shared_ptr<const Fault>& fault) const { return fault; }

  virtual void* reserveHost(size_t bytes);
  virtual void releaseHost(void* data);

  // A failure of queued work itself: every wait rejects with it until the device is reset.
  void fail(std::shared_ptr<const Fault> failure);
  std::shared_ptr<const Fault> failure();
  // Throws OpError ERR_DEVICE if the device is lost to this process.
  virtual void reset();

  const std::string name;
  const int index;

 private:
  Allocator allocator_;
  std::mutex mutex_;
  std::shared_ptr<const Fault> failure_;
};

Device& cpuDevice();
// Floating-point operations a second that the CPU's threads do at most in float32: measured on registers, in some 50 ms, the best of many rounds.
double cpuPeak(Session& session);
// The device of an index (0 = cpu); throws OpError ERR_DEVICE if there is none.
Device& deviceAt(int index);
// Those that there are: deviceCount() >= 1.
int deviceCount();
// Appends a device, which is never destroyed; its index must be deviceCount(). Only one thread at a time.
void addDevice(Device* device);

// WARPWEFT_POISON=1: fresh and freed memory is filled with NaN, in stream order, so that a read of what was never written shows.
bool poisoned();

}  // namespace warpweft
