#include "runtime/accelerator.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "runtime/op.hpp"
#include "runtime/session.hpp"

namespace warpweft {
namespace {

constexpr size_t kFaultsAtOnce = 64;

struct Owner { const DeviceLibrary* library; int ordinal; int64_t limit; };

int64_t limitOf(const DeviceInfo& info) {
  if (const char* text = std::getenv("WARPWEFT_MEMORY_LIMIT"))
    if (const long long n = std::atoll(text); n > 0) return n;
  return info.memory;
}

DeviceInfo infoOf(const DeviceLibrary& library, int ordinal) {
  DeviceInfo info{};
  if (const char* error = library.info(ordinal, &info)) throw OpError{"ERR_DEVICE", "cuda:" + std::to_string(ordinal) + ": " + error};
  return info;
}

// Devices are never destroyed, and neither is what their allocators refer to.
Allocator::Source deviceMemory(const DeviceLibrary& library, int ordinal) {
  auto* owner = new Owner{&library, ordinal, limitOf(infoOf(library, ordinal))};
  return {[](void* o, size_t bytes) { const Owner& self = *static_cast<Owner*>(o); return self.library->reserve(self.ordinal, bytes); },
          [](void* o, void* p, size_t) { const Owner& self = *static_cast<Owner*>(o); self.library->release(self.ordinal, p); },
          [](void* o) { return static_cast<Owner*>(o)->limit; }, owner, 256};
}

Allocator::Source pinnedMemory(const DeviceLibrary& library) {
  auto* owner = new Owner{&library, 0, hostMemory().limit(nullptr) / 4};
  return {[](void* o, size_t bytes) { return static_cast<Owner*>(o)->library->reserveHost(bytes); },
          [](void* o, void* p, size_t) { static_cast<Owner*>(o)->library->releaseHost(p); },
          [](void* o) { return static_cast<Owner*>(o)->limit; }, owner, 64};
}

// One thread waits for another.
class Signal {
 public:
  void give() {
    const std::lock_guard lock(mutex_);
    given_ = true;
    arrived_.notify_all();
  }
  void take() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return given_; });
  }
 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  bool given_ = false;
};

class Job final : public Task {
 public:
  explicit Job(std::function<void()> body) : Task(nullptr), body_(std::move(body)) {}
  void run() override { body_(); }
 private:
  std::function<void()> body_;
};

const SuspicionOf suspicionOf(const std::shared_ptr<const Fault>& fault) { return std::static_pointer_cast<const Suspicion>(fault); }

}  // namespace

// On the waiter's thread: the end of a copy, then what follows from it.
class Accelerator::Wait final : public Task {
 public:
  Wait(Accelerator& device, void* event, std::unique_ptr<Task> then) : Task(then->session), device_(device), event_(event), then_(std::move(then)) {}
  ~Wait() override { device_.await(event_); }   // dropped: the event goes back, and the copy no longer writes
  void run() override {
    device_.await(std::exchange(event_, nullptr));
    then_->run();
  }
 private:
  Accelerator& device_;
  void* event_;
  std::unique_ptr<Task> then_;
};

// The words of a range of the ring have arrived.
class Accelerator::Settlement final : public Task {
 public:
  Settlement(Accelerator& device, SuspectRing::Range range, HostBuffer words) : Task(nullptr), device_(device), range_(range), words_(std::move(words)) {}
  void run() override { device_.ring_.settle(range_, static_cast<const FaultWord*>(words_.data())); }
 private:
  Accelerator& device_;
  SuspectRing::Range range_;
  HostBuffer words_;
};

// Pinned memory may be used again.
class Accelerator::Release final : public Task {
 public:
  explicit Release(HostBuffer buffer) : Task(nullptr), buffer_(std::move(buffer)) {}
  void run() override {}
 private:
  HostBuffer buffer_;
};

Accelerator::Accelerator(const DeviceLibrary& library, int ordinal, int index)
    : Device("cuda:" + std::to_string(ordinal), index, deviceMemory(library, ordinal)), library_(library), ordinal_(ordinal), info_(infoOf(library, ordinal)),
      pinned_(pinnedMemory(library)) {
  const char* error = library_.openStream(ordinal_, &stream_);
  if (!error) {
    words_ = static_cast<FaultWord*>(library_.reserve(ordinal_, SuspectRing::kBytes + 256));
    error = words_ ? library_.fill(ordinal_, stream_, words_, 0xFF, SuspectRing::kBytes) : "it has no memory left";
  }
  if (error) throw OpError{"ERR_DEVICE", name + " (" + info_.name + ") cannot be used: " + error};
  anyResult_ = reinterpret_cast<uint32_t*>(words_ + SuspectRing::kSlots);
  launcher_ = new Stream("warpweft-gpu");
  waiter_ = new Stream("warpweft-copies");
}

size_t Accelerator::workspace(int op, const char* opName, const void* args) const {
  if (!library_.has(op)) throw OpError{"ERR_DEVICE", std::string(opName) + ": the " + library_.kind + " backend of " + name + " has no kernel for it yet. Move the tensors with .to('cpu')"};
  const char* refusal = nullptr;
  const int64_t bytes = library_.workspace(ordinal_, op, args, &refusal);
  if (bytes < 0) throw OpError{"ERR_DEVICE", std::string(opName) + " on " + name + ": " + (refusal ? refusal : "its arguments are not supported")};
  return static_cast<size_t>(bytes);
}

std::string Accelerator::describe() const {
  return std::string(info_.name) + ", sm_" + std::to_string(info_.capability) + ", " + std::to_string(info_.multiprocessors) + " multiprocessors";
}

bool Accelerator::succeeded(const char* error, const char* what) {
  if (!error) return true;
  std::string message = std::string(what) + " failed on " + name + ": " + error;
  if (library_.state(ordinal_)) message += ". The device is lost to this process: what has been read is sound, everything on it is gone. Start again from the last checkpoint";
  fail(std::make_shared<Fault>(Fault{"ERR_DEVICE", message}));
  return false;
}

void Accelerator::await(void* event) {
  if (event) succeeded(library_.wait(ordinal_, event), "queued work");
}

void Accelerator::synchronize() {
  Signal signal;
  submit(new Job([&] { download(nullptr, nullptr, 0, std::make_unique<Job>([&] { signal.give(); })); }));
  signal.take();
}

std::shared_ptr<const Fault> Accelerator::read(Storage& storage, void* target, const void* source, size_t bytes) {
  Signal signal;
  HostBuffer buffer(*this, bytes);
  if (!buffer.data()) return std::make_shared<Fault>(Fault{"ERR_OUT_OF_MEMORY", "the host has no memory to read " + std::to_string(bytes) + " bytes into"});
  std::shared_ptr<const Fault> fault;
  submit(new Job([&] {
    fault = storage.fault;
    download(buffer.data(), source, bytes, std::make_unique<Job>([&] { fault = confirmed(fault); signal.give(); }));
  }));
  signal.take();
  if (bytes && !fault) std::memcpy(target, buffer.data(), bytes);
  return fault;
}

void Accelerator::drop(Session* session) {
  launcher_->drop(session);
  waiter_->drop(session);
}

void Accelerator::settle(Session* session) {
  launcher_->settle(session);
  waiter_->drop(session);   // what it may have handed on before it ended
  waiter_->settle(session);
  ring_.forget(session);
}

FaultWord* Accelerator::suspect(const Call& call, SuspicionOf& own) {
  if (ring_.full()) {
    // Nobody has read anything for a thousand ops that check indices: see to it that their slots become free.
    collectSuspects();
    waiter_->synchronize();
  }
  bool dirty = false;
  auto suspicion = std::make_shared<Suspicion>();
  suspicion->suspects.push_back(ring_.take(call.name, call.session, dirty));
  FaultWord* word = words_ + suspicion->suspects[0]->number % SuspectRing::kSlots;
  own = suspicion;
  if (dirty) succeeded(library_.fill(ordinal_, stream_, word, 0xFF, sizeof(FaultWord)), "clearing a fault");
  return word;
}

const uint32_t* Accelerator::anyFault(const SuspicionOf& suspicion) {
  uint16_t slots[kFaultsAtOnce];
  const auto& all = suspicion->suspects;
  for (size_t begin = 0; begin < all.size(); begin += kFaultsAtOnce) {
    const size_t count = std::min(kFaultsAtOnce, all.size() - begin);
    for (size_t i = 0; i < count; i++) slots[i] = static_cast<uint16_t>(all[begin + i]->number % SuspectRing::kSlots);
    succeeded(library_.anyFault(ordinal_, stream_, words_, slots, static_cast<int>(count), begin > 0, anyResult_), "looking for faults");
  }
  return anyResult_;
}

void Accelerator::run(const Call& call) {
  if (failure()) return;
  SuspicionOf inherited, own;
  for (size_t i = 0; i < call.count; i++)
    if (call.uses[i].role != Role::write && call.uses[i].storage->fault) inherited = joined(inherited, suspicionOf(call.uses[i].storage->fault));
  if (call.skipsWhenFaulty && isFaulty(inherited)) return;

  struct Asking { Accelerator* device; const Call* call; SuspicionOf* own; } asking{this, &call, &own};
  const Launch launch{ordinal_, call.op, stream_, call.args, call.workspace, call.skipsWhenFaulty && inherited ? anyFault(inherited) : nullptr, &asking,
                      [](void* o) { const Asking& a = *static_cast<Asking*>(o); return a.device->suspect(*a.call, *a.own); }};
  succeeded(library_.launch(&launch), call.name);

  if (call.skipsWhenFaulty) return;
  const SuspicionOf result = own ? joined(inherited, own) : inherited;
  for (size_t i = 0; i < call.count; i++) {
    const Use& use = call.uses[i];
    if (use.role != Role::read && (result || use.storage->fault)) use.storage->fault = result;
  }
}

void Accelerator::fill(void* target, int byte, size_t bytes) {
  if (bytes && !failure()) succeeded(library_.fill(ordinal_, stream_, target, byte, bytes), "filling memory");
}

void Accelerator::upload(void* target, HostBuffer source, size_t bytes) {
  if (failure() || !bytes) return;
  if (!succeeded(library_.copy(ordinal_, stream_, target, source.data(), bytes), "a copy to the device")) return;
  void* event = nullptr;
  succeeded(library_.record(ordinal_, stream_, &event), "a copy to the device");
  waiter_->submit(new Wait(*this, event, std::make_unique<Release>(std::move(source))));
}

void Accelerator::collectSuspects() {
  const SuspectRing::Range range = ring_.collect();
  if (range.begin == range.end) return;
  const int64_t count = range.end - range.begin, begin = range.begin % SuspectRing::kSlots, first = std::min(count, SuspectRing::kSlots - begin);
  HostBuffer words(*this, static_cast<size_t>(count) * sizeof(FaultWord));
  auto* to = static_cast<FaultWord*>(words.data());
  if (to) std::fill_n(to, count, FaultWord{~uint64_t{0}, 0, 0, ~0u, ~0u});
  else fail(std::make_shared<Fault>(Fault{"ERR_OUT_OF_MEMORY", "the host has no memory to look for faults on " + name}));
  const auto copied = [&](FaultWord* target, const FaultWord* source, int64_t n) {
    return n == 0 || succeeded(library_.copy(ordinal_, stream_, target, source, static_cast<size_t>(n) * sizeof(FaultWord)), "a copy to the host");
  };
  void* event = nullptr;
  if (!failure() && copied(to, words_ + begin, first) && copied(to + first, words_, count - first))
    succeeded(library_.record(ordinal_, stream_, &event), "a copy to the host");
  waiter_->submit(new Wait(*this, event, std::make_unique<Settlement>(*this, range, std::move(words))));
}

void Accelerator::download(void* target, const void* source, size_t bytes, std::unique_ptr<Task> then) {
  collectSuspects();
  void* event = nullptr;
  if (!failure() && (bytes == 0 || succeeded(library_.copy(ordinal_, stream_, target, source, bytes), "a copy to the host")))
    succeeded(library_.record(ordinal_, stream_, &event), "a copy to the host");
  waiter_->submit(new Wait(*this, event, std::move(then)));
}

std::shared_ptr<const Fault> Accelerator::confirmed(const std::shared_ptr<const Fault>& fault) const {
  if (!fault) return nullptr;
  for (const auto& suspect : suspicionOf(fault)->suspects)
    if (suspect->state.load(std::memory_order_acquire) == Suspect::faulty) return suspect->fault;
  return nullptr;
}

std::shared_ptr<const Fault> Accelerator::carried(const std::shared_ptr<const Fault>& fault) const {
  if (!fault) return nullptr;
  auto suspect = std::make_shared<Suspect>();
  suspect->number = -1;   // of no slot: known from the start
  suspect->fault = fault;
  suspect->state = Suspect::faulty;
  auto suspicion = std::make_shared<Suspicion>();
  suspicion->suspects.push_back(std::move(suspect));
  return suspicion;
}

// Pinned: a copy to or from other memory would have the launching thread wait for the device.
void* Accelerator::reserveHost(size_t bytes) {
  void* p = pinned_.allocate(bytes);
  return p ? p : Device::reserveHost(bytes);
}

void Accelerator::releaseHost(void* data) {
  if (!pinned_.release(data)) Device::releaseHost(data);
}

void Accelerator::reset() {
  synchronize();
  if (const char* lost = library_.state(ordinal_))
    throw OpError{"ERR_DEVICE", name + " cannot be reset in this process: " + lost + ". Start the program again, from the last checkpoint"};
  Device::reset();
}

}  // namespace warpweft
