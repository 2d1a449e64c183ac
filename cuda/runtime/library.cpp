#include "cuda/runtime/library.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>

#include "ops/layout.hpp"

namespace warpweft::cuda {

const char* text(const char* format, ...) {
  static thread_local char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

namespace {

bool has(int op) { return op >= 0 && op < kOpCount && table[op].launch; }

// Asked for once a device; what an op needs to know of it is at hand.
const DeviceInfo& infoOf(int device) {
  static thread_local DeviceInfo infos[16];
  static thread_local bool known[16];
  if (!known[device]) known[device] = driver::info(device, &infos[device]) == nullptr;
  return infos[device];
}

int64_t workspace(int device, int op, const void* args, const char** refusal) {
  *refusal = nullptr;
  if (!table[op].workspace) return 0;
  try {
    return static_cast<int64_t>(table[op].workspace(args, infoOf(device)));
  } catch (const std::exception& error) {
    *refusal = text("%s", error.what());
    return -1;
  }
}

const char* launch(const Launch* launch) {
#ifdef WARPWEFT_SIMT
  static std::mutex one;   // the emulator is one machine, whatever the number of devices
  const std::lock_guard lock(one);
#endif
  try {
    if (const char* error = driver::select(launch->device)) return error;
    Context context(*launch, infoOf(launch->device), static_cast<Stream>(launch->stream));
    table[launch->op].launch(launch->args, context);
    return driver::launched();
  } catch (const std::exception& error) {
    return text("%s", error.what());
  }
}

const DeviceLibrary library = {
    driver::kind(), driver::count, driver::versions, driver::info, driver::openStream, driver::reserve, driver::release, driver::reserveHost, driver::releaseHost,
    driver::copy, driver::fill, driver::record, driver::wait, driver::anyFault, has, workspace, launch, driver::state,
};

}  // namespace
}  // namespace warpweft::cuda

extern "C" __attribute__((visibility("default"))) const warpweft::DeviceLibrary* warpweft_open_1(const char* version, uint64_t layout, char* message, size_t bytes) {
  if (std::strcmp(version, WARPWEFT_VERSION) != 0) {
    std::snprintf(message, bytes, "it is of version %s, the addon of version %s: install @warpweft/cuda-linux-x64@%s", WARPWEFT_VERSION, version, version);
    return nullptr;
  }
  if (layout != warpweft::layoutOfOps()) {
    std::snprintf(message, bytes, "its ops are not those of the addon, though both are of version %s: build both from the same sources", version);
    return nullptr;
  }
  return &warpweft::cuda::library;
}
