#include "ops/cross_entropy.hpp"

#include "cuda/row.cuh"
#include "cuda/runtime/fault.hpp"

namespace warpweft::cuda {
namespace {

constexpr unsigned kThreads = 512, kCountThreads = 256;

// The label of a row, or -1 where the row does not count.
struct Labels {
  Indices labels;
  int64_t classes, ignore;
  WW_DEVICE int64_t at(int64_t row) const {
    const int64_t label = labels[row];
    return label != ignore && label >= 0 && label < classes ? label : -1;
  }
  WW_DEVICE void report(int64_t row, FaultWord* word) const {
    const int64_t label = labels[row];
    if (label != ignore && (label < 0 || label >= classes)) reportIndexFault(word, row, label, classes);
  }
};

// A block a row, which is read once.
template <class T, bool kSmooth>
__global__ void __launch_bounds__(kThreads) forward(Rows<const T> logits, Labels labels, FaultWord* word, float* loss, float* lse, double smoothing, double zLoss) {
  WW_SHARED(float, scratch, [kThreads / kWarp]);
  const int64_t row = blockIdx.x, label = labels.at(row), V = labels.classes;
  if (label < 0) {   // the whole block
    if (threadIdx.x == 0) {
      loss[row] = lse[row] = 0;
      labels.report(row, word);
    }
    return;
  }
  const T* x = logits.at(row, 0);
  // The sum of all logits is taken relative to the first, so that large ones cost no digits.
  const float first = toFloat(x[0]), origin = abs(first) < kInfinity ? first : 0.f;
  ExpSum s;
  float total[1] = {0};
  eachOfRow<kThreads, Cache::usual>(x, V, [&]<int N>(int64_t, const Vector<T, N>& in) {
    s.add(in);
    if constexpr (kSmooth) WW_UNROLL for (int j = 0; j < N; j++) total[0] += in[j] - origin;
  });
  s.share<kThreads>(scratch);
  if constexpr (kSmooth) blockSums<kThreads>(total, scratch);
  if (threadIdx.x != 0) return;
  const double shift = shiftOf(s.max), log = library::log(static_cast<double>(s.sum)), all = log + shift, classes = static_cast<double>(V);
  double l = log - (1 - smoothing) * (static_cast<double>(toFloat(x[label])) - shift);
  if (kSmooth) l -= smoothing / classes * (static_cast<double>(total[0]) + classes * (static_cast<double>(origin) - shift));
  if (zLoss != 0) l += zLoss * all * all;
  loss[row] = static_cast<float>(l);
  lse[row] = static_cast<float>(all);
}

__global__ void __launch_bounds__(kCountThreads) count(Labels labels, int64_t R, float* counted) {
  WW_SHARED(uint32_t, scratch, [kCountThreads / kWarp]);
  uint32_t n = 0;
  for (int64_t r = threadIdx.x; r < R; r += kCountThreads) n += labels.at(r) >= 0;
  n = blockReduce<kCountThreads>(n, scratch, [](uint32_t a, uint32_t b) { return a + b; });
  if (threadIdx.x == 0) *counted = static_cast<float>(n);
}

// Each element is read before it is written, by the same thread, so that dlogits may lie on logits.
template <class T>
__global__ void __launch_bounds__(kThreads) backward(Rows<const T> logits, Labels labels, FaultWord* word, const float* lse, const float* scales, bool eachScale,
                                                     Rows<T> dlogits, bool accumulate, float smoothing, float uniform, float twiceZ) {
  const int64_t row = blockIdx.x, label = labels.at(row), V = labels.classes;
  const T* x = logits.at(row, 0);
  T* dx = dlogits.at(row, 0);
  if (label < 0) {
    if (threadIdx.x == 0) labels.report(row, word);
    if (!accumulate)
      eachOfRow<kThreads, Cache::streamed>(x, V, [&]<int N>(int64_t column, const Vector<T, N>&) {
        Vector<T, N> none;
        WW_UNROLL for (int j = 0; j < N; j++) none.set(j, 0.f);
        storeAnywhere(dx + column, none);
      });
    return;
  }
  const float all = lse[row], scale = scales[eachScale ? row : 0], slope = scale * (1.f + twiceZ * all), least = uniform * scale, own = scale * (1.f - smoothing);
  eachOfRow<kThreads, Cache::streamed>(x, V, [&]<int N>(int64_t column, const Vector<T, N>& in) {
    Vector<T, N> out;
    if (accumulate) out = loadAnywhere<N>(static_cast<const T*>(dx + column));
    WW_UNROLL for (int j = 0; j < N; j++) {
      float g = fma(expBelow(in[j] - all), slope, -least);
      if (accumulate) g += out[j];
      out.set(j, column + j == label ? g - own : g);
    }
    storeAnywhere(dx + column, out);
  });
}

}  // namespace

void run(const CrossEntropy& a, Context& context) {
  const int64_t R = a.logits.rows(), V = a.logits.columns();
  const Labels labels{Indices::of(a.labels), V, a.ignoreIndex};
  if (R > 0)
    dispatchFloat(a.logits.dtype, [&]<class T>() {
      const auto with = [&]<bool kSmooth>() {
        launch<forward<T, kSmooth>>(context.stream(), blocksFor(R, 1), kThreads, 0, Rows<const T>::of(a.logits), labels, context.faultWord(), a.loss.as<float>(),
                                    a.lse.as<float>(), a.labelSmoothing, a.zLoss);
      };
      if (a.labelSmoothing > 0) with.template operator()<true>();
      else with.template operator()<false>();
    });
  if (a.counted) launch<count>(context.stream(), 1, kCountThreads, 0, labels, R, a.counted.as<float>());
}

void run(const CrossEntropyBackward& a, Context& context) {
  const int64_t R = a.logits.rows(), V = a.logits.columns();
  if (!a.dlogits || R == 0) return;
  dispatchFloat(a.logits.dtype, [&]<class T>() {
    launch<backward<T>>(context.stream(), blocksFor(R, 1), kThreads, 0, Rows<const T>::of(a.logits), Labels{Indices::of(a.labels), V, a.ignoreIndex},
                        context.faultWord(), a.lse.as<const float>(), a.scale.as<const float>(), a.scale.numel() != 1, Rows<T>::of(a.dlogits), a.dlogits.accumulate,
                        static_cast<float>(a.labelSmoothing), V ? static_cast<float>(a.labelSmoothing / static_cast<double>(V)) : 0.f,
                        static_cast<float>(2 * a.zLoss));
  });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL(CrossEntropy)
WW_CUDA_KERNEL(CrossEntropyBackward)
