// The emulator's side of the library: devices are memory of this process, and everything is done when a call returns.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/runtime/library.hpp"
#include "cuda/simt/machine.hpp"

namespace warpweft::cuda {
namespace {

constexpr int kMaxDevices = 8;
simt::StreamOfDevice streams[kMaxDevices];

int64_t setting(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  const long long n = text ? std::atoll(text) : 0;
  return n > 0 ? n : otherwise;
}

std::mutex mutex;
std::map<void*, size_t> reserved;

// A page that cannot be read lies behind every piece: what runs off the end of the last tensor there stops.
void* map(size_t bytes) {
  const size_t page = 4096, length = (bytes + page - 1) / page * page + page;
  void* p = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  mprotect(static_cast<char*>(p) + length - page, page, PROT_NONE);
  const std::lock_guard lock(mutex);
  reserved[p] = length;
  return p;
}

void unmap(void* p) {
  const std::lock_guard lock(mutex);
  const auto found = reserved.find(p);
  if (found == reserved.end()) return;
  munmap(p, found->second);
  reserved.erase(found);
}

}  // namespace

void Context::upload(void* target, const void* source, size_t bytes) { std::memcpy(target, source, bytes); }

namespace driver {

const char* kind() { return "simt"; }
int count(const char** why) {
  try {
    simt::architecture();
  } catch (const std::exception& error) {
    *why = text("%s", error.what());
    return 0;
  }
  return static_cast<int>(std::min<int64_t>(setting("WARPWEFT_SIMT_DEVICES", 2), kMaxDevices));
}
const char* versions() { return "emulator, all kernels run on the CPU"; }

const char* info(int, DeviceInfo* info) {
  *info = {};
  std::strcpy(info->name, "emulated GPU");
  info->capability = simt::architecture();
  info->multiprocessors = 4;
  info->sharedPerBlock = simt::sharedMemoryLimit();
  info->memory = setting("WARPWEFT_SIMT_MEMORY", int64_t{4} << 30);
  return nullptr;
}

const char* openStream(int device, void** stream) {
  streams[device].device = device;
  *stream = &streams[device];
  return nullptr;
}
void* reserve(int, size_t bytes) { return map(bytes); }
void release(int, void* p) { unmap(p); }
void* reserveHost(size_t bytes) { return map(bytes); }
void releaseHost(void* p) { unmap(p); }

const char* copy(int, void*, void* target, const void* source, size_t bytes) {
  std::memcpy(target, source, bytes);
  return nullptr;
}
const char* fill(int, void*, void* target, int byte, size_t bytes) {
  std::memset(target, byte, bytes);
  return nullptr;
}
const char* record(int, void*, void** event) {
  *event = nullptr;   // over already
  return nullptr;
}
const char* wait(int, void*) { return nullptr; }

const char* anyFault(int, void*, const FaultWord* words, const uint16_t* indices, int count, bool accumulate, uint32_t* result) {
  uint32_t any = accumulate ? *result : 0;
  for (int i = 0; i < count; i++) any |= words[indices[i]].position != ~uint64_t{0};
  *result = any;
  return nullptr;
}

const char* select(int) { return nullptr; }
const char* launched() { return nullptr; }
const char* state(int) { return nullptr; }

}  // namespace driver
}  // namespace warpweft::cuda
