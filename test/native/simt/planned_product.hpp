#pragma once
// A product on the emulator by a plan of the test's own choice, in a workspace of exactly its size, full of NaN.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cuda/gemm/multiply.hpp"
#include "simt_test.hpp"

namespace warpweft::test {

template <class T> void multiplyBy(const cuda::gemm::Plan& plan, const cuda::gemm::Problem& p) {
  void* memory = nullptr;
  const auto bytes = static_cast<size_t>(cuda::gemm::partialBytes(p, plan));
  if (posix_memalign(&memory, 256, bytes ? bytes : 1)) std::abort();
  const std::unique_ptr<void, void (*)(void*)> workspace(memory, std::free);
  std::memset(memory, 0xFF, bytes);
  cuda::gemm::multiply<T>(p, plan, memory, nullptr);
}

}  // namespace warpweft::test
