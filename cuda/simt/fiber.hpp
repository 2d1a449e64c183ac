#pragma once
#include <cstddef>

// Stackful fibers: the threads of a block take turns on one thread of the system. A switch saves the registers that a call preserves (x86-64), or is
// ucontext's elsewhere. AddressSanitizer is told of every switch, so that it knows whose stack it looks at.
namespace warpweft::simt {

class Fiber {
 public:
  Fiber() = default;                              // the fiber of whoever calls: has no stack of its own
  explicit Fiber(void (*body)(Fiber&));           // starts body when it is first switched to; body never returns
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs `to` until somebody switches back to `from`.
  static void change(Fiber& from, Fiber& to);
  // Forgets what the fiber was doing: it starts afresh. What lay on its stack is not destroyed.
  void restart();

 private:
  static void enter();
  void arrived();

  void (*body_)(Fiber&) = nullptr;
  void* stack_ = nullptr;      // lowest address; the page below it faults
  size_t bytes_ = 0;
  void* state_ = nullptr;      // stack pointer, or ucontext_t
  const void* bottom_ = nullptr;   // of the stack, as AddressSanitizer wants it
  size_t size_ = 0;
  void* fakeStack_ = nullptr;
};

}  // namespace warpweft::simt
