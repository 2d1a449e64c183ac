#include "runtime/allocator.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace warpweft {
namespace {

constexpr size_t kPage = size_t{2} << 20;          // a huge page
constexpr size_t kSegment = size_t{32} << 20;      // small requests share segments of this size
constexpr size_t kKeepWhole = size_t{1} << 20;     // larger blocks are split only if they are a good deal too large

int64_t readNumber(const char* path) {
  std::FILE* f = std::fopen(path, "r");
  if (!f) return -1;
  long long n = -1;
  if (std::fscanf(f, "%lld", &n) != 1) n = -1;
  std::fclose(f);
  return n;
}

// What the host lets this process have: WARPWEFT_MEMORY_LIMIT in bytes, else 95 % of the smaller of physical memory and the control group's limit.
int64_t hostLimit(void*) {
  static const int64_t limit = [] {
    if (const char* text = std::getenv("WARPWEFT_MEMORY_LIMIT"))
      if (const long long n = std::atoll(text); n > 0) return static_cast<int64_t>(n);
    int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
      if (const int64_t n = readNumber(path); n > 0 && n < bytes) bytes = n;
    return bytes / 20 * 19;
  }();
  return limit;
}

void* hostReserve(void*, size_t bytes) {
  // One huge page more than asked, so that the segment can start on one.
  void* p = mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  const size_t lead = (kPage - reinterpret_cast<uintptr_t>(p) % kPage) % kPage, tail = kPage - lead;
  char* const segment = static_cast<char*>(p) + lead;
  if (lead) munmap(p, lead);
  if (tail) munmap(segment + bytes, tail);
  madvise(segment, bytes, MADV_HUGEPAGE);
  return segment;
}

size_t roundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

}  // namespace

Allocator::Source hostMemory() { return {hostReserve, [](void*, void* p, size_t bytes) { munmap(p, bytes); }, hostLimit, nullptr, 64}; }   // blocks on cache lines, which are as wide as the widest vector

Allocator::Block* Allocator::take(size_t bytes) {
  Block key{nullptr, bytes, true, nullptr, nullptr, nullptr, 0};
  const auto fit = free_.lower_bound(&key);
  if (fit == free_.end()) return nullptr;
  Block* block = *fit;
  free_.erase(fit);
  const size_t rest = block->bytes - bytes;
  if (rest >= source_.alignment && (bytes < kKeepWhole || rest > kKeepWhole / 4)) {
    Block* tail = new Block{block->data + bytes, rest, true, block, block->next, block->segment, block->segmentBytes};
    if (tail->next) tail->next->previous = tail;
    block->next = tail;
    block->bytes = bytes;
    free_.insert(tail);
  }
  return block;
}

void* Allocator::allocate(size_t bytes) {
  if (bytes > (size_t{1} << 62)) return nullptr;
  const std::lock_guard lock(mutex_);
  const size_t rounded = roundUp(bytes ? bytes : 1, source_.alignment);
  Block* block = take(rounded);
  if (!block) {
    // Large requests get a segment of their own, rounded to huge pages; a request that only just misses a segment shares a fresh one.
    const size_t segment = rounded > kSegment / 4 ? roundUp(rounded, kPage) : kSegment;
    if (reserved_ + static_cast<int64_t>(segment) > limit()) return nullptr;
    void* p = source_.reserve(source_.owner, segment);
    if (!p) return nullptr;
    reserved_ += static_cast<int64_t>(segment);
    free_.insert(new Block{static_cast<char*>(p), segment, true, nullptr, nullptr, p, segment});
    block = take(rounded);
  }
  block->free = false;
  used_.emplace(block->data, block);
  live_ += static_cast<int64_t>(block->bytes);
  if (live_ > peak_) peak_ = live_;
  return block->data;
}

bool Allocator::release(void* p) {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(p);
  if (found == used_.end()) return false;
  Block* block = found->second;
  used_.erase(found);
  live_ -= static_cast<int64_t>(block->bytes);
  block->free = true;
  for (Block* other : {block->next, block->previous}) {
    if (!other || !other->free) continue;
    free_.erase(other);
    Block *left = other == block->next ? block : other, *right = left->next;
    left->bytes += right->bytes;
    left->next = right->next;
    if (left->next) left->next->previous = left;
    delete right;
    block = left;
  }
  free_.insert(block);
  return true;
}

void Allocator::trim() {
  const std::lock_guard lock(mutex_);
  for (auto i = free_.begin(); i != free_.end();) {
    Block* block = *i;
    if (block->bytes != block->segmentBytes) { ++i; continue; }
    i = free_.erase(i);
    source_.release(source_.owner, block->segment, block->segmentBytes);
    reserved_ -= static_cast<int64_t>(block->segmentBytes);
    delete block;
  }
}

Allocator::Statistics Allocator::statistics() {
  const std::lock_guard lock(mutex_);
  return {live_, peak_, reserved_, static_cast<int64_t>(used_.size())};
}

void Allocator::resetPeak() {
  const std::lock_guard lock(mutex_);
  peak_ = live_;
}

}  // namespace warpweft
