#include "ops/where.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

// Elements are moved as so many bytes: NaN payloads and 64-bit integers stay as they are.
template <class T> void choose(const Where& a, const Loop<4>& l, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    forEachRunOfAll(l, b, [&](const int64_t (&offsets)[4], int64_t n, int64_t) {
      T* y = a.y.as<T>() + offsets[0];
      const uint8_t* condition = a.condition.as<const uint8_t>() + offsets[1];
      const T* u = a.a.as<const T>() + offsets[2];
      const T* v = a.b.as<const T>() + offsets[3];
      const int64_t dy = l.innerStride(0), dc = l.innerStride(1), du = l.innerStride(2), dv = l.innerStride(3);
      if (dy == 1 && dc == 1 && du <= 1 && dv <= 1 ) {
        const T u0 = *u, v0 = *v;
        if (du == 0 && dv == 0) for (int64_t i = 0; i < n; i++) y[i] = condition[i] ? u0 : v0;
        else if (du == 0) for (int64_t i = 0; i < n; i++) y[i] = condition[i] ? u0 : v[i];
        else if (dv == 0) for (int64_t i = 0; i < n; i++) y[i] = condition[i] ? u[i] : v0;
        else for (int64_t i = 0; i < n; i++) y[i] = condition[i] ? u[i] : v[i];
      } else {
        for (int64_t i = 0; i < n; i++) y[i * dy] = condition[i * dc] ? u[i * du] : v[i * dv];
      }
    });
  });
}

void chooseAndAdd(const Where& a, const Loop<4>& l, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) int64_t condition[kBlock];
    alignas(64) float u[kBlock], v[kBlock], y[kBlock];
    const int64_t* k = readInts(l, 1, a.condition, b, condition);
    const float *x = readFloats(l, 2, a.a, b, u), *z = readFloats(l, 3, a.b, b, v);
    for (int64_t i = 0; i < b.count; i++) y[i] = k[i] ? x[i] : z[i];
    writeFloats(l, 0, a.y, true, b, y, y);
  });
}

void run(const Where& a, Context& c) {
  const View* views[] = {&a.y, &a.condition, &a.a, &a.b};
  const Loop<4> l = loopOver(views);
  if (a.y.accumulate) return chooseAndAdd(a, l, c);
  switch (sizeOf(a.y.dtype)) {
    case 1: return choose<uint8_t>(a, l, c);
    case 2: return choose<uint16_t>(a, l, c);
    case 4: return choose<uint32_t>(a, l, c);
    default: return choose<uint64_t>(a, l, c);
  }
}

}  // namespace
WW_KERNEL(Where)
}  // namespace warpweft::cpu::WW_ISA
