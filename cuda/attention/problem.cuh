#pragma once
// What the kernels of attention get: tensors by their strides, which queries meet which keys, and which keys a query sees (native/ops/attention.hpp).
#include <string>

#include "cuda/kernel.cuh"
#include "ops/attention.hpp"

namespace warpweft::cuda::attention {

__host__ WW_DEVICE constexpr int lesser(int a, int b) { return a < b ? a : b; }
__host__ WW_DEVICE constexpr int greater(int a, int b) { return a > b ? a : b; }

inline constexpr float kLn2 = 0.693147180559945309f;
WW_DEVICE float infinity() { return floatOf(0x7F800000u); }

// [B, T, H, D] with rows of adjacent elements.
template <class T> struct Heads {
  T* data;
  int64_t batch, row, head;
  static Heads of(const View& v) { return v ? Heads{v.as<T>(), v.strides[0], v.strides[1], v.strides[2]} : Heads{}; }
  WW_DEVICE explicit operator bool() const { return data != nullptr; }
  WW_DEVICE T* at(int b, int i, int h) const { return data + b * batch + i * row + h * head; }
};

// Whether every row begins at a multiple of `elements` elements and is made of whole groups of that many. Absent arguments agree.
template <class T> bool inGroups(const View& v, int elements) {
  if (!v || v.numel() == 0) return true;
  if (!aligned(v.data, sizeof(T) * static_cast<size_t>(elements)) || v.sizes[3] % elements) return false;
  for (int d = 0; d < 3; d++)
    if (v.sizes[d] > 1 && v.strides[d] % elements) return false;
  return true;
}

// A batch row, or one of the packed sequences of a batch of one. `number` counts dropout's tiles.
struct Sequence { int number, batch, firstQuery, queries, firstKey, keys; };

// The keys [low(i), high(i)) that causal mask and window leave to query i, and the queries [firstQuery(j), endQuery(j)) that they leave to key j. Either may be empty:
// its end then lies before its begin.
struct Band {
  int queries, keys, window;   // window 0: none
  bool causal;
  WW_DEVICE int offset() const { return keys - queries; }
  WW_DEVICE int low(int i) const { return window ? greater(0, i + offset() - window + 1) : 0; }
  WW_DEVICE int high(int i) const { return causal ? lesser(keys, i + offset() + 1) : keys; }
  WW_DEVICE int firstQuery(int j) const { return causal ? greater(0, j - offset()) : 0; }
  WW_DEVICE int endQuery(int j) const { return window ? lesser(queries, j - offset() + window) : queries; }
};

struct KeyPadding {
  const char* flags;   // of the sequence's first key; null: none
  int64_t stride;      // bytes
  bool wide;           // int32
  WW_DEVICE explicit operator bool() const { return flags != nullptr; }
  WW_DEVICE bool hidden(int key) const {
    if (!flags) return false;
    const char* p = flags + key * stride;
    return wide ? *reinterpret_cast<const int32_t*>(p) == 0 : *p == 0;
  }
  // Narrows [from, to) to what lies between the first and the last key that is attended. All threads of the block; `scratch` has room for two integers a warp.
  WW_DEVICE void narrow(int& from, int& to, int* scratch) const {
    if (!flags) return;
    int first = to, last = from - 1;
    for (int j = from + static_cast<int>(threadIdx.x); j < to; j += static_cast<int>(blockDim.x))
      if (!hidden(j)) first = lesser(first, j), last = j;
    first = reduceMin(first);
    last = reduceMax(last);
    if (lane() == 0) scratch[2 * warpOfBlock()] = first, scratch[2 * warpOfBlock() + 1] = last;
    barrier();
    for (unsigned w = 0; w < blockDim.x / kWarp; w++) first = lesser(first, scratch[2 * w]), last = greater(last, scratch[2 * w + 1]);
    from = first;
    to = greater(first, last + 1);
  }
};

// The bias of one sequence and head; strides in elements.
struct Bias {
  const void* data;
  int64_t query, key;
  bool half;   // of the dtype of q and not float32
  WW_DEVICE explicit operator bool() const { return data != nullptr; }
  template <class T> WW_DEVICE float at(int64_t offset) const { return half ? toFloat(static_cast<const T*>(data)[offset]) : static_cast<const float*>(data)[offset]; }
};

// Dropout's 16 x 16 tiles of one sequence and head.
struct DropTiles {
  bool active;
  DropoutStream stream;
  uint64_t first;
  int columns;
  WW_DEVICE uint64_t group(int query, int key) const {
    return (first + static_cast<uint64_t>(query / 16) * static_cast<uint64_t>(columns) + static_cast<uint64_t>(key / 16)) * 32;
  }
};

struct Problem {
  int batch, queries, keys, heads, groups, dim;   // sizes of the tensors
  int sequences;                                  // packed ones; their offsets are null where nothing is packed
  const int32_t *queryOffsets, *keyOffsets;
  const uint32_t* broken;                         // not zero where the offsets are no offsets: then nothing is computed
  const char* padding;
  int64_t paddingBatch, paddingKey;               // bytes
  bool paddingWide;
  const char* bias;
  int64_t biasBatch, biasHead, biasQuery, biasKey;
  bool biasHalf, causal;
  int window;
  float factor, cap;   // of products: to scores in units of log 2; with a soft cap to the argument of its tanh, and from there
  float scale;
  DropoutSetting dropout;

  template <class Op> static Problem of(const Op& a, const uint32_t* broken) {
    const auto n = [](int64_t x) { return static_cast<int>(x); };
    Problem p{};
    p.batch = n(a.q.sizes[0]); p.queries = n(a.q.sizes[1]); p.keys = n(a.k.sizes[1]); p.heads = n(a.q.sizes[2]); p.groups = n(a.k.sizes[2]); p.dim = n(a.q.sizes[3]);
    if (a.queryOffsets) {
      p.sequences = n(a.queryOffsets.sizes[0] - 1);
      p.queryOffsets = a.queryOffsets.template as<const int32_t>(); p.keyOffsets = a.keyOffsets.template as<const int32_t>();
      p.broken = broken;
    }
    if (a.keyPadding) {
      const int64_t bytes = sizeOf(a.keyPadding.dtype);
      p.padding = a.keyPadding.template as<const char>();
      p.paddingBatch = a.keyPadding.strides[0] * bytes; p.paddingKey = a.keyPadding.strides[1] * bytes;
      p.paddingWide = a.keyPadding.dtype == DType::i32;
    }
    if (a.bias) {
      p.bias = a.bias.template as<const char>();
      p.biasBatch = a.bias.strides[0]; p.biasHead = a.bias.strides[1]; p.biasQuery = a.bias.strides[2]; p.biasKey = a.bias.strides[3];
      p.biasHalf = a.bias.dtype != DType::f32;
    }
    p.causal = a.causal;
    p.window = a.window < a.q.sizes[1] + a.k.sizes[1] ? n(a.window) : 0;
    p.factor = a.softcap > 0 ? static_cast<float>(a.scale / a.softcap) : static_cast<float>(a.scale) * kLog2e;
    p.cap = static_cast<float>(a.softcap) * kLog2e;
    p.scale = static_cast<float>(a.scale);
    p.dropout = DropoutSetting::of(a.rng.template as<const int64_t>(), a.call, a.dropout);
    return p;
  }

  // Blocks of `size` rows that cover `total` rows of every sequence: of the queries or of the keys.
  int64_t blocks(int64_t total, int size) const { return queryOffsets ? total / size + sequences : batch * ceilDiv(total, size); }

  WW_DEVICE Sequence sequenceOf(int number) const {
    if (!queryOffsets) return {number, number, 0, queries, 0, keys};
    return {number, 0, queryOffsets[number], queryOffsets[number + 1] - queryOffsets[number], keyOffsets[number], keyOffsets[number + 1] - keyOffsets[number]};
  }

  // Block n of these: its sequence and the first of its rows. False where there is none. Packed sequence s has the blocks [offsets[s] / size + s, offsets[s + 1] / size + s + 1),
  // which are enough for its rows, so that no table is needed.
  WW_DEVICE bool find(int n, int size, const int32_t* offsets, Sequence& s, int& first) const {
    if (!queryOffsets) {
      s = sequenceOf(n % batch);
      first = n / batch * size;
      return true;
    }
    if (*broken) return false;
    int low = 0, high = sequences;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (offsets[middle] / size + middle <= n) low = middle + 1;
      else high = middle;
    }
    if (low == 0) return false;
    const int number = low - 1;
    s = sequenceOf(number);
    first = (n - offsets[number] / size - number) * size;
    return first < offsets[low] - offsets[number];
  }

  WW_DEVICE Band bandOf(const Sequence& s) const { return {s.queries, s.keys, window < s.queries + s.keys ? window : 0, causal}; }
  WW_DEVICE KeyPadding paddingOf(const Sequence& s) const {
    return {padding ? padding + s.batch * paddingBatch + s.firstKey * paddingKey : nullptr, paddingKey, paddingWide};
  }
  template <class T> WW_DEVICE Bias biasOf(const Sequence& s, int head) const {
    const int64_t offset = s.batch * biasBatch + head * biasHead + s.firstQuery * biasQuery + s.firstKey * biasKey;
    return {bias ? bias + offset * static_cast<int64_t>(biasHalf ? sizeof(T) : sizeof(float)) : nullptr, biasQuery, biasKey, biasHalf};
  }
  WW_DEVICE DropTiles dropTilesOf(const Sequence& s, int head) const {
    if (!dropout) return {};
    const int columns = (keys + 15) / 16;
    const uint64_t tiles = static_cast<uint64_t>((queries + 15) / 16) * static_cast<uint64_t>(columns);
    return {true, dropout.read(), (static_cast<uint64_t>(s.number) * static_cast<uint64_t>(heads) + static_cast<uint64_t>(head)) * tiles, columns};
  }
};

inline constexpr int kWidest = 256;

// What no kernel here is made for; `workspace` asks, before anything is queued.
template <class Op> void demandSupported(const Op& a) {
  const auto refuse = [&](const char* what, int64_t size, const char* expected) {
    throw Unsupported(std::string(Op::name) + ": " + what + " of " + std::to_string(size) + " is not supported on this device, expected at most " + expected +
                      "; run it on the CPU, or on fewer of them at a time");
  };
  if (a.q.sizes[3] > kWidest)
    throw Unsupported(std::string(Op::name) + ": q has heads " + std::to_string(a.q.sizes[3]) + " wide, expected at most 256 on this device; run this on the CPU");
  for (const int64_t size : {a.q.sizes[0], a.q.sizes[1], a.k.sizes[1], a.q.sizes[2]})
    if (size >= int64_t{1} << 29) refuse("a size", size, "2^29 - 1");
  const int64_t sequences = a.queryOffsets ? a.queryOffsets.sizes[0] : 1;   // each may leave a block that is not full
  const int64_t rows = a.q.sizes[0] * a.q.sizes[2] * (most(a.q.sizes[1], a.k.sizes[1]) + 16 * sequences);
  if (rows >= int64_t{1} << 31) refuse("a number of rows of all heads", rows, "2^31 - 1");
}

}  // namespace warpweft::cuda::attention
