// cudart's side of the library. cudart is linked in: on a machine without a driver the library loads all the same, and says that there is none.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/runtime/library.hpp"

namespace warpweft::cuda {
namespace {

constexpr int kOldest = 80;   // bfloat16 in tensor cores, cp.async

const char* message(cudaError_t error) {
  return error == cudaSuccess ? nullptr : text("%s (%s, error %d)", cudaGetErrorString(error), cudaGetErrorName(error), static_cast<int>(error));
}

// CUDA's numbers of the devices that can be used, in CUDA's order.
std::vector<int>& usable() {
  static auto* ordinals = new std::vector<int>;   // threads may run past static destructors
  return *ordinals;
}

// Events are made once and used again.
struct Events {
  std::mutex mutex;
  std::vector<cudaEvent_t> free[16];
  cudaStream_t streams[16] = {};
};
Events& events() {
  static auto* all = new Events;
  return *all;
}

struct Slots { uint16_t index[64]; };

__global__ void findFault(const FaultWord* words, Slots slots, int count, bool accumulate, uint32_t* result) {
  const int i = static_cast<int>(threadIdx.x);
  const int any = __syncthreads_or(i < count && words[slots.index[i]].position != ~0ull);
  if (i == 0) *result = any || (accumulate && *result);
}

}  // namespace

void Context::upload(void* target, const void* source, size_t bytes) {
  if (const char* error = message(cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, stream_))) throw std::runtime_error(error);
}

namespace driver {

const char* kind() { return "cuda"; }

int count(const char** why) {
  int version = 0, devices = 0, runtime = 0;
  cudaDriverGetVersion(&version);
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (version == 0) {
    *why = text("no NVIDIA driver is installed (%s, error %d)", cudaGetErrorName(error), static_cast<int>(error));
    return 0;
  }
  if (error == cudaErrorInsufficientDriver) {
    *why = text("the NVIDIA driver is too old: it serves CUDA %d.%d, %d.%d or later is needed. Update the driver", version / 1000, version % 1000 / 10, runtime / 1000, 0);
    return 0;
  }
  if (error != cudaSuccess) {
    *why = message(error);
    return 0;
  }
  std::string old;
  usable().clear();
  for (int i = 0; i < devices; i++) {
    cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
    if (10 * p.major + p.minor >= kOldest) usable().push_back(i);
    else old += (old.empty() ? "" : ", ") + std::string(p.name) + " (compute capability " + std::to_string(p.major) + "." + std::to_string(p.minor) + ")";
  }
  if (usable().empty()) *why = old.empty() ? "the driver shows no GPU" : text("%s is too old: compute capability 8.0 or later is needed", old.c_str());
  return static_cast<int>(std::min<size_t>(usable().size(), 16));
}

const char* versions() {
  int version = 0, runtime = 0;
  cudaDriverGetVersion(&version);
  cudaRuntimeGetVersion(&runtime);
  return text("driver for CUDA %d.%d, runtime %d.%d, code for %s", version / 1000, version % 1000 / 10, runtime / 1000, runtime % 1000 / 10, WARPWEFT_CUDA_ARCHITECTURES);
}

const char* info(int device, DeviceInfo* info) {
  cudaDeviceProp p;
  if (const char* error = message(cudaGetDeviceProperties(&p, usable()[device]))) return error;
  *info = {};
  std::memcpy(info->name, p.name, std::min(std::strlen(p.name), sizeof info->name - 1));
  info->capability = 10 * p.major + p.minor;
  info->multiprocessors = p.multiProcessorCount;
  info->sharedPerBlock = static_cast<int64_t>(p.sharedMemPerBlockOptin);
  info->memory = static_cast<int64_t>(p.totalGlobalMem);
  return nullptr;
}

const char* select(int device) { return message(cudaSetDevice(usable()[device])); }

const char* openStream(int device, void** stream) {
  if (const char* error = select(device)) return error;
  cudaStream_t made = nullptr;
  // Not the default stream: nothing else in the process is waited for.
  const cudaError_t error = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
  events().streams[device] = made;
  *stream = made;
  return message(error);
}

void* reserve(int device, size_t bytes) {
  void* p = nullptr;
  if (select(device)) return nullptr;
  if (cudaMalloc(&p, bytes) == cudaSuccess) return p;
  cudaGetLastError();   // running out of memory is no fault
  return nullptr;
}

void release(int device, void* p) {
  if (!select(device)) cudaFree(p);
}

void* reserveHost(size_t bytes) {
  void* p = nullptr;
  if (select(0)) return nullptr;   // whichever device: the memory is every device's
  if (cudaHostAlloc(&p, bytes, cudaHostAllocPortable) == cudaSuccess) return p;
  cudaGetLastError();
  return nullptr;
}
void releaseHost(void* p) { cudaFreeHost(p); }

const char* copy(int device, void* stream, void* target, const void* source, size_t bytes) {
  if (const char* error = select(device)) return error;
  return message(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)));
}

const char* fill(int device, void* stream, void* target, int byte, size_t bytes) {
  if (const char* error = select(device)) return error;
  return message(cudaMemsetAsync(target, byte, bytes, static_cast<cudaStream_t>(stream)));
}

const char* record(int device, void* stream, void** event) {
  if (const char* error = select(device)) return error;
  cudaEvent_t e = nullptr;
  {
    const std::lock_guard lock(events().mutex);
    auto& free = events().free[device];
    if (!free.empty()) { e = free.back(); free.pop_back(); }
  }
  if (!e)
    if (const char* error = message(cudaEventCreateWithFlags(&e, cudaEventDisableTiming | cudaEventBlockingSync))) return error;
  *event = e;
  return message(cudaEventRecord(e, static_cast<cudaStream_t>(stream)));
}

const char* wait(int device, void* event) {
  if (const char* error = select(device)) return error;
  const auto e = static_cast<cudaEvent_t>(event);
  // A thread that sleeps is woken some ten microseconds late: short waits are spun.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
  cudaError_t error = cudaEventQuery(e);
  while (error == cudaErrorNotReady && std::chrono::steady_clock::now() < patience) error = cudaEventQuery(e);
  if (error == cudaErrorNotReady) error = cudaEventSynchronize(e);
  const std::lock_guard lock(events().mutex);
  events().free[device].push_back(e);
  return message(error);
}

const char* anyFault(int device, void* stream, const FaultWord* words, const uint16_t* indices, int count, bool accumulate, uint32_t* result) {
  if (const char* error = select(device)) return error;
  Slots slots{};
  std::copy_n(indices, count, slots.index);
  findFault<<<1, 64, 0, static_cast<cudaStream_t>(stream)>>>(words, slots, count, accumulate, result);
  return launched();
}

const char* launched() { return message(cudaGetLastError()); }

const char* state(int device) {
  if (select(device)) return text("the device cannot be reached any more");
  cudaGetLastError();   // what concerned one call
  const cudaError_t error = cudaStreamQuery(events().streams[device]);
  return error == cudaErrorNotReady ? nullptr : message(error);
}

}  // namespace driver
}  // namespace warpweft::cuda
