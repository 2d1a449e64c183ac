#pragma once
// Which queries meet which keys: a batch row, or one packed sequence of a batch of one.
#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA::attention {

struct Sequence {
  int64_t number;              // counts dropout's tiles
  int64_t batch;
  int64_t firstQuery, queries;
  int64_t firstKey, keys;
};

struct Sequences {
  const int32_t *queryOffsets = nullptr, *keyOffsets = nullptr;
  int64_t count = 0, queries = 0, keys = 0;   // the largest of any sequence
  bool valid = true;

  WW_INLINE bool packed() const { return queryOffsets != nullptr; }
  WW_INLINE Sequence operator[](int64_t n) const {
    if (!packed()) return {n, n, 0, queries, 0, keys};
    return {n, 0, queryOffsets[n], queryOffsets[n + 1] - queryOffsets[n], keyOffsets[n], keyOffsets[n + 1] - keyOffsets[n]};
  }
  // The queries (or keys) before the first sequence and behind the last one, which no sequence writes: [0, begin) and [end, size).
  static WW_INLINE int64_t begin(const int32_t* offsets) { return offsets[0]; }
  WW_INLINE int64_t end(const int32_t* offsets) const { return offsets[count]; }
};

// The largest length that `offsets` give, or -1 with a fault where they fall or leave [0, size].
inline int64_t longest(const View& offsets, int64_t size, Context& c) {
  const int32_t* o = offsets.as<const int32_t>();
  int64_t length = 0;
  for (int64_t i = 0; i < offsets.sizes[0]; i++) {
    if (o[i] < (i ? o[i - 1] : 0) || o[i] > size) {
      c.indexFault(i, o[i], size + 1);
      return -1;
    }
    if (i) length = maximum(length, o[i] - o[i - 1]);
  }
  return length;
}

template <class Op> Sequences sequencesOf(const Op& a, Context& c) {
  Sequences s;
  if (!a.queryOffsets) {
    s.count = a.q.sizes[0]; s.queries = a.q.sizes[1]; s.keys = a.k.sizes[1];
    return s;
  }
  s.queryOffsets = a.queryOffsets.template as<const int32_t>();
  s.keyOffsets = a.keyOffsets.template as<const int32_t>();
  s.count = a.queryOffsets.sizes[0] - 1;
  s.queries = longest(a.queryOffsets, a.q.sizes[1], c);
  s.keys = longest(a.keyOffsets, a.k.sizes[1], c);
  s.valid = s.queries >= 0 && s.keys >= 0;
  return s;
}

}  // namespace warpweft::cpu::WW_ISA::attention
