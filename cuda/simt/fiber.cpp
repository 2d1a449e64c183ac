#include "cuda/simt/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define WW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WW_ASAN 1
#endif
#endif
#ifdef WW_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace warpweft::simt {
namespace {

// Redzones make frames several times larger. Pages that are never touched cost nothing.
#ifdef WW_ASAN
constexpr size_t kStackBytes = 256 * 1024;
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif

Fiber* leaving = nullptr;    // who switched last
Fiber* entering = nullptr;   // and to whom

}  // namespace

#if defined(__x86_64__)
extern "C" void warpweftSimtSwitch(void** from, void* to);
asm(R"(
.text
.globl warpweftSimtSwitch
.hidden warpweftSimtSwitch
.type warpweftSimtSwitch, @function
warpweftSimtSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size warpweftSimtSwitch, .-warpweftSimtSwitch
)");
#endif

Fiber::Fiber(void (*body)(Fiber&)) : body_(body), bytes_(kStackBytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, bytes_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page, PROT_NONE);
  stack_ = static_cast<char*>(memory) + page;
  bottom_ = stack_;
  size_ = bytes_;
  restart();
}

Fiber::~Fiber() {
#if !defined(__x86_64__)
  delete static_cast<ucontext_t*>(state_);
#endif
  if (!stack_) return;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
#ifdef WW_ASAN
  __asan_unpoison_memory_region(stack_, bytes_);
#endif
  munmap(static_cast<char*>(stack_) - page, bytes_ + page);
}

void Fiber::restart() {
#ifdef WW_ASAN
  __asan_unpoison_memory_region(stack_, bytes_);
#endif
  fakeStack_ = nullptr;
#if defined(__x86_64__)
  // Six registers of no meaning, the address that the first switch returns to, and the return address of that, 0: where unwinding ends.
  auto* top = reinterpret_cast<uint64_t*>(static_cast<char*>(stack_) + bytes_) - 1;
  *top = 0;
  *--top = reinterpret_cast<uint64_t>(&Fiber::enter);
  for (int i = 0; i < 6; i++) *--top = 0;
  state_ = top;
#else
  if (!state_) state_ = new ucontext_t;
  auto* context = static_cast<ucontext_t*>(state_);
  getcontext(context);
  context->uc_stack.ss_sp = stack_;
  context->uc_stack.ss_size = bytes_;
  context->uc_link = nullptr;
  makecontext(context, &Fiber::enter, 0);
#endif
}

void Fiber::enter() {
  Fiber* self = entering;
  self->arrived();
  self->body_(*self);
}

void Fiber::arrived() {
#ifdef WW_ASAN
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(fakeStack_, &bottom, &size);
  if (!leaving->stack_) leaving->bottom_ = bottom, leaving->size_ = size;   // the stack of a thread of the system
#endif
}

void Fiber::change(Fiber& from, Fiber& to) {
  leaving = &from;
  entering = &to;
#ifdef WW_ASAN
  __sanitizer_start_switch_fiber(&from.fakeStack_, to.bottom_, to.size_);
#endif
#if defined(__x86_64__)
  warpweftSimtSwitch(&from.state_, to.state_);
#else
  if (!from.state_) from.state_ = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from.state_), static_cast<ucontext_t*>(to.state_));
#endif
  from.arrived();
}

}  // namespace warpweft::simt
