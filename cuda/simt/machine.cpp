#include "cuda/simt/machine.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "cuda/simt/fiber.hpp"

namespace warpweft::simt {

Thread* self = nullptr;
Block block{};

namespace {

constexpr unsigned kMostThreads = 1024;
constexpr int kBarriers = 16;
constexpr size_t kMostStaticShared = 48 * 1024;

struct Barrier { unsigned threads, arrived; Site at; std::vector<Thread*> waiting; };

// Positions of threads that can run, in the order in which they are taken.
class Ready {
 public:
  void fill(unsigned n) {
    for (unsigned i = 0; i < kMostThreads / 64; i++) words_[i] = n >= 64 * (i + 1) ? ~uint64_t{0} : n <= 64 * i ? 0 : (uint64_t{1} << (n - 64 * i)) - 1;
    first_ = 0;
  }
  void add(unsigned i) {
    words_[i / 64] |= uint64_t{1} << i % 64;
    if (i / 64 < first_) first_ = i / 64;
  }
  int take() {
    for (; first_ < kMostThreads / 64; first_++)
      if (uint64_t& w = words_[first_]) {
        const int bit = __builtin_ctzll(w);
        w &= w - 1;
        return static_cast<int>(first_ * 64) + bit;
      }
    return -1;
  }
 private:
  uint64_t words_[kMostThreads / 64];
  unsigned first_ = 0;
};

struct Machine {
  std::mutex mutex;
  Order order = Order::forward;
  uint64_t seed = 0;
  bool orderKnown = false;

  Fiber* main = nullptr;
  Kernel kernel{};
  Thread threads[kMostThreads];
  Warp warps[kMostThreads / 32];
  unsigned positionOf[kMostThreads], threadAt[kMostThreads];
  Ready ready;
  unsigned remaining = 0;
  std::exception_ptr error;

  Barrier barriers[kBarriers];
  std::unique_ptr<void, void (*)(void*)> dynamicMemory{nullptr, std::free};
  size_t dynamicBytes = 0, staticBytes = 0;

  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
};
Machine& machine() {
  static Machine* m = new Machine;   // never destroyed: a worker may outlive static destructors
  return *m;
}
Fiber* running = nullptr;   // the fiber that runs
Thread* start = nullptr;    // what a fiber finds to do when it is switched to without a thread of its own

void become(Fiber* to) {
  Fiber* from = running;
  running = to;
  Fiber::change(*from, *to);
}

Thread* next() {
  Machine& m = machine();
  for (;;) {
    const int position = m.ready.take();
    if (position >= 0) return &m.threads[m.threadAt[position]];
    if (m.error || m.remaining == 0) return nullptr;
    try {
      if (!advanceAsync()) return nullptr;
    } catch (...) {
      m.error = std::current_exception();
      return nullptr;
    }
  }
}

void runThreads(Fiber& fiber);

Fiber* idleFiber() {
  Machine& m = machine();
  if (m.idle.empty()) {
    m.fibers.push_back(std::make_unique<Fiber>(runThreads));
    return m.fibers.back().get();
  }
  Fiber* f = m.idle.back();
  m.idle.pop_back();
  return f;
}

// Goes on with a thread that can run, or with launch() where there is none.
void yield() {
  Thread* t = next();
  self = t;
  if (!t) return become(machine().main);
  if (t->fiber) return become(t->fiber);
  start = t;
  become(idleFiber());
}

// What a fiber does: threads that have not started, one after the other. One that waits keeps the fiber until it is done.
void runThreads(Fiber& fiber) {
  Machine& m = machine();
  for (;;) {
    Thread* t = start;
    t->fiber = &fiber;
    try {
      m.kernel.run(m.kernel.arguments);
    } catch (...) {
      m.error = std::current_exception();
    }
    if (m.error) become(m.main);   // for good: the fiber is restarted before it is used again
    t->finished = true;
    m.remaining--;
    Thread* n = next();
    self = start = n;
    if (n && !n->fiber) continue;
    m.idle.push_back(&fiber);
    become(n ? n->fiber : m.main);
  }
}

bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
bool same(const Site& a, const Site& b) { return a.line == b.line && same(a.file, b.file) && same(a.what, b.what); }
std::string where(const Site& s) { return std::string(s.what) + " at " + s.file + ":" + std::to_string(s.line); }
std::string nameOf(const uint3& i) { return std::string("(") + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")"; }

// Who waits where, and who has returned.
std::string deadlock() {
  Machine& m = machine();
  std::map<std::string, std::pair<unsigned, unsigned>> places;   // count, first thread
  unsigned finished = 0, firstFinished = 0;
  for (unsigned i = 0; i < block.threads; i++) {
    const Thread& t = m.threads[i];
    if (t.finished) {
      if (!finished++) firstFinished = i;
    } else if (t.waits.what) {
      auto& p = places.try_emplace(where(t.waits), 0u, i).first->second;
      p.first++;
    }
  }
  std::string text = "deadlock in block " + nameOf(block.index) + ":";
  for (const auto& [place, p] : places)
    text += "\n  " + std::to_string(p.first) + " of " + std::to_string(block.threads) + " threads wait in " + place + ", the first is thread " + std::to_string(p.second);
  if (finished) text += "\n  " + std::to_string(finished) + " have returned, the first is thread " + std::to_string(firstFinished);
  return text;
}

uint64_t mixed(uint64_t x) {   // splitmix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

void arrange(unsigned n) {
  Machine& m = machine();
  for (unsigned i = 0; i < n; i++) m.threadAt[i] = m.order == Order::reverse ? n - 1 - i : i;
  if (m.order == Order::shuffled) {
    uint64_t state = m.seed * 1000003 + block.epoch;
    for (unsigned i = n; i > 1; i--) std::swap(m.threadAt[i - 1], m.threadAt[(state = mixed(state)) % i]);
  }
  for (unsigned i = 0; i < n; i++) m.positionOf[m.threadAt[i]] = i;
}

void finishCopies(Thread& t, uint32_t through) {
  size_t kept = 0;
  for (const Copy& c : t.copies) {
    if (static_cast<int32_t>(c.group - through) > 0) {
      t.copies[kept++] = c;
      continue;
    }
    if (c.valid) std::memcpy(c.to, c.from, c.valid);
    std::memset(static_cast<char*>(c.to) + c.valid, 0, static_cast<size_t>(c.bytes) - c.valid);
  }
  t.copies.resize(kept);
}

void runBlock(uint3 index) {
  Machine& m = machine();
  block.index = index;
  block.epoch++;
  const unsigned n = block.threads;
  m.staticBytes = 0;
  if (m.dynamicBytes) std::memset(m.dynamicMemory.get(), 0xFF, m.dynamicBytes);
  for (Barrier& b : m.barriers) b.arrived = 0, b.waiting.clear();
  for (unsigned w = 0; w < (n + 31) / 32; w++) m.warps[w].meetings = 0;
  uint3 i{0, 0, 0};
  for (unsigned t = 0; t < n; t++) {
    Thread& thread = m.threads[t];
    thread.index = i;
    thread.linear = t;
    thread.lane = t % 32;
    thread.warp = &m.warps[t / 32];
    thread.fiber = nullptr;
    thread.finished = false;
    thread.waits.what = nullptr;
    thread.group = 0;
    thread.copies.clear();
    if (++i.x == block.size.x) {
      i.x = 0;
      if (++i.y == block.size.y) i.y = 0, i.z++;
    }
  }
  arrange(n);
  beginAsync();
  beginWarpgroups();
  m.ready.fill(n);
  m.remaining = n;
  Thread* first = next();
  self = start = first;
  become(idleFiber());
  self = nullptr;
  if (!m.error && m.remaining) m.error = std::make_exception_ptr(Error(std::string(m.kernel.name) + ": " + deadlock()));
  if (!m.error) {
    try {
      endWarpgroups();
      endAsync();
    } catch (...) {
      m.error = std::current_exception();
    }
  }
  // Copies that nobody waited for still read their source.
  if (!m.error) for (unsigned t = 0; t < n; t++) finishCopies(m.threads[t], m.threads[t].group);
}

void readOrder() {
  Machine& m = machine();
  if (m.orderKnown) return;
  m.orderKnown = true;
  const char* text = std::getenv("WARPWEFT_SIMT_ORDER");
  if (!text || !*text || !std::strcmp(text, "forward")) return;
  if (!std::strcmp(text, "reverse")) m.order = Order::reverse;
  else if (!std::strncmp(text, "shuffled", 8) && (!text[8] || text[8] == ':')) m.order = Order::shuffled, m.seed = text[8] ? std::strtoull(text + 9, nullptr, 10) : 0;
  else throw Error(std::string("WARPWEFT_SIMT_ORDER is ") + text + ", expected forward, reverse or shuffled[:seed]");
}

}  // namespace

void setOrder(Order order, uint64_t seed) {
  Machine& m = machine();
  m.order = order;
  m.seed = seed;
  m.orderKnown = true;
}

Order order() { return machine().order; }
uint64_t seed() { return machine().seed; }

void wait(Site at) {
  Thread* me = self;
  me->waits = at;
  yield();
  me->waits.what = nullptr;
}

void wake(Thread* t) { machine().ready.add(machine().positionOf[t->linear]); }

namespace {
int& played() {
  static int number = [] {
    const char* text = std::getenv("WARPWEFT_SIMT_ARCH");
    if (!text || !*text) return 80;
    for (int known : {80, 86, 89, 90, 100, 120})
      if (std::to_string(known) == text) return known;
    throw Error(std::string("WARPWEFT_SIMT_ARCH is ") + text + ", expected 80, 86, 89, 90, 100 or 120");
  }();
  return number;
}
}  // namespace

int architecture() { return played(); }
void setArchitecture(int number) { played() = number; }

int sharedMemoryLimit() {
  switch (architecture()) {
    case 80: return 163 * 1024;
    case 90: case 100: return 227 * 1024;
    default: return 99 * 1024;
  }
}

void fail(const char* file, int line, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::string who = self ? " (block " + nameOf(block.index) + ", thread " + std::to_string(self->linear) + ")" : std::string();
  throw Error(std::string(machine().kernel.name ? machine().kernel.name : "simt") + ": " + text + " at " + file + ":" + std::to_string(line) + who);
}

void launch(const Kernel& kernel, dim3 grid, dim3 size, size_t sharedBytes) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  readOrder();
  const uint64_t threads = uint64_t{size.x} * size.y * size.z;
  const auto refuse = [&](const std::string& text) { throw Error(std::string(kernel.name) + ": " + text); };
  if (threads == 0 || threads > kMostThreads || size.z > 64) refuse("launched with blocks of " + std::to_string(threads) + " threads, expected 1 to 1024");
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535)
    refuse("launched with a grid of " + nameOf({grid.x, grid.y, grid.z}) + ", expected 1 to (2147483647, 65535, 65535)");
  if (sharedBytes > static_cast<size_t>(sharedMemoryLimit()))
    refuse("launched with " + std::to_string(sharedBytes) + " bytes of shared memory, sm_" + std::to_string(architecture()) + " has " + std::to_string(sharedMemoryLimit()));
  void* shared = nullptr;
  if (posix_memalign(&shared, 1024, sharedBytes ? sharedBytes : 1)) throw std::bad_alloc();
  m.dynamicMemory.reset(shared);
  m.dynamicBytes = sharedBytes;

  block.size = size;
  block.grid = grid;
  block.threads = static_cast<unsigned>(threads);
  m.kernel = kernel;
  for (unsigned w = 0; w < (block.threads + 31) / 32; w++) {
    Warp& warp = m.warps[w];
    warp.number = w;
    const unsigned lanes = block.threads - 32 * w;
    warp.existing = lanes >= 32 ? ~0u : (1u << lanes) - 1;
    for (unsigned l = 0; l < 32; l++) warp.lanes[l] = &m.threads[32 * w + l];
  }
  Fiber main;
  m.main = running = &main;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t k = 0; k < blocks && !m.error; k++) {
    const uint64_t b = m.order == Order::forward ? k : m.order == Order::reverse ? blocks - 1 - k : (k + m.seed) % blocks;
    runBlock({static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y), static_cast<unsigned>(b / grid.x / grid.y)});
  }
  m.dynamicMemory.reset();
  m.dynamicBytes = 0;
  m.kernel = {};
  running = nullptr;
  if (!m.error) return;
  // Threads that were left waiting: their fibers start afresh next time.
  m.idle.clear();
  for (auto& f : m.fibers) {
    f->restart();
    m.idle.push_back(f.get());
  }
  const std::exception_ptr error = std::exchange(m.error, nullptr);
  std::rethrow_exception(error);
}

void barrier(int id, unsigned threads, bool strict, Site at) {
  Barrier& b = machine().barriers[id];
  if (threads > block.threads || threads == 0 || (threads % 32 && threads != block.threads))
    fail(at.file, at.line, "barrier %d for %u threads of a block of %u, expected a multiple of 32", id, threads, block.threads);
  if (b.arrived && b.threads != threads) fail(at.file, at.line, "barrier %d for %u threads, others came to it for %u at %s:%d", id, threads, b.threads, b.at.file, b.at.line);
  if (b.arrived && strict && !same(b.at, at))
    fail(at.file, at.line, "divergent barrier: other threads of the block came to the one at %s:%d", b.at.file, b.at.line);
  b.threads = threads;
  b.at = at;
  if (++b.arrived < threads) {
    b.waiting.push_back(self);
    return wait(at);
  }
  b.arrived = 0;
  for (Thread* t : b.waiting) wake(t);
  b.waiting.clear();
}

void barrierArrive(int id, unsigned threads, Site at) {
  Barrier& b = machine().barriers[id];
  if (b.arrived && b.threads != threads) fail(at.file, at.line, "barrier %d for %u threads, others came to it for %u at %s:%d", id, threads, b.threads, b.at.file, b.at.line);
  b.threads = threads;
  b.at = at;
  if (++b.arrived < threads) return;
  b.arrived = 0;
  for (Thread* t : b.waiting) wake(t);
  b.waiting.clear();
}

Meeting* arrive(uint32_t mask, const void* in, void* out, Site at) {
  Warp& warp = *self->warp;
  const uint32_t bit = 1u << self->lane, needed = mask & warp.existing;
  if (!(mask & bit)) fail(at.file, at.line, "%s by lane %u, which is not in the mask 0x%08X", at.what, self->lane, mask);
  Meeting* m = nullptr;
  for (int i = 0; i < warp.meetings && !m; i++)
    if (warp.meeting[i].mask == needed && warp.meeting[i].arrived) m = &warp.meeting[i];
  if (!m) {
    int i = 0;
    while (i < warp.meetings && warp.meeting[i].arrived) i++;
    if (i == 16) fail(at.file, at.line, "%s: more than 16 groups of lanes meet at once", at.what);
    if (i == warp.meetings) warp.meetings++;
    m = &warp.meeting[i];
    m->mask = needed;
    m->arrived = 0;
    m->at = at;
  } else if (!same(m->at, at)) {
    fail(at.file, at.line, "divergent %s: other lanes of warp %u came to %s", at.what, warp.number, where(m->at).c_str());
  }
  m->arrived |= bit;
  m->in[self->lane] = in;
  m->out[self->lane] = out;
  if (m->arrived == needed) return m;
  wait(at);
  return nullptr;
}

void complete(Meeting& m) {
  const Warp& warp = *self->warp;
  for (unsigned lane = 0; lane < 32; lane++)
    if (m.has(lane) && lane != self->lane) wake(warp.lanes[lane]);
  m.arrived = 0;
}

void* dynamicShared() { return machine().dynamicMemory.get(); }
size_t dynamicBytes() { return machine().dynamicBytes; }

void SharedArray::renew() {
  Machine& m = machine();
  if (!memory_ && posix_memalign(&memory_, 128, bytes_)) throw std::bad_alloc();   // kept for good, as a kernel's static memory is
  std::memset(memory_, 0xFF, bytes_);
  epoch_ = block.epoch;
  if ((m.staticBytes += bytes_) > kMostStaticShared)
    throw Error(std::string(m.kernel.name) + ": " + std::to_string(m.staticBytes) + " bytes of static shared memory, more than the 48 KiB that every GPU has");
}

void copyIssue(void* to, const void* from, unsigned bytes, unsigned valid, const char* file, int line) {
  if (valid > bytes) fail(file, line, "cpAsync of %u bytes with %u valid ones", bytes, valid);
  checkAligned(to, bytes, "cpAsync to shared memory", file, line);
  checkAligned(from, bytes, "cpAsync from global memory", file, line);
  std::memset(to, 0xFF, bytes);   // whoever reads it before the wait reads NaN
  self->copies.push_back({to, from, static_cast<uint16_t>(bytes), static_cast<uint16_t>(valid), self->group});
}

void copyCommit() { self->group++; }
void copyWait(unsigned pending) { finishCopies(*self, self->group - 1 - pending); }
void copyWaitAll() { finishCopies(*self, self->group); }

}  // namespace warpweft::simt
