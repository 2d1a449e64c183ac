#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/library.hpp"
#include "runtime/storage.hpp"

namespace warpweft {

class Session;

// Index faults on a device that runs behind the host. Whether an op met a bad index is known when the device has come that far; until then the op is a suspect,
// and so is all that is computed from its results. Every such op has a word of device memory, a slot of a ring, which comes to the host with the next read or fence.
struct Suspect {
  enum State { open, sound, faulty };
  const char* op = nullptr;
  Session* session = nullptr;
  int64_t number = 0;                   // counts the suspects of the device; its slot, modulo the size of the ring
  std::shared_ptr<const Fault> fault;   // set before the state becomes faulty
  std::atomic<State> state{open};
};

// What a storage of such a device carries as its fault: the suspects that its values depend on, by age. Shared by all that depends on the same ones.
struct Suspicion : Fault { std::vector<std::shared_ptr<Suspect>> suspects; };
using SuspicionOf = std::shared_ptr<const Suspicion>;

// Those of both that are not known to be sound, or one that is known to be faulty; null if there are none. Makes a new list only where neither will do.
SuspicionOf joined(const SuspicionOf& a, const SuspicionOf& b);
// Whether the fault of a suspect is known already.
bool isFaulty(const SuspicionOf& s);

// The ring of slots. Taking and collecting are the device's thread's, settling is that of the thread that waits for copies, in the order of collecting.
class SuspectRing {
 public:
  static constexpr int kSlots = 1024;
  static constexpr size_t kBytes = kSlots * sizeof(FaultWord);

  // Numbers of suspects whose words are to be copied; in the ring they may lie in two pieces.
  struct Range { int64_t begin = 0, end = 0; };

  bool full() const { return next_ - settled_.load(std::memory_order_acquire) == kSlots; }
  // `dirty` says whether the slot still holds the fault of an earlier suspect.
  std::shared_ptr<Suspect> take(const char* op, Session* session, bool& dirty);
  // What was taken since the last collection.
  Range collect() { return {std::exchange(collected_, next_), next_}; }
  // `words` has those of the range, in order; null where the device has failed, and nobody will see a value again.
  void settle(Range range, const FaultWord* words);
  // Forgets the session, which is closing: nobody is told any more.
  void forget(Session* session);

 private:
  std::mutex mutex_;
  std::shared_ptr<Suspect> suspects_[kSlots];
  bool dirty_[kSlots] = {};
  int64_t next_ = 0, collected_ = 0;
  std::atomic<int64_t> settled_{0};
};

}  // namespace warpweft
