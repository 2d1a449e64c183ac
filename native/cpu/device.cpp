#include "runtime/device.hpp"

#include <exception>
#include <mutex>

#include "cpu/isa.hpp"
#include "runtime/pool.hpp"
#include "runtime/storage.hpp"

namespace warpweft {
namespace {

class CpuContext final : public Context {
 public:
  int threads() const override { return Pool::instance().threads(); }
  void* threadScratch(int thread, size_t bytes) override { return Pool::instance().scratch(thread, bytes); }
  void* workspace() const override { return workspace_; }
  bool faulty() const override { return faulty_; }

  // The lowest position wins, so that the message does not depend on which thread came first.
  void indexFault(int64_t position, int64_t value, int64_t size) override {
    const std::lock_guard lock(mutex_);
    if (faulted_ && position_ <= position) return;
    faulted_ = true;
    position_ = position;
    value_ = value;
    size_ = size;
  }

  std::shared_ptr<const Fault> launch(const Entry& entry, const char* op, const void* args, void* workspace, bool faulty) {
    workspace_ = workspace;
    faulty_ = faulty;
    faulted_ = false;
    entry.launch(args, *this);
    if (!faulted_) return nullptr;
    return std::make_shared<Fault>(Fault{"ERR_INDEX", std::string(op) + ": index " + std::to_string(value_) + " at position " + std::to_string(position_) +
                                         " is outside of [0, " + std::to_string(size_) + ")"});
  }

 protected:
  void parallelChunks(int64_t chunks, void (*body)(void*, int64_t, int), void* argument) override { Pool::instance().run(chunks, body, argument); }

 private:
  void* workspace_ = nullptr;
  bool faulty_ = false, faulted_ = false;
  int64_t position_ = 0, value_ = 0, size_ = 0;
  std::mutex mutex_;
};

class CpuDevice final : public Device {
 public:
  CpuDevice() : Device("cpu", 0, hostMemory()), set_(cpu::instructionSet()) {}
  const Entry* kernel(int op) const override { return set_.kernel(op); }
  std::shared_ptr<const Fault> launch(const Entry& entry, const char* op, const void* args, void* workspace, bool faulty) override {
    return context_.launch(entry, op, args, workspace, faulty);
  }
  void submit(Task* task) override { stream_.submit(task); }
  void synchronize() override { stream_.synchronize(); }
  bool idle() const override { return stream_.idle(); }
  void cancel(Session* session) override { stream_.cancel(session); }
  std::string describe() const override { return std::string(set_.name) + ", " + std::to_string(Pool::instance().threads()) + " threads"; }

 private:
  const cpu::InstructionSet& set_;
  CpuContext context_;
  Stream stream_;
};

}  // namespace

Device& cpuDevice() {
  static CpuDevice* device = new CpuDevice;   // never destroyed: its thread may run past static destructors
  return *device;
}

}  // namespace warpweft
