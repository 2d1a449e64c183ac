#include "ops/copy.hpp"

#include "cpu/elementwise/block.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

constexpr int64_t kCopyBytes = 256 * 1024;   // of a chunk of a plain copy

// Elements of one dtype are moved as so many bytes.
template <class F> WW_INLINE void dispatchBytes(int64_t bytes, F&& body) {
  switch (bytes) {
    case 1: body.template operator()<uint8_t>(); break;
    case 2: body.template operator()<uint16_t>(); break;
    case 4: body.template operator()<uint32_t>(); break;
    default: body.template operator()<uint64_t>(); break;
  }
}

template <class T> void move(const T* x, int64_t xStride, T* y, int64_t yStride, int64_t n) {
  if (xStride == 1 && yStride == 1) {
    if (n * sizeof(T) >= 256) std::memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
    else for (int64_t i = 0; i < n; i++) y[i] = x[i];
  } else if (xStride == 0 && yStride == 1) {
    const T value = *x;
    for (int64_t i = 0; i < n; i++) y[i] = value;
  } else if (yStride == 1) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i * xStride];
  } else {
    for (int64_t i = 0; i < n; i++) y[i * yStride] = x[i * xStride];
  }
}

void copySame(const Copy& a, const Loop<2>& l, Context& c) {
  if (l.flat[0] && l.flat[1]) {
    const int64_t bytes = l.total * sizeOf(a.x.dtype);
    c.parallelFor(bytes, kCopyBytes, [&](int64_t begin, int64_t end, int) {
      std::memcpy(a.y.as<char>() + begin, a.x.as<const char>() + begin, static_cast<size_t>(end - begin));
    });
    return;
  }
  dispatchBytes(sizeOf(a.x.dtype), [&]<class T>() {
    forEachBlock(l, c, [&](const Block& b, int) {
      if (isTurned(l, 1, b)) {
        T tile[kBlock];
        turnTile(a.x.as<const T>() + offsetOf(l, 1, b), l.strides[1][b.tile], l.innerStride(1), b, tile);
        return forEachRun(l, 0, b, [&](int64_t offset, int64_t n, int64_t done) { move(tile + done, 1, a.y.as<T>() + offset, l.innerStride(0), n); });
      }
      forEachRunOfAll(l, b, [&](const int64_t (&offsets)[2], int64_t n, int64_t) {
        move(a.x.as<const T>() + offsets[1], l.innerStride(1), a.y.as<T>() + offsets[0], l.innerStride(0), n);
      });
    });
  });
}

void copyFloats(const Copy& a, const Loop<2>& l, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float buffer[kBlock];
    float* target = floatsFor(l, 0, a.y, a.y.accumulate, b, buffer);
    const float* values = readFloats(l, 1, a.x, b, target);
    if (values != target || target == buffer) writeFloats(l, 0, a.y, a.y.accumulate, b, values, values);
  });
}

template <class T> WW_INLINE T truncated(float x) {
  constexpr T least = static_cast<T>(T(-1) < T(0) ? T(1) << (8 * sizeof(T) - 1) : 0), most = static_cast<T>(~least);
  if (!(x > static_cast<float>(least))) return x == x ? least : T(0);
  return x >= static_cast<float>(most) ? most : static_cast<T>(x);
}

void floatsToIntegers(const Copy& a, const Loop<2>& l, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) float buffer[kBlock];
    const float* values = readFloats(l, 1, a.x, b, buffer);
    if (a.y.dtype == DType::b8) return writeTruth(l, 0, a.y, b, values);
    dispatchInteger(a.y.dtype, [&]<class T>() {
      forEachRun(l, 0, b, [&](int64_t offset, int64_t n, int64_t done) {
        T* y = a.y.as<T>() + offset;
        for (int64_t i = 0; i < n; i++) y[i * l.innerStride(0)] = truncated<T>(values[done + i]);
      });
    });
  });
}

void integersToFloats(const Copy& a, const Loop<2>& l, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) int64_t integers[kBlock];
    alignas(64) float buffer[kBlock];
    const int64_t* x = readInts(l, 1, a.x, b, integers);
    float* values = floatsFor(l, 0, a.y, false, b, buffer);
    for (int64_t i = 0; i < b.count; i++) values[i] = static_cast<float>(x[i]);
    writeFloats(l, 0, a.y, false, b, values, buffer);
  });
}

void copyIntegers(const Copy& a, const Loop<2>& l, Context& c) {
  forEachBlock(l, c, [&](const Block& b, int) {
    alignas(64) int64_t buffer[kBlock];
    writeInts(l, 0, a.y, b, readInts(l, 1, a.x, b, buffer));
  });
}

void run(const Copy& a, Context& c) {
  const View* views[] = {&a.y, &a.x};
  const Loop<2> l = loopOver(views);
  if (a.x.dtype == a.y.dtype && !a.y.accumulate) copySame(a, l, c);
  else if (isFloat(a.x.dtype)) isFloat(a.y.dtype) ? copyFloats(a, l, c) : floatsToIntegers(a, l, c);
  else isFloat(a.y.dtype) ? integersToFloats(a, l, c) : copyIntegers(a, l, c);
}

}  // namespace
WW_KERNEL(Copy)
}  // namespace warpweft::cpu::WW_ISA
