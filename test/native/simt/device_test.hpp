#pragma once
// For tests of the device layer that the emulator runs and a GPU can: memory that both sides see, and launches that wait. By nvcc (primitives_test.cpp as CUDA
// code) they compare hardware with the same definitions; what kernels were given and gave can be written to a file, by which the two are compared number by number.
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>

#include "cuda/device/device.cuh"
#include "test_context.hpp"

namespace warpweft::test {

// Writes every buffer when it goes, in the first repetition of the tests: a line "test kind bytes-of-an-element elements", kind f for float32, d for float64, u for anything
// else, and the bytes behind it.
class Vectors {
 public:
  void open(const char* path) {
    file_ = std::fopen(path, "wb");
    if (!expect(file_ != nullptr, "%s cannot be written", path)) std::exit(2);
  }
  void begin(const char* test) { test_ = test; }
  void rest() { ended_ = true; }
  template <class T> void add(const T* data, size_t n) const {
    if (!file_ || ended_) return;
    std::fprintf(file_, "%s %c %zu %zu\n", test_.c_str(), std::is_same_v<T, float> ? 'f' : std::is_same_v<T, double> ? 'd' : 'u', sizeof(T), n);
    std::fwrite(static_cast<const void*>(data), sizeof(T), n, file_);
  }
  void close() {
    if (file_) expect(std::fclose(file_) == 0, "the vectors could not be written whole");
    file_ = nullptr;
  }

 private:
  std::FILE* file_ = nullptr;
  std::string test_;
  bool ended_ = false;
};
inline Vectors& vectors() {
  static Vectors all;
  return all;
}
// A test under its name.
#define WW_TEST(...) (vectors().begin(#__VA_ARGS__), __VA_ARGS__())

// n elements, zeroed. At a multiple of 16 bytes, and nothing behind them.
template <class T> class Buffer {
 public:
  explicit Buffer(size_t n) : n_(n) {
    static_assert(std::is_trivially_copyable_v<T>);
    const size_t bytes = n * sizeof(T);
    void* p = nullptr;
#ifdef WARPWEFT_SIMT
    if (posix_memalign(&p, 16, bytes ? bytes : 1)) std::abort();
#else
    if (cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocMapped) != cudaSuccess) std::abort();   // the host's memory, that both see at one address
#endif
    data_ = static_cast<T*>(p);
    std::memset(p, 0, bytes);
  }
  Buffer(std::initializer_list<T> values) : Buffer(values.size()) {
    size_t i = 0;
    for (const T& v : values) data_[i++] = v;
  }
  ~Buffer() {
    vectors().add(data_, n_);
#ifdef WARPWEFT_SIMT
    std::free(data_);
#else
    cudaFreeHost(data_);
#endif
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  size_t size() const { return n_; }
  T* data() { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  T* operator->() { return data_; }

 private:
  T* data_ = nullptr;
  size_t n_;
};

// Launches and waits.
template <auto kKernel, class... A> void run(dim3 grid, dim3 block, size_t sharedBytes, A&&... arguments) {
  cuda::launch<kKernel>(nullptr, grid, block, sharedBytes, std::forward<A>(arguments)...);
#ifndef WARPWEFT_SIMT
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) {
    std::fprintf(stderr, "%s: %s\n", cuda::kernelName<kKernel>().c_str(), cudaGetErrorString(error));
    std::exit(1);
  }
#endif
}

#ifdef WARPWEFT_SIMT
inline constexpr struct { simt::Order order; uint64_t seed; const char* name; } kOrders[] = {
    {simt::Order::forward, 0, "forward"}, {simt::Order::reverse, 0, "reverse"}, {simt::Order::shuffled, 1, "shuffled 1"}, {simt::Order::shuffled, 2, "shuffled 2"}};

template <class F> void inEveryOrder(F&& body) {
  for (const auto& o : kOrders) {
    simt::setOrder(o.order, o.seed);
    const int before = failures();
    body();
    vectors().rest();
    expect(failures() == before, "in the order %s", o.name);
  }
}
#else
template <class F> void inEveryOrder(F&& body) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    expect(false, "no GPU: nothing was run");
    return;
  }
  for (int repeat = 0; repeat < 20; repeat++) body(), vectors().rest();
}
#endif

}  // namespace warpweft::test
