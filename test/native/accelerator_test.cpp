// The device behind a library, over a library that is as asynchronous as a GPU: what is queued runs on a thread of its own, and only as far as the test lets it.
#include "runtime/accelerator.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>

#include "runtime/session.hpp"
#include "test_context.hpp"

using namespace warpweft;
using test::expect;

namespace {

// What a kernel does, by the device: args of a call are a pointer to one.
using Kernel = std::function<void(FaultWord* word, const uint32_t* faulty)>;

struct Gpu {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;
  bool open = true;            // closed: nothing runs
  int64_t queued = 0, finished = 0;
  std::string broken;          // sticky
  int64_t capacity = int64_t{1} << 30, taken = 0;
  std::map<void*, size_t> sizes;
  std::atomic<int> events{0};

  Gpu() {
    std::thread([this] {
      std::unique_lock lock(mutex);
      for (;;) {
        changed.wait(lock, [&] { return open && !queue.empty(); });
        auto work = std::move(queue.front());
        queue.pop_front();
        lock.unlock();
        work();
        lock.lock();
        finished++;
        changed.notify_all();
      }
    }).detach();
  }
  void push(std::function<void()> work) {
    const std::lock_guard lock(mutex);
    queue.push_back(std::move(work));
    queued++;
    changed.notify_all();
  }
  void gate(bool to) {
    const std::lock_guard lock(mutex);
    open = to;
    changed.notify_all();
  }
};
Gpu& gpu() {
  static Gpu* g = new Gpu;
  return *g;
}

struct Event { int64_t number; };

const char* state(int) {
  static thread_local std::string text;
  const std::lock_guard lock(gpu().mutex);
  text = gpu().broken;
  return text.empty() ? nullptr : text.c_str();
}

const DeviceLibrary library = {
    .kind = "test",
    .count = [](const char**) { return 1; },
    .versions = [] { return "1"; },
    .info = [](int, DeviceInfo* info) -> const char* {
      *info = {};
      std::strcpy(info->name, "test GPU");
      info->capability = 80;
      info->multiprocessors = 1;
      info->memory = int64_t{1} << 30;
      return nullptr;
    },
    .openStream = [](int, void** stream) -> const char* { *stream = &gpu(); return nullptr; },
    .reserve = [](int, size_t bytes) -> void* {
      const std::lock_guard lock(gpu().mutex);
      if (gpu().taken + static_cast<int64_t>(bytes) > gpu().capacity) return nullptr;
      void* p = nullptr;
      if (posix_memalign(&p, 256, bytes)) return nullptr;
      gpu().taken += static_cast<int64_t>(gpu().sizes[p] = bytes);
      return p;
    },
    .release = [](int, void* p) {
      const std::lock_guard lock(gpu().mutex);
      gpu().taken -= static_cast<int64_t>(gpu().sizes[p]);
      gpu().sizes.erase(p);
      std::free(p);
    },
    .reserveHost = [](size_t bytes) -> void* { return std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096); },
    .releaseHost = [](void* p) { std::free(p); },
    .copy = [](int, void*, void* target, const void* source, size_t bytes) -> const char* {
      gpu().push([=] { std::memcpy(target, source, bytes); });
      return state(0);
    },
    .fill = [](int, void*, void* target, int byte, size_t bytes) -> const char* {
      gpu().push([=] { std::memset(target, byte, bytes); });
      return state(0);
    },
    .record = [](int, void*, void** event) -> const char* {
      gpu().events++;
      const std::lock_guard lock(gpu().mutex);
      *event = new Event{gpu().queued};
      return nullptr;
    },
    .wait = [](int, void* event) -> const char* {
      {
        std::unique_lock lock(gpu().mutex);
        gpu().changed.wait(lock, [&] { return gpu().finished >= static_cast<Event*>(event)->number; });
      }
      delete static_cast<Event*>(event);
      gpu().events--;
      return state(0);
    },
    .anyFault = [](int, void*, const FaultWord* words, const uint16_t* indices, int count, bool accumulate, uint32_t* result) -> const char* {
      const std::vector<uint16_t> slots(indices, indices + count);
      gpu().push([=] {
        uint32_t any = accumulate ? *result : 0;
        for (const uint16_t i : slots) any |= words[i].position != ~uint64_t{0};
        *result = any;
      });
      return nullptr;
    },
    .has = [](int op) { return op == 0 || op == 1; },
    .workspace = [](int, int op, const void*, const char** refusal) -> int64_t {
      *refusal = op == 1 ? "heads are wider than 256" : nullptr;
      return op == 1 ? -1 : 0;
    },
    .launch = [](const Launch* l) -> const char* {
      const Kernel kernel = *static_cast<const Kernel*>(l->args);
      FaultWord* word = l->op == 0 ? l->faultWord(l->owner) : nullptr;
      gpu().push([=, faulty = l->faulty] { kernel(word, faulty); });
      return state(0);
    },
    .state = state,
};

class Job final : public Task {
 public:
  Job(Session* session, std::function<void()> body) : Task(session), body_(std::move(body)) {}
  void run() override { body_(); }
 private:
  std::function<void()> body_;
};

class Arrived final : public Task {
 public:
  Arrived(Session* session, std::function<void()> body) : Task(session), body_(std::move(body)) {}
  void run() override { body_(); }
 private:
  std::function<void()> body_;
};

Accelerator& device() {
  static Accelerator* d = [] {
    auto* made = new Accelerator(library, 0, 1);
    addDevice(made);
    return made;
  }();
  return *d;
}

// A storage of one number.
Storage* number() { return new Storage(device(), device().allocate(4, "a number"), 4); }
int valueOf(Storage* s) {
  int value = 0;
  device().read(*s, &value, s->data, 4);
  return value;
}
std::string faultOf(Storage* s) {
  int value = 0;
  const auto fault = device().read(*s, &value, s->data, 4);
  return fault ? fault->message : "";
}

// Queues a kernel that reads and writes these; op 0 asks for a fault word, op 2 does not.
void call(Session* session, int op, std::vector<Use> uses, Kernel kernel, bool skips = false) {
  device().submit(new Job(session, [=, uses = std::move(uses), kernel = std::move(kernel)] {
    device().run({op, op == 0 ? "lookUp" : skips ? "update" : "copy", &kernel, nullptr, skips, uses.data(), uses.size(), session});
  }));
}
Use in(Storage* s) { return {s, {}, "x", Role::read}; }
Use out(Storage* s) { return {s, {}, "y", Role::write}; }
Use inOut(Storage* s) { return {s, {}, "z", Role::update}; }

// The fault that a kernel reports, as cuda/runtime/fault.hpp does it.
Kernel bad(int64_t position) {
  return [=](FaultWord* w, const uint32_t*) { *w = {static_cast<uint64_t>(position), 7, 5, ~0u, ~0u}; };
}
const Kernel good = [](FaultWord*, const uint32_t*) {};

void testOrder() {
  // Reads see the values of their moment and come back in order; the launcher goes on while the device stands still.
  Session session;
  Storage* x = number();
  gpu().gate(false);
  std::vector<int> seen;
  std::mutex mutex;
  std::atomic<int> launched{0};
  for (int i = 0; i < 5; i++) {
    call(&session, 2, {inOut(x)}, [=](FaultWord*, const uint32_t*) { *static_cast<int*>(x->data) = i; });
    device().submit(new Job(&session, [&, x] {
      auto buffer = std::make_shared<HostBuffer>(device(), 4);
      void* target = buffer->data();
      device().download(target, x->data, 4, std::make_unique<Arrived>(&session, [&, buffer] {
        const std::lock_guard lock(mutex);
        seen.push_back(*static_cast<int*>(buffer->data()));
      }));
      launched++;
    }));
  }
  while (launched < 5) std::this_thread::yield();   // would hang if a read had the launcher wait
  expect(seen.empty(), "a read came back before the device ran");
  gpu().gate(true);
  device().synchronize();
  expect(seen == std::vector<int>({0, 1, 2, 3, 4}), "reads came back wrong or out of order");
  x->release();
}

void testUploads() {
  // What was written stays what it was, though pinned memory is handed out again at once.
  Storage* x = number();
  gpu().gate(false);
  for (int i = 0; i < 20; i++) {
    HostBuffer buffer(device(), 4);
    *static_cast<int*>(buffer.data()) = 100 + i;
    auto shared = std::make_shared<HostBuffer>(std::move(buffer));
    device().submit(new Job(nullptr, [=] { device().upload(x->data, std::move(*shared), 4); }));
    if (i == 9) device().submit(new Job(nullptr, [=] { gpu().push([=] { expect(*static_cast<int*>(x->data) == 109, "the tenth upload was overwritten: %d", *static_cast<int*>(x->data)); }); }));
  }
  gpu().gate(true);
  expect(valueOf(x) == 119, "the last upload is lost");
  x->release();
}

void testFaults() {
  Session session;
  Storage *x = number(), *ids = number(), *wrong = number(), *right = number(), *after = number(), *both = number(), *weights = number();
  gpu().gate(false);
  call(&session, 0, {in(ids), out(wrong)}, bad(3));
  call(&session, 0, {in(ids), out(right)}, good);
  call(&session, 2, {in(wrong), out(after)}, good);
  call(&session, 2, {in(right), in(after), out(both)}, good);
  // An optimizer is told on the device, while nobody on the host knows yet.
  uint32_t told = 9, toldSound = 9;
  call(&session, 2, {in(both), inOut(weights)}, [&](FaultWord*, const uint32_t* faulty) { told = faulty ? *faulty : 8; }, true);
  call(&session, 2, {in(right), inOut(weights)}, [&](FaultWord*, const uint32_t* faulty) { toldSound = faulty ? *faulty : 8; }, true);
  gpu().gate(true);
  expect(faultOf(right).empty(), "a sound result is faulty");
  expect(faultOf(wrong) == "lookUp: index 7 at position 3 is outside of [0, 5)", "the fault reads: %s", faultOf(wrong).c_str());
  expect(!faultOf(after).empty() && !faultOf(both).empty(), "what was computed from a faulty value is sound");
  expect(faultOf(weights).empty() && faultOf(x).empty(), "an optimizer's parameters caught a fault");
  expect(told == 1 && toldSound == 0, "the optimizer was told %u and %u, expected 1 and 0", told, toldSound);
  // Known by now: not even launched.
  bool ran = false;
  call(&session, 2, {in(both), inOut(weights)}, [&](FaultWord*, const uint32_t*) { ran = true; }, true);
  device().synchronize();
  expect(!ran, "an update with a faulty gradient was launched");
  // Overwritten by something sound it is sound again.
  call(&session, 2, {in(right), out(wrong)}, good);
  expect(faultOf(wrong).empty(), "an overwritten value is still faulty");
  expect(session.takeFault() != nullptr && session.takeFault() == nullptr, "the session was not told of the fault, once");
  for (Storage* s : {x, ids, wrong, right, after, both, weights}) s->release();
}

void testManyFaults() {
  // Three times around the ring without a read; slots that held a fault are clean for their next owner.
  Session session;
  Storage *ids = number(), *sum = number(), *last = number();
  for (int i = 0; i < 3 * SuspectRing::kSlots + 5; i++) {
    call(&session, 0, {in(ids), out(last)}, i % 700 == 300 ? bad(i) : good);
    if (i < 100) call(&session, 2, {in(last), inOut(sum)}, good);
  }
  expect(faultOf(last).empty(), "the last look-up is sound and reads: %s", faultOf(last).c_str());
  expect(faultOf(sum).empty(), "a sum of a hundred sound look-ups is faulty");
  session.takeFault();
  call(&session, 0, {in(ids), out(last)}, bad(0));
  // A sum that depends on more suspects than fit into one look on the device.
  gpu().gate(false);
  for (int i = 0; i < 200; i++) {
    call(&session, 0, {in(ids), out(last)}, i == 150 ? bad(i) : good);
    call(&session, 2, {in(last), inOut(sum)}, good);
  }
  uint32_t told = 9;
  call(&session, 2, {in(sum), inOut(ids)}, [&](FaultWord*, const uint32_t* faulty) { told = faulty ? *faulty : 8; }, true);
  gpu().gate(true);
  expect(faultOf(sum).find("position 150") != std::string::npos, "the fault among two hundred reads: %s", faultOf(sum).c_str());
  expect(told == 1, "the optimizer behind two hundred suspects was told %u", told);
  for (Storage* s : {ids, sum, last}) s->release();
}

void testClosing() {
  // A session that ends while its reads are under way: nothing of it runs afterwards.
  gpu().gate(false);
  std::atomic<int> ran{0};
  {
    auto session = std::make_unique<Session>();
    Storage *ids = number(), *y = number();
    for (int i = 0; i < 50; i++) {
      call(session.get(), 0, {in(ids), out(y)}, bad(1));
      device().submit(new Job(session.get(), [&, s = session.get(), y] {
        auto buffer = std::make_shared<HostBuffer>(device(), 4);
        void* target = buffer->data();
        device().download(target, y->data, 4, std::make_unique<Arrived>(s, [&, buffer] { ran++; }));
      }));
    }
    std::thread opener([] { std::this_thread::yield(); gpu().gate(true); });
    device().drop(session.get());
    device().settle(session.get());
    opener.join();
    const int before = ran;
    session.reset();
    device().synchronize();
    expect(ran == before, "a read of a closed session came back");
    ids->release();
    y->release();
  }
  expect(gpu().events == 0, "%d events were not given back", gpu().events.load());
}

void testMemory() {
  {
    const std::lock_guard lock(gpu().mutex);
    gpu().capacity = gpu().taken + (int64_t{96} << 20);
  }
  void* held = device().allocate(size_t{60} << 20, "a tensor");
  void* cached = device().allocate(size_t{33} << 20, "another");
  device().release(cached, size_t{33} << 20);
  std::string message;
  try {
    device().allocate(size_t{64} << 20, "a tensor float32 [16777216]");
  } catch (const OpError& error) {
    message = std::string(error.code) + " " + error.message;
  }
  expect(message.find("ERR_OUT_OF_MEMORY a tensor float32 [16777216] asked for 67.1 MB on cuda:0, where") == 0, "out of memory reads: %s", message.c_str());
  // The cache was given back: another size fits into its place.
  void* other = device().allocate(size_t{35} << 20, "a third");
  expect(other != nullptr, "no memory after the cache was given back");
  device().release(other, 0);
  device().release(held, 0);
  {
    const std::lock_guard lock(gpu().mutex);
    gpu().capacity = int64_t{1} << 30;
  }
}

void testMissing() {
  std::string missing, refused;
  try { device().workspace(5, "topK", nullptr); } catch (const OpError& error) { missing = error.message; }
  try { device().workspace(1, "attention", nullptr); } catch (const OpError& error) { refused = error.message; }
  expect(missing.find("topK: the test backend of cuda:0 has no kernel for it") == 0, "a missing op reads: %s", missing.c_str());
  expect(refused == "attention on cuda:0: heads are wider than 256", "a refusal reads: %s", refused.c_str());
}

void testLost() {
  Session session;
  Storage *before = number(), *x = number(), *ids = number();
  call(&session, 2, {out(before)}, [=](FaultWord*, const uint32_t*) { *static_cast<int*>(before->data) = 42; });
  expect(valueOf(before) == 42, "a value before the fault is wrong");
  call(&session, 0, {in(ids), out(x)}, good);
  call(&session, 2, {inOut(x)}, [](FaultWord*, const uint32_t*) {
    const std::lock_guard lock(gpu().mutex);
    gpu().broken = "an illegal memory access was encountered";
  });
  device().synchronize();
  const auto failure = device().failure();
  expect(failure && failure->code == "ERR_DEVICE" && failure->message.find("illegal memory access") != std::string::npos &&
         failure->message.find("The device is lost to this process") != std::string::npos, "a lost device reads: %s", failure ? failure->message.c_str() : "nothing");
  bool ran = false;
  call(&session, 0, {in(ids), out(x)}, [&](FaultWord*, const uint32_t*) { ran = true; });
  device().synchronize();
  expect(!ran, "a lost device is still given work");
  std::string refusal;
  try { device().reset(); } catch (const OpError& error) { refusal = error.message; }
  expect(refusal.find("cuda:0 cannot be reset in this process: an illegal memory access") == 0, "the reset of a lost device reads: %s", refusal.c_str());
  {
    const std::lock_guard lock(gpu().mutex);
    gpu().broken.clear();   // as if it had concerned one launch alone
  }
  device().reset();
  expect(!device().failure() && valueOf(before) == 42, "a reset device does not work");
  for (Storage* s : {before, x, ids}) s->release();
}

}  // namespace

int main() {
  testOrder();
  testUploads();
  testFaults();
  testManyFaults();
  testClosing();
  testMemory();
  testMissing();
  testLost();
  return test::report("accelerator");
}
