#pragma once
// One kernel source, two compilers: nvcc makes code for GPUs of it, any C++20 compiler with WARPWEFT_SIMT makes code for the emulator (cuda/simt).
#include <cstddef>
#include <cstdint>

#ifdef WARPWEFT_SIMT

#include "cuda/simt/machine.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx (::warpweft::simt::self->index)
#define blockIdx (::warpweft::simt::block.index)
#define blockDim (::warpweft::simt::block.size)
#define gridDim (::warpweft::simt::block.grid)

// Last parameters of functions in which threads wait or which can be refused: the line that a report names. WW_AT after other parameters, WW_AT_ALONE as the
// only ones; WW_PASS and WW_PASS_ALONE hand them on.
#define WW_AT_ALONE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define WW_AT , WW_AT_ALONE
#define WW_PASS_ALONE file, line
#define WW_PASS , file, line

// WW_SHARED(float, partial, [8][33]): an array of the block.
#define WW_SHARED(Type, name, dimensions) auto& name = ::warpweft::simt::shared<Type dimensions>([] {})

#else

#define WW_AT_ALONE
#define WW_AT
#define WW_PASS_ALONE
#define WW_PASS
#define WW_SHARED(Type, name, dimensions) __shared__ alignas(16) Type name dimensions

#endif

// Where kernels may use Hopper's own instructions (mbarrier with bytes, TMA, wgmma, setmaxnreg): in the emulator, which refuses them for other GPUs, and in code for
// sm_90a. Kernels that do have empty bodies elsewhere.
#if defined(WARPWEFT_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define WW_SM90
#endif
#ifdef WARPWEFT_SIMT
#define WW_GRID_CONSTANT
#else
#define WW_GRID_CONSTANT __grid_constant__   // a parameter that is read where the launch has put it: a TensorMap has to be
#endif

#define WW_DEVICE __device__ __forceinline__
#ifdef WARPWEFT_SIMT
#define WW_UNROLL
#define WW_UNROLL_BY(n)
#else
#define WW_PRAGMA(text) _Pragma(#text)
#define WW_UNROLL WW_PRAGMA(unroll)
#define WW_UNROLL_BY(n) WW_PRAGMA(unroll n)
#endif

namespace warpweft::cuda {

inline constexpr unsigned kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

// Dynamic shared memory: as many bytes as the launch says, at a multiple of 1024.
template <class T> WW_DEVICE T* sharedMemory() {
#ifdef WARPWEFT_SIMT
  return static_cast<T*>(simt::dynamicShared());
#else
  extern __shared__ __align__(1024) unsigned char dynamicSharedMemory[];
  return reinterpret_cast<T*>(dynamicSharedMemory);
#endif
}

}  // namespace warpweft::cuda
