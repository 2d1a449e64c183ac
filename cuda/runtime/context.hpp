#pragma once
// What the host entry of an op may use besides its arguments. Entries run on the thread that serves the device's stream; they launch and return, and never wait.
#include <stdexcept>

#include "runtime/library.hpp"

#if defined(WARPWEFT_SIMT)
namespace warpweft::simt {
// The emulator runs a kernel where it is launched, so that a stream is a name and nothing else.
struct StreamOfDevice { int device; };
using Stream = StreamOfDevice*;
}  // namespace warpweft::simt
#else
#include <cuda_runtime_api.h>
#endif

namespace warpweft::cuda {

#if defined(WARPWEFT_SIMT)
using Stream = simt::Stream;
#else
using Stream = cudaStream_t;
#endif

// Thrown by an op's `workspace` for arguments that are sound but that this backend has no kernel for. The call throws, nothing has been queued.
class Unsupported : public std::runtime_error { using std::runtime_error::runtime_error; };

class Context {
 public:
  Context(const Launch& launch, const DeviceInfo& info, Stream stream) : launch_(launch), info_(info), stream_(stream) {}

  Stream stream() const { return stream_; }
  const DeviceInfo& info() const { return info_; }

  // The memory that the op's workspace(args, info) asked for, 256-byte aligned; contents undefined. Null if it asked for none.
  void* workspace() const { return launch_.workspace; }

  // Device memory in which this op's kernels report an index out of range, by reportIndexFault (fault.hpp); the same word for all kernels of the call. The
  // kernel writes zeros for it and goes on; the op's results then reject with IndexError when they are read. Ask for it only if indices are checked.
  FaultWord* faultWord() { return word_ ? word_ : word_ = launch_.faultWord(launch_.owner); }

  // Device memory that is not zero if an input of this op came out of an op that reported a fault: optimizers and averages then leave everything as it is.
  // Null if no input can be faulty.
  const uint32_t* faulty() const { return launch_.faulty; }

  // Copies a few kilobytes from host memory (argument lists) in stream order; the source may change as soon as it returns. Throws std::runtime_error.
  void upload(void* target, const void* source, size_t bytes);

 private:
  const Launch& launch_;
  const DeviceInfo& info_;
  Stream stream_;
  FaultWord* word_ = nullptr;
};

}  // namespace warpweft::cuda
