#pragma once
// launch<kernel<T, 4>>(stream, grid, block, sharedBytes, arguments …): converts the arguments to the kernel's parameters, asks for more shared memory than the
// usual 48 KiB where the kernel needs it, and throws with the kernel's name where the launch is refused.
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda/device/platform.cuh"
#include "cuda/runtime/context.hpp"

namespace warpweft::cuda {

// "layerNormRows<float, 4>", out of the compiler's name for this function.
template <auto kKernel> std::string kernelName() {
  constexpr std::string_view text = __PRETTY_FUNCTION__;
  const size_t begin = text.find("kKernel = ");
  if (begin == std::string_view::npos) return std::string(text);
  std::string_view name = text.substr(begin + 10);
  name = name.substr(0, name.rfind("; std"));
  if (name.ends_with(']')) name.remove_suffix(1);
  const size_t call = name.substr(0, name.find('<')).rfind("::");
  return std::string(call == std::string_view::npos ? name : name.substr(call + 2));
}

template <class> struct Parameters;
template <class... P> struct Parameters<void (*)(P...)> { using Tuple = std::tuple<std::remove_cvref_t<P>...>; };

template <auto kKernel, class... A> void launch(Stream stream, dim3 grid, dim3 block, size_t sharedBytes, A&&... arguments) {
  typename Parameters<decltype(kKernel)>::Tuple values(std::forward<A>(arguments)...);
#ifdef WARPWEFT_SIMT
  static_cast<void>(stream);
  static const std::string name = kernelName<kKernel>();
  simt::launch({name.c_str(), [](const void* v) { std::apply(kKernel, *static_cast<const typename Parameters<decltype(kKernel)>::Tuple*>(v)); }, &values},
               grid, block, sharedBytes);
#else
  const auto* function = reinterpret_cast<const void*>(kKernel);
  cudaError_t error = cudaSuccess;
  if (sharedBytes > 48 * 1024) error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sharedBytes));
  if (error == cudaSuccess)
    error = std::apply([&](auto&... v) {
      void* pointers[] = {&v..., nullptr};
      return cudaLaunchKernel(function, grid, block, pointers, sharedBytes, stream);
    }, values);
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(kernelName<kKernel>() + ": launch of (" + std::to_string(grid.x) + ", " + std::to_string(grid.y) + ", " + std::to_string(grid.z) +
                           ") blocks of " + std::to_string(block.x) + " threads with " + std::to_string(sharedBytes) + " bytes of shared memory failed: " +
                           cudaGetErrorString(error));
#endif
}

}  // namespace warpweft::cuda
