#pragma once
// For tests of the device layer that the emulator runs and a GPU can: memory that both sides see, and launches that wait. By nvcc (primitives_test.cpp as CUDA
// code) they compare hardware with the same definitions.
#include <cstring>
#include <type_traits>

#include "cuda/device/device.cuh"
#include "test_context.hpp"

namespace warpweft::test {

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
    if (cudaMallocManaged(&p, bytes ? bytes : 1) != cudaSuccess) std::abort();
#endif
    data_ = static_cast<T*>(p);
    std::memset(p, 0, bytes);
  }
  Buffer(std::initializer_list<T> values) : Buffer(values.size()) {
    size_t i = 0;
    for (const T& v : values) data_[i++] = v;
  }
  ~Buffer() {
#ifdef WARPWEFT_SIMT
    std::free(data_);
#else
    cudaFree(data_);
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
    expect(failures() == before, "in the order %s", o.name);
  }
}
#else
template <class F> void inEveryOrder(F&& body) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no GPU: not run\n");
    return;
  }
  for (int repeat = 0; repeat < 20; repeat++) body();
}
#endif

}  // namespace warpweft::test
