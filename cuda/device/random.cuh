#pragma once
// The generator of the CPU (native/runtime/philox.hpp): the same header, so the same bits.
#include "cuda/device/memory.cuh"
#include "runtime/philox.hpp"

namespace warpweft::cuda {

// What a kernel gets of a dropout: the seed lies in device memory (a recorded step reads the new one), the rest is known to the host.
struct DropoutSetting {
  const int64_t* state;   // null: no dropout
  DropoutStream stream;   // its key, step and rank are filled in by stream()

  static DropoutSetting of(const int64_t* state, int64_t call, double p) {
    constexpr int64_t none[3] = {};
    return {p > 0 ? state : nullptr, DropoutStream::from(none, call, p)};
  }
  WW_DEVICE explicit operator bool() const { return state != nullptr; }
  WW_DEVICE DropoutStream read() const {
    DropoutStream s = stream;
    const auto seed = static_cast<uint64_t>(state[0]);
    s.philox = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    s.step = static_cast<uint32_t>(state[1]);
    s.rank = static_cast<uint32_t>(state[2]);
    return s;
  }
};

// Factors (0 or 1 / keep rate) of V elements that begin at `element`. With V = 4 or 8 they lie in one group (element is a multiple of V); with V = 1 each
// element costs a draw of its group, as long as the thread does not stay in it.
template <int V> WW_DEVICE void dropoutFactors(const DropoutStream& stream, uint64_t element, float (&factors)[V]) {
  static_assert(V == 1 || V == 4 || V == 8);
  uint16_t drawn[8];
  stream.draw(element / 8, drawn);
  if constexpr (V == 8) {
    WW_UNROLL for (int i = 0; i < 8; i++) factors[i] = drawn[i] >= stream.threshold ? stream.scale : 0.f;
  } else if constexpr (V == 4) {
    const bool second = element & 4;
    WW_UNROLL for (int i = 0; i < 4; i++) factors[i] = (second ? drawn[4 + i] : drawn[i]) >= stream.threshold ? stream.scale : 0.f;
  } else {
    // By the bits of its place: an index would put the array into memory.
    const auto at = [&](int i) { return drawn[i] | static_cast<uint32_t>(drawn[i + 1]) << 16; };
    const uint32_t low = element & 2 ? at(2) : at(0), high = element & 2 ? at(6) : at(4), pair = element & 4 ? high : low;
    const uint32_t mine = element & 1 ? pair >> 16 : pair & 0xFFFFu;
    factors[0] = mine >= stream.threshold ? stream.scale : 0.f;
  }
}

}  // namespace warpweft::cuda
