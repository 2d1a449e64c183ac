#pragma once
#include <node_api.h>

#include <atomic>

#include "runtime/device.hpp"
#include "runtime/session.hpp"

namespace warpweft::addon {

// What belongs to one evaluation of the TypeScript layer: its session, the way back to its JavaScript thread, and its error classes. Lives until every function
// that refers to it has been collected and every read has come back.
class Environment {
 public:
  // makeError(code, message) returns the error to throw; settle(id, buffer, code, message) ends a read or a fence.
  // Both are held weakly: the object that open() returns holds them, so that an evaluation that nobody refers to can be collected.
  Environment(napi_env env, napi_value makeError, napi_value settle);

  // JavaScript's thread only, as everything here but the running of tasks.
  void retain() { references_++; }
  void release();

  void requireOpen() const { if (closed_) throw OpError{"ERR_DISPOSED", "the environment of this tensor is shutting down"}; }
  void raise(napi_env env, const OpError& error);

  // Queues a copy of a contiguous tensor to the host; settle(id, …) follows. Without a tensor: a fence.
  void read(napi_env env, Session::Handle handle, double id);
  void fence(napi_env env, Device& device, double id);

  // Drops what is queued, waits for the op that runs, and frees every tensor. Called when the JavaScript environment ends, or nothing refers to this any more.
  void close();

  Session session;

 private:
  struct Completion;
  class ReadTask;
  class ReadDone;
  ~Environment() = default;
  void expect(napi_env env);
  void post(Completion* completion);
  static void atEnvironmentEnd(void* data);
  static void deliver(napi_env env, napi_value callback, void* context, void* data);

  napi_env env_;
  int references_ = 1;
  int pending_ = 0;       // reads under way: while there are any the event loop stays alive
  bool closed_ = false;
  napi_ref makeError_ = nullptr, settleFunction_ = nullptr;
  napi_threadsafe_function settle_ = nullptr;
};

}  // namespace warpweft::addon
