#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace warpweft {

// A caching allocator over large segments: best fit, split on allocation, coalesced on release. Blocks are handed out in the order of the stream: one that was
// released may be given at once to later work, because work runs in the order in which it was queued.
class Allocator {
 public:
  struct Statistics { int64_t live, peak, reserved, blocks; };
  // Who gives memory to the cache and takes it back: the host, or a device.
  struct Source {
    void* (*reserve)(void* owner, size_t bytes);
    void (*release)(void* owner, void* p, size_t bytes);
    int64_t (*limit)(void* owner);
    void* owner;
    size_t alignment;   // of blocks; what `reserve` returns has it
  };

  explicit Allocator(Source source) : source_(source) {}

  // Never null (a zero-byte block is a place all the same). Returns null if no more can be had: the caller waits for the queue, trims, and tries again.
  void* allocate(size_t bytes);
  // False if `p` is not a block of this allocator.
  bool release(void* p);
  // Gives segments that hold no live block back to the system. No queued work may still use released blocks.
  void trim();
  Statistics statistics();
  void resetPeak();
  int64_t limit() const { return source_.limit(source_.owner); }

 private:
  struct Block { char* data; size_t bytes; bool free; Block *previous, *next; void* segment; size_t segmentBytes; };
  struct Smaller {
    bool operator()(const Block* a, const Block* b) const { return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data; }
  };

  Block* take(size_t bytes);

  Source source_;
  std::mutex mutex_;
  std::set<Block*, Smaller> free_;
  std::map<void*, Block*> used_;
  int64_t live_ = 0, peak_ = 0, reserved_ = 0;
};

Allocator::Source hostMemory();

}  // namespace warpweft
