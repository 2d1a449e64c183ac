#include "ops/copy.hpp"

#include "cuda/elementwise/convert.cuh"
#include "cuda/elementwise/loop.cuh"

namespace warpweft::cuda {
namespace {

struct Same {
  template <class T> WW_DEVICE T operator()(T v) const { return v; }
};

template <class Y, class X> void map(const Copy& a, const Loop<2>& l, Stream stream) {
  Y* y = a.y.as<Y>();
  const X* x = a.x.as<const X>();
  constexpr int V = 16 / static_cast<int>(sizeof(X) > sizeof(Y) ? sizeof(X) : sizeof(Y));
  if (vectorized<V>(l, y, x)) launchElementwise<V>(stream, Same{}, l, a.y.accumulate, y, x);
  else launchElementwise<1>(stream, Same{}, l, a.y.accumulate, y, x);
}

// Between dtypes of which one is an integer: an element a thread, any strides.
__global__ void __launch_bounds__(kLoopThreads) convert(Loop<2> l, void* y, DType to, const void* x, DType from) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kLoopThreads + threadIdx.x;
  if (i >= l.total) return;
  int64_t o[2];
  l.offsets(i, o);
  if (isFloat(from)) writeFloat(y, to, o[0], readFloat(x, from, o[1]));
  else writeInteger(y, to, o[0], readInteger(x, from, o[1]));
}

// A transposition: y is adjacent along dimension 0 of the loop, x along dimension `turned`. Tiles go through shared memory, so that both sides are read and
// written in whole lines; a column more than the tile has keeps its columns in different banks.
constexpr int kTile = 32, kTileRows = 8;

template <class T> __global__ void __launch_bounds__(kTile* kTileRows) turn(Loop<2> l, int turned, int64_t across, int64_t down, T* y, const T* x) {
  WW_SHARED(T, tile, [kTile][kTile + 1]);
  int64_t b = blockIdx.x;
  const int64_t i0 = b % across * kTile, j0 = b / across % down * kTile;
  b /= across * down;
  int64_t yAt = 0, xAt = 0;
  for (int d = 1; d < l.rank; d++) {
    if (d == turned) continue;
    const int64_t index = b % l.sizes[d];
    b /= l.sizes[d];
    yAt += index * l.strides[0][d];
    xAt += index * l.strides[1][d];
  }
  const int64_t I = l.sizes[0], J = l.sizes[turned];
  const int column = static_cast<int>(threadIdx.x) % kTile, row = static_cast<int>(threadIdx.x) / kTile;
  for (int r = row; r < kTile; r += kTileRows)
    if (i0 + r < I && j0 + column < J) tile[r][column] = x[xAt + (i0 + r) * l.strides[1][0] + j0 + column];
  barrier();
  for (int r = row; r < kTile; r += kTileRows)
    if (j0 + r < J && i0 + column < I) y[yAt + (j0 + r) * l.strides[0][turned] + i0 + column] = tile[column][r];
}

// The dimension along which x is adjacent, where that is not the inner one of y and both are worth a tile; else 0.
int turnedDimension(const Loop<2>& l) {
  if (l.rank < 2 || l.strides[0][0] != 1 || l.strides[1][0] <= 1 || l.sizes[0] < kTile / 2) return 0;
  for (int d = 1; d < l.rank; d++)
    if (l.strides[1][d] == 1 && l.sizes[d] >= kTile / 2) return d;
  return 0;
}

template <class T> void move(const Copy& a, const Loop<2>& l, Stream stream) {
  if (const int turned = turnedDimension(l)) {
    const int64_t across = ceilDiv(l.sizes[0], kTile), down = ceilDiv(l.sizes[turned], kTile), tiles = l.total / l.sizes[0] / l.sizes[turned] * across * down;
    if (tiles > 0) launch<turn<T>>(stream, blocksFor(tiles, 1), kTile * kTileRows, 0, l, turned, across, down, a.y.as<T>(), a.x.as<const T>());
    return;
  }
  map<T, T>(a, l, stream);
}

}  // namespace

void run(const Copy& a, Context& context) {
  const View* views[] = {&a.y, &a.x};
  const Loop<2> l = loopOver(views);
  const Stream stream = context.stream();
  if (l.total == 0) return;
  if (a.x.dtype == a.y.dtype && !a.y.accumulate) return dispatchBytes(a.x.dtype, [&]<class T>() { move<T>(a, l, stream); });
  if (isFloat(a.x.dtype) && isFloat(a.y.dtype))
    return dispatchFloat(a.x.dtype, [&]<class X>() { dispatchFloat(a.y.dtype, [&]<class Y>() { map<Y, X>(a, l, stream); }); });
  forEachPart(l, [&](const Loop<2>& part, const int64_t (&o)[2]) {
    launch<convert>(stream, blocksFor(part.total, kLoopThreads), kLoopThreads, 0, part, a.y.as<char>() + o[0] * sizeOf(a.y.dtype), a.y.dtype,
                    a.x.as<const char>() + o[1] * sizeOf(a.x.dtype), a.x.dtype);
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(Copy)
