#include "cuda/simt/async.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

namespace warpweft::simt {
namespace {

constexpr int64_t kMostBytes = (1 << 20) - 1, kMostArrivals = (1 << 20) - 1;   // of a phase
constexpr uint32_t kGranule = 16;

struct Mbarrier {
  uint32_t count, pending, phase;
  int64_t bytes;   // expected and not arrived yet
  bool fenced;     // the asynchronous proxy may see it
  unsigned maker;
  std::vector<Thread*> waiting;
};

struct Load { TensorBox box; int32_t place[5]; uint32_t to; void* barrier; Site at; };

// A store or a reduction of a thread. `taken`: what it read, once it had to.
struct Store { TensorBox box; int32_t place[5]; uint32_t from, bytes, group; float* sum; bool read; std::vector<char> taken; Site at; };
struct Stores { uint32_t group = 0; std::vector<Store> pending; };

struct Async {
  std::map<void*, Mbarrier> barriers;
  std::vector<Load> loads;
  std::map<unsigned, Stores> stores;
  std::vector<char> view;            // dynamic shared memory as the asynchronous proxy sees it; empty while nobody needs it
  std::vector<uint16_t> unfenced;    // by granule: 1 + the thread that wrote it and has not fenced
  size_t writes = 0;                 // granules with an entry
  uint64_t turn = 0;
};
Async& async() {
  static auto* a = new Async;
  return *a;
}

// Words that a kernel sees where a barrier lies. Whoever writes over them is found.
uint64_t wordOf(const void* barrier) { return 0xB0A1D0F0AA550000u ^ reinterpret_cast<uintptr_t>(barrier); }

char* dynamicMemory() { return static_cast<char*>(dynamicShared()); }

void needView() {
  Async& a = async();
  if (!a.view.empty() || dynamicBytes() == 0) return;
  a.view.assign(dynamicBytes(), static_cast<char>(0xFF));
  a.unfenced.assign((dynamicBytes() + kGranule - 1) / kGranule, 0);
}

Mbarrier& find(void* barrier, Site at) {
  needHopper(at);
  checkAligned(barrier, 8, at.what, at.file, at.line);
  const auto found = async().barriers.find(barrier);
  if (found == async().barriers.end()) fail(at.file, at.line, "%s at a barrier that no thread has initialised", at.what);
  uint64_t word;
  std::memcpy(&word, barrier, 8);
  if (word != wordOf(barrier)) fail(at.file, at.line, "%s at a barrier that was written over", at.what);
  return found->second;
}

void turnIfOver(Mbarrier& b, Site at) {
  if (b.bytes > kMostBytes || b.bytes < -kMostBytes) fail(at.file, at.line, "%s: %lld bytes are expected in one phase, %lld at most can be", at.what, static_cast<long long>(b.bytes), static_cast<long long>(kMostBytes));
  if (b.pending) return;
  if (b.bytes < 0) fail(at.file, at.line, "%s: %lld bytes more have come than the phase expects", at.what, static_cast<long long>(-b.bytes));
  if (b.bytes) return;
  b.phase ^= 1;
  b.pending = b.count;
  for (Thread* t : b.waiting) wake(t);
  b.waiting.clear();
}

void arriveOnce(Mbarrier& b, Site at) {
  if (b.pending == 0) fail(at.file, at.line, "%s: more than the %u arrivals of a phase, whose bytes are still on their way", at.what, b.count);
  b.pending--;
  turnIfOver(b, at);
}

TensorBox boxOf(const void* map, int rank, Site at) {
  TensorBox box;
  std::memcpy(&box, map, sizeof box);
  if (box.mark != kTensorBox) fail(at.file, at.line, "%s: no tensor map", at.what);
  if (box.rank != rank) fail(at.file, at.line, "%s with %d coordinates of a tensor map of rank %d", at.what, rank, box.rank);
  return box;
}

uint32_t bytesOf(const TensorBox& box) {
  uint32_t bytes = box.elementBytes;
  for (int d = 0; d < box.rank; d++) bytes *= box.box[d];
  return bytes;
}

// Calls row(offset in the box, global address, elements inside in front, elements inside) for each innermost row of the box; none are inside of a row beyond the tensor.
template <class F> void rows(const TensorBox& box, const int32_t* place, F&& row) {
  const uint32_t rowBytes = uint32_t{box.box[0]} * box.elementBytes;
  uint32_t count = 1;
  for (int d = 1; d < box.rank; d++) count *= box.box[d];
  for (uint32_t r = 0; r < count; r++) {
    uint32_t rest = r;
    bool inside = true;
    int64_t address = 0;
    for (int d = 1; d < box.rank; d++) {
      const int64_t i = static_cast<int64_t>(place[d]) + rest % box.box[d];
      rest /= box.box[d];
      inside = inside && i >= 0 && i < box.sizes[d];
      address += i * static_cast<int64_t>(box.strides[d - 1]);
    }
    const int64_t begin = place[0], before = begin < 0 ? -begin : 0, end = box.sizes[0] - begin;
    const int64_t last = end < box.box[0] ? end : box.box[0], size = inside && last > before ? last - before : 0;
    row(r * rowBytes, size ? box.data + address + (begin + before) * box.elementBytes : nullptr, static_cast<uint32_t>(before) * box.elementBytes, static_cast<uint32_t>(size) * box.elementBytes);
  }
}

// Pieces of at most 16 bytes of a row, at where they lie in shared memory.
template <class F> void pieces(const TensorBox& box, uint32_t base, uint32_t offset, uint32_t bytes, F&& piece) {
  for (uint32_t i = 0; i < bytes;) {
    const uint32_t at = base + offset + i, size = std::min(bytes - i, kGranule - at % kGranule);
    piece(box.swizzled ? swizzle128(at) : at, i, size);
    i += size;
  }
}

void finish(const Load& load) {
  Async& a = async();
  char* const memory = dynamicMemory();
  const uint32_t rowBytes = uint32_t{load.box.box[0]} * load.box.elementBytes;
  std::vector<char> line(rowBytes);
  rows(load.box, load.place, [&](uint32_t offset, const char* from, uint32_t before, uint32_t bytes) {
    std::memset(line.data(), 0, rowBytes);
    if (bytes) std::memcpy(line.data() + before, from, bytes);
    pieces(load.box, load.to, offset, rowBytes, [&](uint32_t at, uint32_t i, uint32_t size) {
      std::memcpy(memory + at, &line[i], size);
      std::memcpy(&a.view[at], &line[i], size);
    });
  });
  Mbarrier& b = a.barriers.at(load.barrier);
  b.bytes -= bytesOf(load.box);
  turnIfOver(b, load.at);
}

// Reads its shared memory.
void take(Store& s) {
  if (s.read) return;
  s.read = true;
  s.taken.resize(s.bytes);
  if (s.sum) {
    std::memcpy(s.taken.data(), asyncRead(s.from, s.bytes, s.at), s.bytes);
    return;
  }
  for (uint32_t i = 0; i < s.bytes; i += kGranule) {
    const uint32_t at = s.from + i;
    std::memcpy(&s.taken[i], asyncRead(s.box.swizzled ? swizzle128(at) : at, kGranule, s.at), kGranule);
  }
}

void write(const Store& s) {
  if (s.sum) {
    for (uint32_t i = 0; i < s.bytes / 4; i++) {
      float v;
      std::memcpy(&v, &s.taken[4 * i], 4);
      s.sum[i] += v;
    }
    return;
  }
  rows(s.box, s.place, [&](uint32_t offset, char* to, uint32_t before, uint32_t bytes) {
    if (bytes) std::memcpy(to, &s.taken[offset + before], bytes);
  });
}

}  // namespace

void needHopper(Site at) {
  if (architecture() != 90) fail(at.file, at.line, "%s is Hopper's, and this is sm_%d", at.what, architecture());
}

void beginAsync() {
  Async& a = async();
  a.barriers.clear();
  a.loads.clear();
  a.stores.clear();
  a.view.clear();
  a.unfenced.clear();
  a.writes = 0;
}

// Loads may come in any order: forward the first that was issued, in reverse the last.
bool advanceAsync() {
  Async& a = async();
  if (a.loads.empty()) return false;
  const size_t n = a.loads.size(), i = order() == Order::forward ? 0 : order() == Order::reverse ? n - 1 : (seed() * 7919 + ++a.turn * 104729) % n;
  const Load load = a.loads[i];
  a.loads.erase(a.loads.begin() + static_cast<std::ptrdiff_t>(i));
  finish(load);
  return true;
}

void endAsync() {
  Async& a = async();
  if (!a.loads.empty()) fail(a.loads[0].at.file, a.loads[0].at.line, "the block ended before %zu of its loads had come: nobody waited for them", a.loads.size());
  for (auto& [thread, stores] : a.stores)
    for (Store& s : stores.pending) {
      if (!s.read) fail(s.at.file, s.at.line, "%s: the block ended before it had read its shared memory, thread %u did not wait for it", s.at.what, thread);
      write(s);
    }
}

void mbarrierInit(void* barrier, uint32_t count, Site at) {
  needHopper(at);
  checkAligned(barrier, 8, "mbarrier", at.file, at.line);
  if (count == 0 || count > kMostArrivals) fail(at.file, at.line, "a barrier of %u arrivals, expected 1 to %lld", count, static_cast<long long>(kMostArrivals));
  needView();
  async().barriers[barrier] = {count, count, 0, 0, false, self->linear, {}};
  const uint64_t word = wordOf(barrier);
  std::memcpy(barrier, &word, 8);
}

void mbarrierInitFence(Site at) {
  needHopper(at);
  for (auto& [barrier, b] : async().barriers)
    if (b.maker == self->linear) b.fenced = true;
}

void mbarrierArrive(void* barrier, Site at) { arriveOnce(find(barrier, at), at); }

void mbarrierArriveExpect(void* barrier, uint32_t bytes, Site at) {
  Mbarrier& b = find(barrier, at);
  b.bytes += bytes;
  arriveOnce(b, at);
}

void mbarrierWait(void* barrier, uint32_t parity, Site at) {
  if (parity > 1) fail(at.file, at.line, "%s for the parity %u, expected 0 or 1", at.what, parity);
  Mbarrier& b = find(barrier, at);
  while (b.phase == parity) {
    b.waiting.push_back(self);
    wait(at);
  }
}

void bulkLoad(void* to, const void* map, const int32_t* place, int rank, void* barrier, Site at) {
  needHopper(at);
  needView();
  Async& a = async();
  Load load{boxOf(map, rank, at), {}, 0, barrier, at};
  std::memcpy(load.place, place, sizeof(int32_t) * static_cast<size_t>(rank));
  const uint32_t bytes = bytesOf(load.box);
  load.to = sharedOffset(to, bytes, at);
  const uint32_t unit = load.box.swizzled ? 1024 : 128;
  if (load.to % unit) fail(at.file, at.line, "%s to byte %u of shared memory, expected a multiple of %u", at.what, load.to, unit);
  if (!find(barrier, at).fenced) fail(at.file, at.line, "%s at a barrier whose initialisation was not fenced", at.what);
  std::memset(dynamicMemory() + load.to, 0xFF, bytes);   // whoever reads it before the wait, or still reads what was there, reads NaN
  std::memset(&a.view[load.to], 0xFF, bytes);
  for (uint32_t g = load.to / kGranule; g < (load.to + bytes) / kGranule; g++) a.writes -= a.unfenced[g] != 0, a.unfenced[g] = 0;
  a.loads.push_back(load);
}

void bulkStore(const void* map, const int32_t* place, int rank, const void* from, Site at) {
  needHopper(at);
  needView();
  Stores& mine = async().stores[self->linear];
  Store s{boxOf(map, rank, at), {}, 0, 0, mine.group, nullptr, false, {}, at};
  std::memcpy(s.place, place, sizeof(int32_t) * static_cast<size_t>(rank));
  s.bytes = bytesOf(s.box);
  s.from = sharedOffset(from, s.bytes, at);
  const uint32_t unit = s.box.swizzled ? 1024 : 128;
  if (s.from % unit) fail(at.file, at.line, "%s from byte %u of shared memory, expected a multiple of %u", at.what, s.from, unit);
  mine.pending.push_back(std::move(s));
}

void bulkReduceAdd(float* to, const void* from, uint32_t bytes, Site at) {
  needHopper(at);
  needView();
  checkAligned(to, 16, at.what, at.file, at.line);
  checkAligned(from, 16, at.what, at.file, at.line);
  if (bytes % 16) fail(at.file, at.line, "%s of %u bytes, expected a multiple of 16", at.what, bytes);
  Stores& mine = async().stores[self->linear];
  mine.pending.push_back({{}, {}, sharedOffset(from, bytes, at), bytes, mine.group, to, false, {}, at});
}

void bulkCommit(Site at) {
  needHopper(at);
  async().stores[self->linear].group++;
}

void bulkWait(uint32_t pending, bool onlyRead, Site at) {
  needHopper(at);
  Stores& mine = async().stores[self->linear];
  const auto over = [&](const Store& s) { return static_cast<int32_t>(mine.group - pending - s.group) > 0; };
  size_t kept = 0;
  for (size_t i = 0; i < mine.pending.size(); i++) {
    Store& s = mine.pending[i];
    if (over(s)) take(s);
    if (over(s) && !onlyRead) {
      write(s);
      continue;
    }
    if (kept != i) mine.pending[kept] = std::move(s);
    kept++;
  }
  mine.pending.erase(mine.pending.begin() + static_cast<std::ptrdiff_t>(kept), mine.pending.end());
}

void proxyFence(Site at) {
  needHopper(at);
  needView();
  Async& a = async();
  if (a.view.empty()) return;
  const char* const memory = dynamicMemory();
  if (a.writes == 0) {
    std::memcpy(a.view.data(), memory, a.view.size());
  } else {
    for (size_t g = 0; g < a.unfenced.size(); g++) {
      uint16_t& writer = a.unfenced[g];
      if (writer && writer != self->linear + 1) continue;
      a.writes -= writer != 0;
      writer = 0;
      std::memcpy(&a.view[g * kGranule], memory + g * kGranule, std::min<size_t>(kGranule, a.view.size() - g * kGranule));
    }
  }
  mbarrierInitFence(at);
}

void noteWrite(const void* p, size_t bytes) {
  Async& a = async();
  if (a.view.empty()) return;
  const auto offset = static_cast<const char*>(p) - dynamicMemory();
  if (offset < 0 || static_cast<size_t>(offset) >= a.view.size()) return;
  for (size_t g = static_cast<size_t>(offset) / kGranule; g <= (static_cast<size_t>(offset) + bytes - 1) / kGranule && g < a.unfenced.size(); g++) {
    a.writes += a.unfenced[g] == 0;
    a.unfenced[g] = static_cast<uint16_t>(self->linear + 1);
  }
}

uint32_t sharedOffset(const void* p, size_t bytes, Site at) {
  const auto offset = static_cast<const char*>(p) - dynamicMemory();
  if (offset < 0 || static_cast<size_t>(offset) + bytes > dynamicBytes())
    fail(at.file, at.line, "%s: %zu bytes from byte %lld on are not in the %zu bytes of dynamic shared memory", at.what, bytes, static_cast<long long>(offset), dynamicBytes());
  return static_cast<uint32_t>(offset);
}

const void* asyncRead(uint32_t offset, size_t bytes, Site at) {
  needView();
  Async& a = async();
  if (offset + bytes > a.view.size()) fail(at.file, at.line, "%s reads %zu bytes from byte %u on, of %zu bytes of dynamic shared memory", at.what, bytes, offset, a.view.size());
  if (std::memcmp(&a.view[offset], dynamicMemory() + offset, bytes) != 0)
    fail(at.file, at.line, "%s reads byte %u of shared memory, which was written without a fence (fenceAsyncProxy), or before this was done with it", at.what, offset);
  return &a.view[offset];
}

}  // namespace warpweft::simt
