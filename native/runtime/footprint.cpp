#include "runtime/footprint.hpp"

#include <initializer_list>

namespace warpweft {
namespace {

// A view as a dense run of `run` elements, repeated over outer dimensions in ascending order of stride.
struct Footprint {
  int64_t run = 1;
  int64_t sizes[kMaxRank], strides[kMaxRank];
  int outer = 0;
};

Footprint footprint(const View& v) {
  int order[kMaxRank], n = 0;
  for (int d = 0; d < v.rank; d++)
    if (v.sizes[d] > 1 && v.strides[d] != 0) order[n++] = d;
  for (int i = 1; i < n; i++)
    for (int j = i; j > 0 && v.strides[order[j]] < v.strides[order[j - 1]]; j--) { const int t = order[j]; order[j] = order[j - 1]; order[j - 1] = t; }
  Footprint f;
  int i = 0;
  for (; i < n && v.strides[order[i]] == f.run; i++) f.run *= v.sizes[order[i]];
  for (; i < n; i++) { f.sizes[f.outer] = v.sizes[order[i]]; f.strides[f.outer++] = v.strides[order[i]]; }
  return f;
}

int64_t extent(const View& v) {   // elements from the first to one past the last
  int64_t n = 1;
  for (int d = 0; d < v.rank; d++) n += (v.sizes[d] - 1) * v.strides[d];
  return n;
}

}  // namespace

bool injective(const View& v) {
  if (v.numel() == 0) return true;
  for (int d = 0; d < v.rank; d++)
    if (v.sizes[d] > 1 && v.strides[d] <= 0) return false;
  const Footprint f = footprint(v);
  int64_t reach = f.run;
  for (int d = 0; d < f.outer; d++) {
    if (f.strides[d] < reach) return false;
    reach = f.strides[d] * (f.sizes[d] - 1) + reach;
  }
  return true;
}

Overlap overlap(const View& a, const View& b) {
  if (a.numel() == 0 || b.numel() == 0) return Overlap::none;
  const int64_t width = sizeOf(a.dtype);
  const char* pa = static_cast<const char*>(a.data);
  const char* pb = static_cast<const char*>(b.data);
  if (a.dtype == b.dtype && pa == pb && a.rank == b.rank) {
    bool same = true;
    for (int d = 0; d < a.rank; d++) same = same && a.sizes[d] == b.sizes[d] && (a.sizes[d] == 1 || a.strides[d] == b.strides[d]);
    if (same) return Overlap::identical;
  }
  if (pa + extent(a) * width <= pb || pb + extent(b) * sizeOf(b.dtype) <= pa) return Overlap::none;
  if (a.dtype != b.dtype) return Overlap::some;
  // Interleaved: both repeat with periods that are multiples of the smallest outer stride, and their runs lie apart within one period.
  const Footprint fa = footprint(a), fb = footprint(b);
  int64_t period = 0;
  for (const Footprint* f : {&fa, &fb})
    if (f->outer && (period == 0 || f->strides[0] < period)) period = f->strides[0];
  if (period == 0) return Overlap::some;
  for (const Footprint* f : {&fa, &fb})
    for (int d = 0; d < f->outer; d++)
      if (f->strides[d] % period) return Overlap::some;
  if (fa.run > period || fb.run > period) return Overlap::some;
  const int64_t distance = (pb - pa) / width;
  if ((pb - pa) % width) return Overlap::some;
  const int64_t shift = ((distance % period) + period) % period;   // b's run starts `shift` elements after a's, modulo the period
  return shift >= fa.run && shift + fb.run <= period ? Overlap::none : Overlap::some;
}

}  // namespace warpweft
