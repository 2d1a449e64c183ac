// The runtime without Node: pool, stream, allocator, sessions of handles, and the generator.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <thread>

#include "runtime/device.hpp"
#include "runtime/op.hpp"
#include "runtime/philox.hpp"
#include "runtime/pool.hpp"
#include "runtime/session.hpp"
#include "runtime/storage.hpp"
#include "test_context.hpp"

using namespace warpweft;
using namespace warpweft::test;

namespace {

template <class F> std::string codeOf(F&& f) {
  try {
    f();
  } catch (const OpError& error) {
    return error.code;
  }
  return "";
}

// Known answers of Random123 1.14 (kat_vectors, philox4x32 10).
void philox() {
  struct { uint32_t counter[4], key[2], expected[4]; } vectors[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (auto& v : vectors) {
    uint32_t c[4];
    std::copy_n(v.counter, 4, c);
    Philox{v.key[0], v.key[1]}(c[0], c[1], c[2], c[3]);
    expect(std::equal(c, c + 4, v.expected), "philox of counter %08x: %08x %08x %08x %08x", v.counter[0], c[0], c[1], c[2], c[3]);
  }
}

// The counter is (group, call, micro-step, rank), the key the seed; the bits of a word are two elements, the low half first.
void dropoutStream() {
  const int64_t state[3] = {0x0123456789ABCDEF, 11, 3};
  const DropoutStream stream = DropoutStream::from(state, 7, 0.25);
  uint32_t c[4] = {5, 7, 11, 3};
  Philox{0x89ABCDEF, 0x01234567}(c[0], c[1], c[2], c[3]);
  uint16_t drawn[8];
  stream.draw(5, drawn);
  for (int i = 0; i < 8; i++) expect(drawn[i] == static_cast<uint16_t>(c[i / 2] >> (i % 2 * 16)), "dropout: number %d of a group is %04x", i, drawn[i]);
  float factors[8];
  stream.factors(5, factors);
  for (int i = 0; i < 8; i++) expect(factors[i] == (drawn[i] < 16384 ? 0.f : 65536.f / 49152.f), "dropout: factor %d is %g", i, factors[i]);
}

void pool() {
  Pool& p = Pool::instance();   // WARPWEFT_THREADS=3, set by main
  expect(p.threads() == 3, "pool: %d threads, expected 3", p.threads());
  // Every chunk once, whatever the number of threads, which stays within its bounds.
  for (int n : {1, 2, 3, 1000, 0, -5}) {
    p.limit(n);
    const int limit = std::max(3, static_cast<int>(std::thread::hardware_concurrency()));
    expect(p.threads() >= 1 && p.threads() <= limit && (n < 1 || n > 3 || p.threads() == n), "pool: limit(%d) gives %d threads", n, p.threads());
    std::atomic<int> counts[100]{};
    std::atomic<int> strangers{0};
    struct { std::atomic<int>*counts, *strangers; int threads; } job{counts, &strangers, p.threads()};
    p.run(100, [](void* argument, int64_t chunk, int thread) {
      auto& j = *static_cast<decltype(job)*>(argument);
      j.counts[chunk]++;
      if (thread < 0 || thread >= j.threads) (*j.strangers)++;
    }, &job);
    expect(std::all_of(counts, counts + 100, [](auto& c) { return c == 1; }) && strangers == 0, "pool: limit(%d) runs each chunk once", n);
  }
  // An exception comes out of run(), from whichever thread, and the pool goes on.
  p.limit(3);
  for (int64_t bad : {0, 1, 57, 99}) {
    bool thrown = false;
    try {
      p.run(100, [](void* argument, int64_t chunk, int) {
        if (chunk == *static_cast<int64_t*>(argument)) throw std::runtime_error("of a chunk");
      }, &bad);
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    expect(thrown, "pool: what chunk %d throws reaches the caller", static_cast<int>(bad));
    std::atomic<int> done{0};
    p.run(100, [](void* argument, int64_t, int) { ++*static_cast<std::atomic<int>*>(argument); }, &done);
    expect(done == 100, "pool: %d of 100 chunks run after a failed job", done.load());
  }
  expect(reinterpret_cast<uintptr_t>(p.scratch(1, 100)) % 64 == 0 && p.scratch(1, 100) != p.scratch(2, 100), "pool: scratch is aligned and of one thread");
}

template <class F> class Call final : public Task {
 public:
  Call(Session* session, F f, std::atomic<int>* gone = nullptr) : Task(session), f_(f), gone_(gone) {}
  ~Call() override { if (gone_) ++*gone_; }
  void run() override { f_(); }
 private:
  F f_;
  std::atomic<int>* gone_;
};

void stream() {
  Stream& s = *new Stream("test");   // never destroyed, like the one of the CPU
  std::vector<int> order;
  for (int i = 0; i < 100; i++) s.submit(new Call(nullptr, [&order, i] { order.push_back(i); }));
  s.synchronize();
  expect(order.size() == 100 && std::is_sorted(order.begin(), order.end()) && s.idle(), "stream: tasks run in the order in which they were queued");

  // The first task gives way until the host is as far ahead as it may be, and then some: a host that nothing holds back would be seen further on.
  constexpr int kMost = 8192, kAll = 3 * kMost;
  std::atomic<int> submitted{0}, furthest{0}, finished{0};
  s.submit(new Call(nullptr, [&] {
    while (submitted < kMost - 1) std::this_thread::yield();
    for (int i = 0; i < 1000; i++) std::this_thread::yield();
    furthest = submitted.load();
    finished++;
  }));
  int most = 0;
  for (int i = 1; i < kAll; i++) {
    s.submit(new Call(nullptr, [&] { finished++; }));
    submitted++;
    most = std::max(most, submitted + 1 - finished);
  }
  s.synchronize();
  expect(furthest < kMost + 1 && most <= kMost + 1, "stream: the host was %d tasks ahead (%d while the first ran), expected at most %d", most, furthest.load(), kMost);
  expect(finished == kAll, "stream: %d tasks of %d have run", finished.load(), kAll);

  // What a session has queued goes with it, unrun; the work of others stays.
  Session one, other;
  std::atomic<int> ran{0}, gone{0};
  std::atomic<bool> open{false}, running{false};
  s.submit(new Call(&other, [&] { running = true; while (!open) std::this_thread::yield(); }));
  while (!running) std::this_thread::yield();
  for (int i = 0; i < 10; i++) {
    s.submit(new Call(&one, [&] { ran += 100; }, &gone));
    s.submit(new Call(&other, [&] { ran++; }, &gone));
  }
  s.drop(&one);
  s.settle(&one);
  expect(gone == 10 && ran == 0, "stream: %d tasks went with their session, expected 10", gone.load());
  open = true;
  s.synchronize();
  expect(ran == 10 && gone == 20, "stream: %d tasks of the other session have run, expected 10", ran.load());

  // Who waits has seen its own tasks run, though later ones of another session went in between.
  for (int round = 0; round < 200; round++) {
    std::atomic<bool> go{false}, waits{false}, first{false}, second{false};
    s.submit(new Call(&other, [&] { while (!go) std::this_thread::yield(); }));
    s.submit(new Call(&other, [&] { first = true; }));
    s.submit(new Call(&other, [&] { for (int i = 0; i < 50; i++) std::this_thread::yield(); second = true; }));
    bool seen = false;
    std::thread waiter([&] { waits = true; s.synchronize(); seen = first && second; });
    while (!waits) std::this_thread::yield();
    for (int i = 0; i < 20; i++) std::this_thread::yield();
    for (int i = 0; i < 10; i++) s.submit(new Call(&one, [&] { ran++; }));
    s.drop(&one);
    s.settle(&one);
    go = true;
    waiter.join();
    expect(seen, "stream: a wait came back before the tasks queued before it had run (round %d)", round);
    s.synchronize();
  }

  // A task that is cancelled before the sleeping stream has woken up for it leaves a stream that still wakes up for the next one.
  for (int round = 0; round < 500; round++) {
    const auto pause = [] { std::this_thread::sleep_for(std::chrono::microseconds(100)); };
    pause();   // long enough for it to fall asleep
    s.submit(new Call(&one, [] {}));
    s.drop(&one);
    s.settle(&one);
    pause();   // and to wake up in vain
    std::atomic<bool> woken{false};
    s.submit(new Call(&other, [&] { woken = true; }));
    s.synchronize();
    expect(woken, "stream: asleep in round %d", round);
  }
}

// An allocator whose segments and limit are the test's.
int64_t limitOfTest = int64_t{1} << 40, reservations = 0;
Allocator::Source testMemory() {
  return {[](void*, size_t bytes) { reservations++; return std::aligned_alloc(4096, bytes); }, [](void*, void* p, size_t) { reservations--; std::free(p); }, [](void*) { return limitOfTest; }, nullptr, 64};
}

void allocator() {
  Allocator a(testMemory());
  void *x = a.allocate(1000), *y = a.allocate(0), *z = a.allocate(5000);
  for (void* p : {x, y, z}) expect(p && reinterpret_cast<uintptr_t>(p) % 64 == 0, "allocator: blocks are aligned");
  expect(y != z && y != x && reservations == 1, "allocator: an empty block is a place, and small ones share a segment");
  Allocator::Statistics s = a.statistics();
  expect(s.blocks == 3 && s.live == 1024 + 64 + 5056 && s.peak == s.live && s.reserved == int64_t{32} << 20, "allocator: %lld blocks of %lld bytes, peak %lld, reserved %lld",
         static_cast<long long>(s.blocks), static_cast<long long>(s.live), static_cast<long long>(s.peak), static_cast<long long>(s.reserved));
  a.release(x);
  expect(a.allocate(1000) == x, "allocator: memory that was released is given to the next that fits");
  // Neighbours grow together again: the whole segment can be had at once, and given back.
  for (void* p : {y, x, z}) a.release(p);
  s = a.statistics();
  expect(s.live == 0 && s.blocks == 0 && s.peak == 1024 + 64 + 5056, "allocator: %lld bytes live after all are released, peak %lld", static_cast<long long>(s.live), static_cast<long long>(s.peak));
  a.resetPeak();
  expect(a.statistics().peak == 0, "allocator: the peak starts anew");
  void* whole = a.allocate(size_t{32} << 20);
  expect(whole == x && reservations == 1, "allocator: released neighbours are one block");
  a.trim();
  expect(reservations == 1, "allocator: a segment in use is kept");
  a.release(whole);
  a.trim();
  expect(reservations == 0 && a.statistics().reserved == 0, "allocator: trim gives unused segments back");
  limitOfTest = int64_t{48} << 20;
  void* big = a.allocate(size_t{40} << 20);
  expect(big && !a.allocate(size_t{16} << 20) && !a.allocate(SIZE_MAX), "allocator: nothing beyond the limit");
  a.release(big);
  a.trim();

  // Many of all sizes, released in another order: no two share a byte, and nothing is lost.
  limitOfTest = int64_t{1} << 40;
  std::mt19937 random(3);
  std::vector<std::pair<char*, size_t>> held;
  for (int i = 0; i < 3000; i++) {
    if (held.size() > 60 || (!held.empty() && random() % 3 == 0)) {
      const size_t at = random() % held.size();
      const auto [p, n] = held[at];
      expect(n == 0 || (p[0] == p[n - 1] && static_cast<unsigned char>(p[0]) == (reinterpret_cast<uintptr_t>(p) >> 6 & 0xFF)), "allocator: a block of %zu bytes was written by another", n);
      a.release(p);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      const size_t n = random() % 4 == 0 ? random() % (12u << 20) : random() % 5000;
      char* p = static_cast<char*>(a.allocate(n));
      if (n) p[0] = p[n - 1] = static_cast<char>(reinterpret_cast<uintptr_t>(p) >> 6 & 0xFF);
      held.emplace_back(p, n);
    }
  }
  expect(a.statistics().blocks == static_cast<int64_t>(held.size()), "allocator: %lld blocks, expected %zu", static_cast<long long>(a.statistics().blocks), held.size());
  for (const auto& [p, n] : held) a.release(p);
  a.trim();
  expect(reservations == 0, "allocator: %lld segments are left", static_cast<long long>(reservations));
}

void session() {
  Session s;
  Device& cpu = cpuDevice();
  const int64_t sizes[] = {3, 4}, strides[] = {4, 1}, turned[] = {4, 3}, turnedStrides[] = {1, 4};
  const auto x = s.create(DType::f32, cpu, 2, sizes), t = s.view(x, 0, 2, turned, turnedStrides);
  expect(s.usage(cpu).tensors == 2 && s.usage(cpu).bytes == 48 && s.usage(cpu).peakBytes == 48, "session: %lld tensors of %lld bytes", static_cast<long long>(s.usage(cpu).tensors), static_cast<long long>(s.usage(cpu).bytes));
  s.destroy(x);
  expect(codeOf([&] { s.at(x, "op", "x"); }) == "ERR_DISPOSED" && codeOf([&] { s.destroy(x); }) == "ERR_DISPOSED", "session: what was disposed of is named so");
  expect(s.usage(cpu).bytes == 48 && s.at(t, "op", "x").view.sizes[0] == 4, "session: a view outlives its root");
  s.destroy(t);
  expect(s.usage(cpu).tensors == 0 && s.usage(cpu).bytes == 0 && s.usage(cpu).peakBytes == 48, "session: %lld bytes are left", static_cast<long long>(s.usage(cpu).bytes));

  // A slot has a new name for every tensor that it holds.
  std::set<double> names;
  for (int i = 0; i < 1000; i++) {
    const auto h = s.create(DType::u8, cpu, 0, sizes);
    expect(names.insert(h).second, "session: the handle %.0f was given twice", h);
    s.destroy(h);
  }
  const auto y = s.create(DType::f32, cpu, 2, sizes);
  for (double h : {0.0, -y, y + 0.5, y + 1, y * 2, 1e300, -1e300, std::nan(""), HUGE_VAL}) {
    const std::string code = codeOf([&] { s.at(h, "op", "x"); });
    expect(code == "ERR_SHAPE" || code == "ERR_DISPOSED", "session: %g is taken for a tensor", h);
  }
  const int64_t huge[] = {int64_t{1} << 40, int64_t{1} << 40}, negative[] = {-1, 4};
  for (const int64_t* wrong : {huge, negative}) expect(codeOf([&] { s.create(DType::f32, cpu, 2, wrong); }) == "ERR_SHAPE", "session: sizes that fit nowhere are refused");
  for (int64_t offset : {int64_t{-1}, int64_t{1}, INT64_MAX, INT64_MIN}) expect(codeOf([&] { s.view(y, offset, 2, sizes, strides); }) == "ERR_SHAPE", "session: a view does not leave its storage");
  const int64_t far[] = {INT64_MAX, 1}, back[] = {-4, 1};
  for (const int64_t* wrong : {far, back}) expect(codeOf([&] { s.view(y, 0, 2, sizes, wrong); }) == "ERR_SHAPE", "session: a view does not leave its storage by its strides");
  const auto live = cpu.allocator().statistics().live;
  s.clear();
  expect(s.usage(cpu).tensors == 0 && s.usage(cpu).bytes == 0 && cpu.allocator().statistics().live < live, "session: clear frees what is left");
}

void faults() {
  Session s;
  expect(!s.takeFault(), "session: no fault to begin with");
  const auto first = std::make_shared<const Fault>(Fault{"ERR_INDEX", "first"}), second = std::make_shared<const Fault>(Fault{"ERR_INDEX", "second"});
  s.report(first);
  s.report(second);
  s.reported(second);
  expect(s.takeFault() == first && !s.takeFault(), "session: the first fault is told once");
  s.report(second);
  s.reported(second);
  expect(!s.takeFault(), "session: what a read has told is not told again");

  Device& cpu = cpuDevice();
  cpu.fail(first);
  cpu.fail(second);
  expect(cpu.failure() == first && cpu.failure() == first, "device: its first failure stays");
  cpu.reset();
  expect(!cpu.failure(), "device: until it is reset");
}

void profile() {
  Session s;
  expect(cpuPeak(s) > 1e8, "peak: of a processor of this century");
  const View two{nullptr, {3, 4}, {4, 1}, 2, DType::f32}, broadcast{nullptr, {3, 4}, {0, 1}, 2, DType::f32};
  const Use uses[] = {{nullptr, two, "x", Role::update}, {nullptr, broadcast, "y", Role::read}};
  const warpweft::Call call{0, "op", nullptr, nullptr, false, uses, 2, &s};
  s.profile.start();
  expect(codeOf([&] { s.profile.start(); }) == "ERR_CONFIG", "profile: one at a time");
  s.profile.add(call, Profile::Clock::now(), -1, 6);
  s.profile.add(call, Profile::Clock::now(), 5, 7);
  const std::string json = s.profile.stop();
  expect(json.starts_with(R"({"kinds":[["op","x float32 [3, 4], y float32 [3, 4]"]],"events":[[0,)"), "profile: kinds are told once");
  expect(json.find(",112,6],[0,") != std::string::npos && json.ends_with(",5,7]],\"lost\":0}"), "profile: bytes of the arguments, or those of the op");
  s.profile.add(call, Profile::Clock::now(), -1, 0);
  s.profile.start();
  expect(s.profile.stop() == R"({"kinds":[],"events":[],"lost":0})", "profile: what runs while it is off is not in the next");
}

}  // namespace

int main() {
  setenv("WARPWEFT_THREADS", "3", 1);
  philox();
  dropoutStream();
  pool();
  stream();
  allocator();
  session();
  faults();
  profile();
  return report("runtime");
}
