#include "runtime/device.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <vector>

#include "cpu/isa.hpp"
#include "runtime/op.hpp"
#include "runtime/pool.hpp"
#include "runtime/session.hpp"

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
    return warpweft::indexFault(op, position_, value_, size_);
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
  bool has(int op) const override { return set_.kernel(op) != nullptr; }
  size_t workspace(int op, const char* name, const void* args) const override {
    const Entry* entry = set_.kernel(op);
    if (!entry) throw OpError{"ERR_DEVICE", std::string(name) + ": the backend of cpu has no kernel for it"};
    return entry->workspace ? entry->workspace(args) : 0;
  }

  void run(const Call& call) override {
    std::shared_ptr<const Fault> inherited, own;
    for (size_t i = 0; i < call.count && !inherited; i++)
      if (call.uses[i].role != Role::write) inherited = call.uses[i].storage->fault;
    try {
      own = context_.launch(*set_.kernel(call.op), call.name, call.args, call.workspace, inherited != nullptr);
      if (own) call.session->report(own);
    } catch (const std::exception& error) {
      own = std::make_shared<Fault>(Fault{"ERR_DEVICE", std::string(call.name) + " failed on " + name + ": " + error.what()});
      fail(own);
    }
    if (call.skipsWhenFaulty) return;
    // What is computed from a faulty value is faulty; what is overwritten by a sound one is sound again.
    const std::shared_ptr<const Fault>& result = own ? own : inherited;
    for (size_t i = 0; i < call.count; i++) {
      const Use& use = call.uses[i];
      if (use.role != Role::read && (result || use.storage->fault)) use.storage->fault = result;
    }
  }

  void submit(Task* task) override { stream_.submit(task); }
  void synchronize() override { stream_.synchronize(); }
  bool idle() const override { return stream_.idle(); }
  void drop(Session* session) override { stream_.drop(session); }
  void settle(Session* session) override { stream_.settle(session); }
  void fill(void* target, int byte, size_t bytes) override { std::memset(target, byte, bytes); }
  void upload(void* target, HostBuffer source, size_t bytes) override { std::memcpy(target, source.data(), bytes); }
  void download(void* target, const void* source, size_t bytes, std::unique_ptr<Task> then) override {
    if (bytes) std::memcpy(target, source, bytes);
    then->run();
  }
  // Where nothing is queued nobody can be reading the memory.
  bool writeNow(Storage& storage, void* target, const void* source, size_t bytes) override {
    if (!idle()) return false;
    std::memcpy(target, source, bytes);
    storage.fault.reset();
    return true;
  }
  std::shared_ptr<const Fault> read(Storage& storage, void* target, const void* source, size_t bytes) override {
    synchronize();
    if (bytes && !storage.fault) std::memcpy(target, source, bytes);
    return storage.fault;
  }
  std::string describe() const override { return std::string(set_.name) + ", " + std::to_string(Pool::instance().threads()) + " threads"; }

 private:
  const cpu::InstructionSet& set_;
  CpuContext context_;
  Stream stream_{"warpweft-cpu"};
};

// Runs on the stream's thread, where the pool has one caller.
class PeakTask final : public Task {
 public:
  PeakTask(Session* session, double* best) : Task(session), best_(best) {}
  void run() override {
    using Clock = std::chrono::steady_clock;
    constexpr int64_t kRepeats = 100'000;   // about a millisecond
    constexpr int kRounds = 50;
    Pool& pool = Pool::instance();
    const int threads = pool.threads();
    std::vector<double> done(static_cast<size_t>(threads));
    for (int round = 0; round < kRounds; round++) {
      const auto began = Clock::now();
      pool.run(threads, [](void* argument, int64_t chunk, int) { static_cast<double*>(argument)[chunk] = cpu::instructionSet().multiplyAdds(kRepeats); }, done.data());
      const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
      *best_ = std::max(*best_, std::accumulate(done.begin(), done.end(), 0.0) / seconds);
    }
  }

 private:
  double* best_;
};

}  // namespace

Device& cpuDevice() {
  static CpuDevice* device = new CpuDevice;   // never destroyed: its thread may run past static destructors
  return *device;
}

double cpuPeak(Session& session) {
  double best = 0;
  cpuDevice().submit(new PeakTask(&session, &best));
  cpuDevice().synchronize();
  return best;
}

}  // namespace warpweft
