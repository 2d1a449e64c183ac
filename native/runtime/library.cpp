#include "runtime/library.hpp"

#include <dlfcn.h>

#include <mutex>
#include <string>

#include "ops/layout.hpp"
#include "runtime/accelerator.hpp"

namespace warpweft {
namespace {

std::mutex opening;
std::string openPath;
const DeviceLibrary* opened = nullptr;

const DeviceLibrary& load(const std::string& path) {
  // Resolved at once: what is missing is told here and not at the first use. Never closed.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw OpError{"ERR_DEVICE", std::string("the device library could not be loaded: ") + dlerror()};
  const auto open = reinterpret_cast<OpenLibrary>(dlsym(handle, kOpenLibrary));
  if (!open) throw OpError{"ERR_DEVICE", path + " is not a device library of warpweft " WARPWEFT_VERSION ": install @warpweft/cuda-linux-x64 in the same version"};
  char message[512] = "";
  const DeviceLibrary* library = open(WARPWEFT_VERSION, layoutOfOps(), message, sizeof message);
  if (!library) throw OpError{"ERR_DEVICE", path + ": " + message};
  return *library;
}

}  // namespace

int openDeviceLibrary(const std::string& path) {
  const std::lock_guard lock(opening);
  if (opened) {
    if (path != openPath) throw OpError{"ERR_DEVICE", "this process has opened " + openPath + " and cannot open " + path + " as well"};
    return deviceCount() - 1;
  }
  const DeviceLibrary& library = load(path);
  const char* why = nullptr;
  const int count = library.count(&why);
  if (count <= 0) throw OpError{"ERR_DEVICE", why ? why : "there is no device"};
  for (int i = 0; i < count && deviceCount() < kMaxDevices; i++) addDevice(new Accelerator(library, i, deviceCount()));
  opened = &library;
  openPath = path;
  return deviceCount() - 1;
}

std::string libraryPath() {
  const std::lock_guard lock(opening);
  return openPath;
}

std::string libraryVersions() {
  const std::lock_guard lock(opening);
  return opened ? std::string(opened->kind) + ": " + opened->versions() : "";
}

}  // namespace warpweft
