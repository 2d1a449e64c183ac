#pragma once
// How an op enters the table of the library. Its file ends in one of these, outside of any namespace, after
//   namespace warpweft::cuda { void run(const LayerNorm& args, Context& context); size_t workspace(const LayerNorm& args, const DeviceInfo& info); }
// An op without an entry is an error that names op and backend.
#include "cuda/runtime/context.hpp"
#include "ops/all.hpp"

namespace warpweft::cuda {

struct Entry {
  void (*launch)(const void* args, Context& context);
  size_t (*workspace)(const void* args, const DeviceInfo& info);   // may throw Unsupported; null where there is nothing to ask
};

// By index in the list of ops/all.hpp; filled while the library is loaded.
inline Entry table[kOpCount];

struct Registration {
  Registration(int op, Entry entry) { table[op] = entry; }
};

}  // namespace warpweft::cuda

#define WW_CUDA_KERNEL(Op)                                                                                                                    \
  namespace { const ::warpweft::cuda::Registration registered##Op{::warpweft::opIndex<::warpweft::Op>, {                                      \
      [](const void* a, ::warpweft::cuda::Context& c) { ::warpweft::cuda::run(*static_cast<const ::warpweft::Op*>(a), c); }, nullptr}}; }
#define WW_CUDA_KERNEL_WITH_WORKSPACE(Op)                                                                                                     \
  namespace { const ::warpweft::cuda::Registration registered##Op{::warpweft::opIndex<::warpweft::Op>, {                                      \
      [](const void* a, ::warpweft::cuda::Context& c) { ::warpweft::cuda::run(*static_cast<const ::warpweft::Op*>(a), c); },                  \
      [](const void* a, const ::warpweft::DeviceInfo& i) { return ::warpweft::cuda::workspace(*static_cast<const ::warpweft::Op*>(a), i); }}}; }
