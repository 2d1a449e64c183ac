#pragma once
#include <cstdarg>
#include <string>
#include <tuple>

#include "runtime/view.hpp"

// How an op describes itself: a struct of arguments, the list of its fields, and check(), which accepts or refuses shapes. The binding template
// (addon/bind.hpp), the TypeScript declarations and the recorded queue entry are all derived from that list.
namespace warpweft {

// A refused argument. Turned into the TypeScript class that belongs to the code.
struct OpError { const char* code; std::string message; };

template <class Class, class Type> struct Field {
  using type = Type;
  const char* name;
  Type Class::*member;
  bool optional;
};

// `name` is what errors and the TypeScript declaration call the argument.
template <class C, class T> constexpr Field<C, T> arg(const char* name, T C::*member) { return {name, member, false}; }
// An argument that may be absent (handle 0).
template <class C, class T> constexpr Field<C, T> optional(const char* name, T C::*member) { return {name, member, true}; }

template <class... F> constexpr auto fields(F... f) { return std::tuple<F...>{f...}; }

// The checks of memory safety. Each throws OpError with a message that names op and argument, what was expected and what came.
class Check {
 public:
  explicit Check(const char* op) : op_(op) {}

  [[noreturn]] [[gnu::format(printf, 4, 5)]] void fail(const char* code, const char* argument, const char* format, ...) const;
  [[noreturn]] [[gnu::format(printf, 3, 4)]] void shape(const char* argument, const char* format, ...) const;

  void rank(const char* argument, const View& v, int rank) const;
  void rankAtLeast(const char* argument, const View& v, int rank) const;
  // Exactly these sizes, whatever the strides. Absent optional arguments pass in all of the checks.
  void sizes(const char* argument, const View& v, std::initializer_list<int64_t> sizes) const;
  void sameSizes(const char* argument, const View& v, const char* other, const View& w) const;
  void dtype(const char* argument, const View& v, std::initializer_list<DType> accepted) const;
  void sameDtype(const char* argument, const View& v, const char* other, const View& w) const;
  void floating(const char* argument, const View& v) const;   // float32, float16 or bfloat16
  void index(const char* argument, const View& v) const;      // int32 or int64
  // No gaps at all: element i lies at data[i].
  void contiguous(const char* argument, const View& v) const;
  // Elements of a row are adjacent and rows are equally spaced (View::rowStride).
  void rows(const char* argument, const View& v) const;
  // Writable: no two index tuples share an element (a broadcast view cannot be written).
  void writable(const char* argument, const View& v) const;
  // sizes + dtype + contiguous, the usual demand on small arguments and statistics.
  void is(const char* argument, const View& v, std::initializer_list<int64_t> sizes, DType dtype) const;
  void range(const char* argument, double value, double low, double high) const;   // low <= value <= high, not NaN

 private:
  const char* op_;
};

std::string describe(const View& v);   // "float32 [2, 3, 4]"

}  // namespace warpweft
