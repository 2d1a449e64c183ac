#pragma once
#include <cstddef>

#include "runtime/storage.hpp"

namespace warpweft {

class Session;

// What an op does with a tensor.
enum class Role : uint8_t { read, write, update };

// One tensor that a queued op uses.
struct Use { Storage* storage; View view; const char* argument; Role role; };

// A queued op as its device runs it. `args` is the op's argument struct with every View resolved.
struct Call {
  int op;                  // index in the list of ops/all.hpp
  const char* name;
  const void* args;
  void* workspace;
  bool skipsWhenFaulty;    // optimizers: leave everything as it is when an input is faulty
  const Use* uses;
  size_t count;
  Session* session;
};

}  // namespace warpweft
