#pragma once
#include "runtime/context.hpp"

namespace warpweft {

// One op of the CPU. `args` is the op's argument struct with every View resolved.
struct Entry {
  void (*launch)(const void* args, Context& context);
  size_t (*workspace)(const void* args);   // bytes of Context::workspace, or null where none is needed
};

}  // namespace warpweft
