#pragma once
// What the lanes of a warp do together (device/warp.cuh).
#include <cstring>

#include "cuda/simt/machine.hpp"

namespace warpweft::simt {

// All bits set: NaN as a float, and hardly an index. What undefined results look like.
template <class T> T poison() {
  T v;
  std::memset(static_cast<void*>(&v), 0xFF, sizeof v);
  return v;
}

template <class T> T shuffle(T v, unsigned from, uint32_t mask, Site at) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  struct In { T v; unsigned from; };
  return collective<T>(mask, In{v, from}, [](const Meeting& m) {
    for (unsigned lane = 0; lane < 32; lane++)
      if (m.has(lane)) {
        const unsigned source = m.input<In>(lane).from;
        m.output<T>(lane) = m.has(source) ? m.input<In>(source).v : poison<T>();
      }
  }, at);
}

inline uint32_t ballot(bool v, uint32_t mask, Site at) {
  return collective<uint32_t>(mask, v, [](const Meeting& m) {
    uint32_t bits = 0;
    for (unsigned lane = 0; lane < 32; lane++) if (m.has(lane) && m.input<bool>(lane)) bits |= 1u << lane;
    for (unsigned lane = 0; lane < 32; lane++) if (m.has(lane)) m.output<uint32_t>(lane) = bits;
  }, at);
}

inline uint32_t lanesWithSame(uint32_t v, uint32_t mask, Site at) {
  return collective<uint32_t>(mask, v, [](const Meeting& m) {
    for (unsigned lane = 0; lane < 32; lane++) {
      if (!m.has(lane)) continue;
      uint32_t bits = 0;
      for (unsigned other = 0; other < 32; other++) if (m.has(other) && m.input<uint32_t>(other) == m.input<uint32_t>(lane)) bits |= 1u << other;
      m.output<uint32_t>(lane) = bits;
    }
  }, at);
}

template <class T, class F> T reduce(T v, uint32_t mask, F, Site at) {
  return collective<T>(mask, v, [](const Meeting& m) {
    T total{};
    bool first = true;
    for (unsigned lane = 0; lane < 32; lane++)
      if (m.has(lane)) total = first ? m.input<T>(lane) : F{}(total, m.input<T>(lane)), first = false;
    for (unsigned lane = 0; lane < 32; lane++) if (m.has(lane)) m.output<T>(lane) = total;
  }, at);
}

inline void warpBarrier(uint32_t mask, Site at) {
  collective<char>(mask, char{}, [](const Meeting& m) {
    for (unsigned lane = 0; lane < 32; lane++) if (m.has(lane)) m.output<char>(lane) = 0;
  }, at);
}

}  // namespace warpweft::simt
