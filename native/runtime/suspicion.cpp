#include "runtime/suspicion.hpp"

#include <algorithm>
#include <iterator>

#include "runtime/session.hpp"

namespace warpweft {
namespace {

Suspect::State stateOf(const std::shared_ptr<Suspect>& s) { return s->state.load(std::memory_order_acquire); }

// Whether every suspect of b is in a; both are sorted by number.
bool covers(const Suspicion& a, const Suspicion& b) {
  size_t i = 0;
  for (const auto& s : b.suspects) {
    while (i < a.suspects.size() && a.suspects[i] != s) i++;
    if (i++ == a.suspects.size()) return false;
  }
  return true;
}

// Without those that are sound; one that is known to be faulty stands for all.
SuspicionOf pruned(const SuspicionOf& s) {
  if (!s || std::all_of(s->suspects.begin(), s->suspects.end(), [](const auto& suspect) { return stateOf(suspect) == Suspect::open; })) return s;
  auto rest = std::make_shared<Suspicion>();
  for (const auto& suspect : s->suspects) {
    const Suspect::State state = stateOf(suspect);
    if (state == Suspect::faulty) {
      if (s->suspects.size() == 1) return s;
      rest->suspects = {suspect};
      return rest;
    }
    if (state == Suspect::open) rest->suspects.push_back(suspect);
  }
  return rest->suspects.empty() ? nullptr : rest;
}

}  // namespace

SuspicionOf joined(const SuspicionOf& x, const SuspicionOf& y) {
  if (x == y) return pruned(x);
  SuspicionOf a = pruned(x), b = pruned(y);
  if (!b || a == b) return a;
  if (!a) return b;
  if (covers(*a, *b)) return a;
  if (covers(*b, *a)) return b;
  auto both = std::make_shared<Suspicion>();
  std::merge(a->suspects.begin(), a->suspects.end(), b->suspects.begin(), b->suspects.end(), std::back_inserter(both->suspects),
             [](const auto& s, const auto& t) { return s->number < t->number; });
  both->suspects.erase(std::unique(both->suspects.begin(), both->suspects.end()), both->suspects.end());
  return both;
}

bool isFaulty(const SuspicionOf& s) {
  return s && std::any_of(s->suspects.begin(), s->suspects.end(), [](const auto& suspect) { return stateOf(suspect) == Suspect::faulty; });
}

std::shared_ptr<Suspect> SuspectRing::take(const char* op, Session* session, bool& dirty) {
  const std::lock_guard lock(mutex_);
  auto suspect = std::make_shared<Suspect>();
  suspect->op = op;
  suspect->session = session;
  suspect->number = next_;
  const size_t slot = static_cast<size_t>(next_++ % kSlots);
  dirty = std::exchange(dirty_[slot], false);
  return suspects_[slot] = suspect;
}

void SuspectRing::settle(Range range, const FaultWord* words) {
  const std::lock_guard lock(mutex_);
  for (int64_t n = range.begin; n < range.end; n++) {
    const size_t slot = static_cast<size_t>(n % kSlots);
    const std::shared_ptr<Suspect> suspect = std::move(suspects_[slot]);
    const FaultWord w = words ? words[n - range.begin] : FaultWord{~uint64_t{0}, 0, 0, ~0u, ~0u};
    if (w.position == ~uint64_t{0}) {
      suspect->state.store(Suspect::sound, std::memory_order_release);
      continue;
    }
    dirty_[slot] = true;
    suspect->fault = indexFault(suspect->op, static_cast<int64_t>(w.position), w.value, w.size);
    suspect->state.store(Suspect::faulty, std::memory_order_release);
    if (suspect->session) suspect->session->report(suspect->fault);
  }
  settled_.store(range.end, std::memory_order_release);
}

void SuspectRing::forget(Session* session) {
  const std::lock_guard lock(mutex_);
  for (const auto& suspect : suspects_)
    if (suspect && suspect->session == session) suspect->session = nullptr;
}

}  // namespace warpweft
