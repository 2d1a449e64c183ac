#pragma once
// What every native test needs: a Context with any number of threads, the kernels of each instruction set that this processor runs, tensors whose memory
// ends where they end (so that AddressSanitizer sees the first byte beyond), and a comparison that says where two tensors differ.
#include <atomic>
#include <cstdarg>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cpu/processor.hpp"
#include "runtime/backend.hpp"
#include "runtime/context.hpp"
#include "runtime/view.hpp"

#ifdef WARPWEFT_SIMT
#include "simt/kernel_context.hpp"   // the same tests, run on the kernels of cuda/ by the emulator
#else

// Declares the kernels of an op; use once per op, outside of any namespace. Then kernelsOf(WW_ENTRIES(Op)).
#if defined(__x86_64__)
#define WW_DECLARE(Op)                                              \
  namespace warpweft::cpu::baseline { extern const Entry entry##Op; } \
  namespace warpweft::cpu::avx2 { extern const Entry entry##Op; }     \
  namespace warpweft::cpu::avx512 { extern const Entry entry##Op; }
#define WW_ENTRIES(Op) warpweft::test::available({&warpweft::cpu::baseline::entry##Op, &warpweft::cpu::avx2::entry##Op, &warpweft::cpu::avx512::entry##Op})
#else
#define WW_DECLARE(Op) namespace warpweft::cpu::baseline { extern const Entry entry##Op; }
#define WW_ENTRIES(Op) warpweft::test::available({&warpweft::cpu::baseline::entry##Op})
#endif

namespace warpweft::test {

struct Kernel { const char* isa; const Entry* entry; };

inline constexpr bool kRoundsFactors = false;   // probabilities and such are kept in float32 whatever the dtype

inline std::vector<Kernel> available(std::initializer_list<const Entry*> entries) {
  static constexpr const char* names[] = {"baseline", "avx2", "avx512"};
  std::vector<Kernel> kernels;
  int i = 0;
  for (const Entry* e : entries) {
    bool here = true;
#if defined(__x86_64__)
    if (i == 1) here = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (i == 2) here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#endif
    if (here) kernels.push_back({names[i], e});
    i++;
  }
  return kernels;
}

// The same, and where the processor has matrix tiles the kernels that use them.
inline std::vector<Kernel> withTiles(std::vector<Kernel> kernels) {
  if (std::strcmp(kernels.back().isa, "avx512") == 0 && cpu::hasTiles()) kernels.push_back({"amx", kernels.back().entry});
  return kernels;
}

class TestContext final : public Context {
 public:
  explicit TestContext(int threads = 1) : threads_(threads), scratch_(static_cast<size_t>(threads)) {}

  int threads() const override { return threads_; }
  void* threadScratch(int thread, size_t bytes) override { return aligned(scratch_[static_cast<size_t>(thread)], bytes); }
  void* workspace() const override { return workspace_.get(); }
  void indexFault(int64_t position, int64_t value, int64_t size) override {
    const std::lock_guard lock(mutex_);
    if (!faults++ || position < faultPosition) { faultPosition = position; faultValue = value; faultSize = size; }
  }
  bool faulty() const override { return faultyInput; }

  // Runs an op as the binding does, with a workspace of exactly the size that it asks for, filled with NaN.
  template <class Op> void run(const Kernel& kernel, const Op& op) {
    const cpu::Bf16Products before = cpu::bf16Products();
    if (std::strcmp(kernel.isa, "amx") == 0) cpu::chooseBf16Products(cpu::Bf16Products::tiles);
    const size_t bytes = kernel.entry->workspace ? kernel.entry->workspace(&op) : 0;
    std::memset(aligned(workspace_, bytes), 0xFF, bytes);
    faults = 0;
    kernel.entry->launch(&op, *this);
    cpu::chooseBf16Products(before);
  }

  bool reported(int64_t n) const { return faults == n; }

  int64_t faults = 0, faultPosition = 0, faultValue = 0, faultSize = 0;
  bool faultyInput = false;

 protected:
  void parallelChunks(int64_t chunks, void (*body)(void*, int64_t, int), void* argument) override {
    std::atomic<int64_t> next{0};
    auto work = [&](int thread) {
      for (int64_t i; (i = next++) < chunks;) body(argument, i, thread);
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads_; t++) others.emplace_back(work, t);
    work(0);
    for (auto& t : others) t.join();
  }

 private:
  struct Free { void operator()(void* p) const { std::free(p); } };
  using Memory = std::unique_ptr<void, Free>;
  static void* aligned(Memory& memory, size_t bytes) {
    void* p = nullptr;
    if (posix_memalign(&p, 64, bytes ? bytes : 1)) std::abort();
    memory.reset(p);
    return p;
  }

  int threads_;
  std::vector<Memory> scratch_;
  Memory workspace_;
  std::mutex mutex_;
};

}  // namespace warpweft::test
#endif

namespace warpweft::test {

// Half types, by rounding in double precision: independent of the kernels' conversions.
inline uint16_t toHalf(double x, int fractionBits, int minimumExponent, double largest) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const int exponentBits = 15 - fractionBits;
  const uint16_t infinity = static_cast<uint16_t>(((1 << exponentBits) - 1) << fractionBits);
  if (std::isnan(x)) return static_cast<uint16_t>(sign | infinity | 1 << (fractionBits - 1));
  const double a = std::fabs(x);
  if (a == 0) return sign;
  int e;
  std::frexp(a, &e);
  e = e - 1 < minimumExponent ? minimumExponent : e - 1;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(a, fractionBits - e)), e - fractionBits);
  if (rounded > largest) return sign | infinity;
  const double least = std::ldexp(1.0, minimumExponent);
  if (rounded < least) return static_cast<uint16_t>(sign | static_cast<int>(std::ldexp(rounded, fractionBits - minimumExponent)));
  std::frexp(rounded, &e);
  e -= 1;
  return static_cast<uint16_t>(sign | ((e - minimumExponent + 1) << fractionBits) | (static_cast<int>(std::ldexp(rounded, fractionBits - e)) - (1 << fractionBits)));
}
inline uint16_t halfOf(DType t, double x) { return t == DType::bf16 ? toHalf(x, 7, -126, 0x1.FEp127) : toHalf(x, 10, -14, 65504); }
inline double fromHalf(DType t, uint16_t bits) {
  const int fractionBits = t == DType::bf16 ? 7 : 10, minimumExponent = t == DType::bf16 ? -126 : -14;
  const int fraction = bits & ((1 << fractionBits) - 1), exponent = (bits & 0x7FFF) >> fractionBits;
  double x;
  if (exponent == (1 << (15 - fractionBits)) - 1) x = fraction ? NAN : INFINITY;
  else if (exponent == 0) x = std::ldexp(fraction, minimumExponent - fractionBits);
  else x = std::ldexp(fraction + (1 << fractionBits), exponent - 1 + minimumExponent - fractionBits);
  return bits & 0x8000 ? -x : x;
}

// A tensor in memory of its own. Strides default to contiguous; `offset` is where element 0 lies in the buffer.
class Tensor {
 public:
  Tensor() { view_.rank = -1; }
  Tensor(DType dtype, std::vector<int64_t> sizes, std::vector<int64_t> strides = {}, int64_t offset = 0) {
    view_ = {};
    view_.dtype = dtype;
    view_.rank = static_cast<int32_t>(sizes.size());
    int64_t last = offset, step = 1;
    for (int d = view_.rank - 1; d >= 0; d--) {
      const size_t i = static_cast<size_t>(d);
      view_.sizes[d] = sizes[i];
      view_.strides[d] = strides.empty() ? step : strides[i];
      step *= sizes[i];
      if (sizes[i] > 0 && view_.strides[d] > 0) last += (sizes[i] - 1) * view_.strides[d];
    }
    const size_t elements = view_.numel() ? static_cast<size_t>(last + 1) : 0;
    bytes_ = elements * static_cast<size_t>(sizeOf(dtype));
    memory_.reset(static_cast<char*>(std::malloc(bytes_ ? bytes_ : 1)));
    std::memset(memory_.get(), isFloat(dtype) ? 0xFF : 0x5A, bytes_);   // NaN where floats are
    if (dtype == DType::b8) std::memset(memory_.get(), 1, bytes_);
    view_.data = memory_.get() + offset * sizeOf(dtype);
  }

  const View& view() const { return view_; }
  In in() const { return In{view_}; }
  Out out() const { return Out{view_}; }
  InOut inOut() const { return InOut{view_}; }
  Grad grad(bool accumulate = false) const { return Grad{{view_}, accumulate}; }
  int64_t numel() const { return view_.numel(); }
  DType dtype() const { return view_.dtype; }

  // Element i in logical (row-major) order.
  int64_t offset(int64_t i) const {
    int64_t o = 0;
    for (int d = view_.rank - 1; d >= 0; d--) { o += i % view_.sizes[d] * view_.strides[d]; i /= view_.sizes[d]; }
    return o;
  }
  double get(int64_t i) const {
    const int64_t o = offset(i);
    switch (view_.dtype) {
      case DType::f32: return static_cast<double>(view_.as<float>()[o]);
      case DType::f16: case DType::bf16: return fromHalf(view_.dtype, view_.as<uint16_t>()[o]);
      case DType::i32: return view_.as<int32_t>()[o];
      case DType::i64: return static_cast<double>(view_.as<int64_t>()[o]);
      case DType::i8: return view_.as<int8_t>()[o];
      default: return view_.as<uint8_t>()[o];
    }
  }
  void set(int64_t i, double x) {
    const int64_t o = offset(i);
    switch (view_.dtype) {
      case DType::f32: view_.as<float>()[o] = static_cast<float>(x); break;
      case DType::f16: case DType::bf16: view_.as<uint16_t>()[o] = halfOf(view_.dtype, x); break;
      case DType::i32: view_.as<int32_t>()[o] = static_cast<int32_t>(x); break;
      case DType::i64: view_.as<int64_t>()[o] = static_cast<int64_t>(x); break;
      case DType::i8: view_.as<int8_t>()[o] = static_cast<int8_t>(x); break;
      case DType::u8: view_.as<uint8_t>()[o] = static_cast<uint8_t>(x); break;
      default: view_.as<uint8_t>()[o] = x != 0;
    }
  }
  template <class F> Tensor& fill(F&& f) {
    for (int64_t i = 0; i < numel(); i++) set(i, f(i));
    return *this;
  }
  std::vector<double> values() const {
    std::vector<double> v(static_cast<size_t>(numel()));
    for (int64_t i = 0; i < numel(); i++) v[static_cast<size_t>(i)] = get(i);
    return v;
  }
  // Every byte, gaps between the elements included.
  std::string bits() const { return std::string(memory_.get(), bytes_); }

 private:
  struct Free { void operator()(char* p) const { std::free(p); } };
  View view_{};
  std::unique_ptr<char, Free> memory_;
  size_t bytes_ = 0;
};

inline In absentIn() { In v{}; v.rank = -1; return v; }
inline Out absentOut() { Out v{}; v.rank = -1; return v; }
inline Grad absentGrad() { Grad v{}; v.rank = -1; return v; }

inline int& failures() { static int n = 0; return n; }

[[gnu::format(printf, 2, 3)]] inline bool expect(bool condition, const char* format, ...) {
  if (condition) return true;
  if (failures()++ < 40) {
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
  }
  return false;
}

// Elementwise |got - expected| <= absolute + relative |expected|; NaN equals NaN, infinities equal themselves.
inline bool close(const std::string& what, const Tensor& got, const std::vector<double>& expected, double relative, double absolute = 0) {
  if (!expect(got.numel() == static_cast<int64_t>(expected.size()), "%s: %lld elements, expected %zu", what.c_str(), static_cast<long long>(got.numel()), expected.size())) return false;
  for (int64_t i = 0; i < got.numel(); i++) {
    const double g = got.get(i), e = expected[static_cast<size_t>(i)];
    const bool same = std::isnan(e) ? std::isnan(g) : std::isinf(e) ? g == e : std::fabs(g - e) <= absolute + relative * std::fabs(e);
    if (!same) return expect(false, "%s: element %lld is %.9g, expected %.9g", what.c_str(), static_cast<long long>(i), g, e);
  }
  return true;
}

// Half of the distance between neighbours at 1: what one rounding costs at most.
inline double roundingOf(DType t) { return t == DType::f32 ? 0x1p-24 : t == DType::f16 ? 0x1p-11 : t == DType::bf16 ? 0x1p-8 : 0; }

inline int report(const char* name) {
  if (failures()) std::fprintf(stderr, "%s: %d failures\n", name, failures());
  else std::printf("%s: ok\n", name);
  return failures() ? 1 : 0;
}

}  // namespace warpweft::test
