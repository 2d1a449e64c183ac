#pragma once
// The parts of a device library: library.cpp is the table that the addon sees, the driver below it is cudart's (cuda_library.cu) or the emulator's (simt_library.cpp).
#include "cuda/runtime/kernel.hpp"

namespace warpweft::cuda {

// Formats into memory of this thread, valid until its next call.
[[gnu::format(printf, 1, 2)]] const char* text(const char* format, ...);

// As the functions of DeviceLibrary.
namespace driver {

const char* kind();
int count(const char** why);
const char* versions();
const char* info(int device, DeviceInfo* info);
const char* openStream(int device, void** stream);
void* reserve(int device, size_t bytes);
void release(int device, void* p);
void* reserveHost(size_t bytes);
void releaseHost(void* p);
const char* copy(int device, void* stream, void* target, const void* source, size_t bytes);
const char* fill(int device, void* stream, void* target, int byte, size_t bytes);
const char* record(int device, void* stream, void** event);
const char* wait(int device, void* event);
const char* anyFault(int device, void* stream, const FaultWord* words, const uint16_t* indices, int count, bool accumulate, uint32_t* result);
const char* state(int device);

// Makes a device that of this thread.
const char* select(int device);
// What went wrong with the launches since the last call.
const char* launched();

}  // namespace driver
}  // namespace warpweft::cuda
