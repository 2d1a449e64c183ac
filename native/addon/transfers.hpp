#pragma once
// Bytes on their way into a tensor, from JavaScript or from a tensor of another device: tasks of the devices' queues.
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "addon/bind.hpp"
#include "runtime/accelerator.hpp"

namespace warpweft::addon {

class WriteTask final : public Task {
 public:
  WriteTask(Session* session, Storage* storage, void* target, const void* source, size_t bytes)
      : Task(session), storage_(storage), target_(target), bytes_(bytes), source_(storage->device, bytes) {
    if (!source_.data()) throw OpError{"ERR_OUT_OF_MEMORY", "write: the host has no memory for a copy of " + std::to_string(bytes) + " bytes"};
    std::memcpy(source_.data(), source, bytes);
    storage_->retain();
  }
  ~WriteTask() override { storage_->release(); }
  void run() override {
    storage_->device.upload(target_, std::move(source_), bytes_);
    storage_->fault.reset();
  }
 private:
  Storage* storage_;
  void* target_;
  size_t bytes_;
  HostBuffer source_;
};

// A tensor on its way from one device to another, through memory of the host.
struct Transfer {
  std::mutex mutex;
  std::condition_variable arrived;
  bool over = false, sound = false;
  HostBuffer buffer;
  std::shared_ptr<const Fault> fault;

  void end() {
    const std::lock_guard lock(mutex);
    over = true;
    arrived.notify_all();
  }
};

// The bytes are on the host. Dropped with its session: nobody looks at the target any more, but its device's thread may be waiting.
class Arrival final : public Task {
 public:
  Arrival(Session* session, std::shared_ptr<Transfer> transfer, Device& device, std::shared_ptr<const Fault> fault)
      : Task(session), transfer_(std::move(transfer)), device_(device), fault_(std::move(fault)) {}
  ~Arrival() override { transfer_->end(); }
  void run() override {
    transfer_->fault = device_.confirmed(fault_);
    if (!transfer_->fault) transfer_->fault = device_.failure();
    transfer_->sound = true;
  }
 private:
  std::shared_ptr<Transfer> transfer_;
  Device& device_;
  std::shared_ptr<const Fault> fault_;
};

class Departure final : public Task {
 public:
  Departure(Session* session, std::shared_ptr<Transfer> transfer, Storage* storage, const void* data, size_t bytes)
      : Task(session), transfer_(std::move(transfer)), storage_(storage), data_(data), bytes_(bytes) { storage_->retain(); }
  ~Departure() override {
    if (transfer_) transfer_->end();
    storage_->release();
  }
  void run() override {
    Device& device = storage_->device;
    void* target = transfer_->buffer.data();
    device.download(target, data_, bytes_, std::make_unique<Arrival>(session, std::move(transfer_), device, storage_->fault));
  }
 private:
  std::shared_ptr<Transfer> transfer_;
  Storage* storage_;
  const void* data_;
  size_t bytes_;
};

class Landing final : public Task {
 public:
  Landing(Session* session, std::shared_ptr<Transfer> transfer, Storage* storage, void* data, size_t bytes)
      : Task(session), transfer_(std::move(transfer)), storage_(storage), data_(data), bytes_(bytes) { storage_->retain(); }
  ~Landing() override { storage_->release(); }
  void run() override {
    std::unique_lock lock(transfer_->mutex);
    transfer_->arrived.wait(lock, [&] { return transfer_->over; });
    if (!transfer_->sound) return;
    storage_->fault = storage_->device.carried(transfer_->fault);
    storage_->device.upload(data_, std::move(transfer_->buffer), bytes_);
  }
 private:
  std::shared_ptr<Transfer> transfer_;
  Storage* storage_;
  void* data_;
  size_t bytes_;
};

}  // namespace warpweft::addon
