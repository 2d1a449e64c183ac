#pragma once
#include <memory>
#include <string>

#include "runtime/device.hpp"
#include "runtime/library.hpp"
#include "runtime/suspicion.hpp"

namespace warpweft {

// A device behind a library: a GPU, or the emulator in its place. One thread launches what is queued and never waits for the device, so that the device does not
// run dry while something is read; a second one waits for the ends of copies and hands on what has arrived.
class Accelerator final : public Device {
 public:
  // Throws OpError ERR_DEVICE, in one line, if the device cannot be opened.
  Accelerator(const DeviceLibrary& library, int ordinal, int index);

  const DeviceInfo& info() const { return info_; }

  bool has(int op) const override { return library_.has(op); }
  size_t workspace(int op, const char* name, const void* args) const override;
  void submit(Task* task) override { launcher_->submit(task); }
  void synchronize() override;
  bool idle() const override { return launcher_->idle() && waiter_->idle(); }
  void drop(Session* session) override;
  void settle(Session* session) override;
  std::string describe() const override;

  void run(const Call& call) override;
  void fill(void* target, int byte, size_t bytes) override;
  void upload(void* target, HostBuffer source, size_t bytes) override;
  void download(void* target, const void* source, size_t bytes, std::unique_ptr<Task> then) override;
  bool writeNow(Storage&, void*, const void*, size_t) override { return false; }
  std::shared_ptr<const Fault> read(Storage& storage, void* target, const void* source, size_t bytes) override;
  std::shared_ptr<const Fault> confirmed(const std::shared_ptr<const Fault>& fault) const override;
  std::shared_ptr<const Fault> carried(const std::shared_ptr<const Fault>& fault) const override;
  void* reserveHost(size_t bytes) override;
  void releaseHost(void* data) override;
  void reset() override;

 private:
  class Wait;
  class Settlement;
  class Release;

  // Whether a step of queued work went well; else the device has failed, in the words of `what`.
  bool succeeded(const char* error, const char* what);
  void await(void* event);
  void collectSuspects();
  FaultWord* suspect(const Call& call, SuspicionOf& own);
  const uint32_t* anyFault(const SuspicionOf& suspicion);

  const DeviceLibrary& library_;
  const int ordinal_;
  DeviceInfo info_{};
  Allocator pinned_;
  SuspectRing ring_;
  FaultWord* words_ = nullptr;      // on the device: the ring, then the result of anyFault
  uint32_t* anyResult_ = nullptr;
  void* stream_ = nullptr;
  Stream *launcher_ = nullptr, *waiter_ = nullptr;   // made last: their threads outlive everything
};

// Opens a library and adds its devices, once a process. Returns their number. Throws OpError ERR_DEVICE, in one line: it cannot be loaded, does not match this
// addon, or has no device and why.
int openDeviceLibrary(const std::string& path);
// Path and "driver 13.0, runtime 13.2, …" of the library that is open; empty if none is.
std::string libraryPath();
std::string libraryVersions();

}  // namespace warpweft
