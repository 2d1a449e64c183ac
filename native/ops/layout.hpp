#pragma once
#include <cstring>

#include "ops/all.hpp"
#include "runtime/library.hpp"

namespace warpweft {

namespace layout {

inline void mix(uint64_t& hash, const char* text) {
  for (; *text; text++) hash = (hash ^ static_cast<unsigned char>(*text)) * 0x100000001B3u;   // FNV-1a
  hash = (hash ^ 0xFF) * 0x100000001B3u;
}
inline void mix(uint64_t& hash, uint64_t number) {
  for (int i = 0; i < 8; i++) hash = (hash ^ (number >> 8 * i & 0xFF)) * 0x100000001B3u;
}

template <class Op> void mixOp(uint64_t& hash) {
  static const Op op{};
  mix(hash, Op::name);
  mix(hash, sizeof(Op));
  std::apply([&](const auto&... f) {
    ((mix(hash, f.name), mix(hash, static_cast<uint64_t>(reinterpret_cast<const char*>(&(op.*f.member)) - reinterpret_cast<const char*>(&op)))), ...);
  }, Op::fields());
}

}  // namespace layout

// A number that differs where an op, a field or its place differs: addon and device library read the same structs only if it is the same in both.
inline uint64_t layoutOfOps() {
  uint64_t hash = 0xCBF29CE484222325u;
  layout::mix(hash, sizeof(View));
  layout::mix(hash, sizeof(Launch));
  layout::mix(hash, sizeof(DeviceLibrary));
  layout::mix(hash, sizeof(DeviceInfo));
#define X(Op) layout::mixOp<Op>(hash);
  WARPWEFT_OPS(X)
#undef X
  return hash;
}

}  // namespace warpweft
