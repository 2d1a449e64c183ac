#pragma once
#include <cstddef>
#include <cstdint>

// The interface between the addon and a device library (libwarpweft_cuda.so, libwarpweft_simt.so), which is opened at run time. Plain C types, and no exception
// crosses it: either side may have a C++ runtime of its own. A library is refused unless version, op structs and this table are those of the addon.
namespace warpweft {

// Where a kernel reports an index out of range. All bits set: none. `lock` is free while all of its bits are set (cuda/runtime/fault.hpp has the protocol).
struct FaultWord {
  uint64_t position;   // in elements of the index tensor; the lowest one wins
  int64_t value, size;
  uint32_t lock, unused;
};
static_assert(sizeof(FaultWord) == 32);

struct DeviceInfo {
  char name[128];
  int32_t capability;        // 10 x major + minor: 80, 90, 120
  int32_t multiprocessors;
  int64_t sharedPerBlock;    // bytes that a block may opt in to
  int64_t memory;            // bytes
};

// One op to be launched.
struct Launch {
  int32_t device, op;
  void* stream;
  const void* args;
  void* workspace;
  const uint32_t* faulty;    // device memory, not zero if an input is faulty; null if none can be
  void* owner;
  FaultWord* (*faultWord)(void* owner);   // device memory that holds "none"; asked for by ops that check indices
};

// Functions that return text return null if all went well, else what went wrong; it is valid until the thread's next call.
struct DeviceLibrary {
  const char* kind;                                          // "cuda" or "simt"
  int32_t (*count)(const char** why);                        // usable devices; if there is none, why
  const char* (*versions)();                                 // "driver 13.0, runtime 13.2, sm_80 sm_86 …"
  const char* (*info)(int device, DeviceInfo* info);
  const char* (*openStream)(int device, void** stream);
  void* (*reserve)(int device, size_t bytes);                // null where no more is to be had
  void (*release)(int device, void* p);
  void* (*reserveHost)(size_t bytes);                        // pinned
  void (*releaseHost)(void* p);
  // In the order of the stream. Pageable sources have been read when it returns; pinned ones and all targets have to stay until an event recorded later.
  const char* (*copy)(int device, void* stream, void* target, const void* source, size_t bytes);
  const char* (*fill)(int device, void* stream, void* target, int byte, size_t bytes);
  const char* (*record)(int device, void* stream, void** event);
  const char* (*wait)(int device, void* event);              // blocks the thread, and frees the event
  // *result becomes 1 if one of the words at `indices` reports a fault, else 0 (or stays, with `accumulate`).
  const char* (*anyFault)(int device, void* stream, const FaultWord* words, const uint16_t* indices, int count, bool accumulate, uint32_t* result);
  bool (*has)(int op);
  int64_t (*workspace)(int device, int op, const void* args, const char** refusal);   // bytes; -1 where the op refuses its arguments
  const char* (*launch)(const Launch* launch);
  const char* (*state)(int device);                          // null while the device can be used; after a sticky fault, which
};

// The only symbol of a library. Returns its table, or null and one line (of at most `bytes` bytes) that says what does not match.
using OpenLibrary = const DeviceLibrary* (*)(const char* version, uint64_t layout, char* message, size_t bytes);
inline constexpr const char* kOpenLibrary = "warpweft_open_1";   // renamed when the meaning of the table changes

}  // namespace warpweft
