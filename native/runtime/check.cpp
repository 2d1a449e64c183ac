#include <cstdio>

#include "runtime/footprint.hpp"
#include "runtime/op.hpp"

namespace warpweft {
namespace {

std::string formatted(const char* format, va_list arguments) {
  char buffer[512];
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  return buffer;
}

std::string list(const int64_t* sizes, int64_t rank) {
  std::string s = "[";
  for (int64_t d = 0; d < rank; d++) s += (d ? ", " : "") + std::to_string(sizes[d]);
  return s + "]";
}

}  // namespace

std::string describe(const View& v) {
  if (v.rank < 0) return "absent";
  return std::string(nameOf(v.dtype)) + " " + list(v.sizes, v.rank);
}

void Check::fail(const char* code, const char* argument, const char* format, ...) const {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  throw OpError{code, std::string(op_) + ": " + argument + " " + text};
}

void Check::shape(const char* argument, const char* format, ...) const {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  throw OpError{"ERR_SHAPE", std::string(op_) + ": " + argument + " " + text};
}

void Check::rank(const char* argument, const View& v, int rank) const {
  if (v && v.rank != rank) shape(argument, "is %s, expected %d dimensions", describe(v).c_str(), rank);
}

void Check::rankAtLeast(const char* argument, const View& v, int rank) const {
  if (v && v.rank < rank) shape(argument, "is %s, expected at least %d dimensions", describe(v).c_str(), rank);
}

void Check::sizes(const char* argument, const View& v, std::initializer_list<int64_t> sizes) const {
  if (!v) return;
  bool same = v.rank == static_cast<int32_t>(sizes.size());
  for (int d = 0; same && d < v.rank; d++) same = v.sizes[d] == sizes.begin()[d];
  if (!same) shape(argument, "is %s, expected %s", describe(v).c_str(), list(sizes.begin(), static_cast<int64_t>(sizes.size())).c_str());
}

void Check::sameSizes(const char* argument, const View& v, const char* other, const View& w) const {
  if (!v || !w) return;
  bool same = v.rank == w.rank;
  for (int d = 0; same && d < v.rank; d++) same = v.sizes[d] == w.sizes[d];
  if (!same) shape(argument, "is %s, expected the sizes of %s, which is %s", describe(v).c_str(), other, describe(w).c_str());
}

void Check::dtype(const char* argument, const View& v, std::initializer_list<DType> accepted) const {
  if (!v) return;
  std::string names;
  for (DType t : accepted) {
    if (v.dtype == t) return;
    names += (names.empty() ? "" : ", ") + std::string(nameOf(t));
  }
  fail("ERR_DTYPE", argument, "is %s, expected one of: %s", describe(v).c_str(), names.c_str());
}

void Check::sameDtype(const char* argument, const View& v, const char* other, const View& w) const {
  if (v && w && v.dtype != w.dtype)
    fail("ERR_DTYPE", argument, "is %s, expected the dtype of %s, which is %s. Convert one of them with .to(dtype)", describe(v).c_str(), other, nameOf(w.dtype));
}

void Check::floating(const char* argument, const View& v) const { dtype(argument, v, {DType::f32, DType::bf16, DType::f16}); }
void Check::index(const char* argument, const View& v) const { dtype(argument, v, {DType::i32, DType::i64}); }

void Check::contiguous(const char* argument, const View& v) const {
  if (!v) return;
  int64_t expected = 1;
  for (int d = v.rank - 1; d >= 0; d--) {
    if (v.sizes[d] != 1 && v.strides[d] != expected && v.numel() != 0) shape(argument, "%s is not contiguous, as this op needs it", describe(v).c_str());
    expected *= v.sizes[d];
  }
}

void Check::rows(const char* argument, const View& v) const {
  if (!v || v.numel() == 0) return;
  if (v.rank && v.sizes[v.rank - 1] != 1 && v.strides[v.rank - 1] != 1)
    shape(argument, "%s has a stride of %lld in its last dimension, expected adjacent elements", describe(v).c_str(), static_cast<long long>(v.strides[v.rank - 1]));
  int64_t expected = -1;
  for (int d = v.rank - 2; d >= 0; d--) {
    if (v.sizes[d] == 1) continue;
    if (expected >= 0 && v.strides[d] != expected) shape(argument, "%s has rows that are not equally spaced", describe(v).c_str());
    expected = v.strides[d] * v.sizes[d];
  }
}

void Check::writable(const char* argument, const View& v) const {
  if (v && !injective(v)) shape(argument, "%s has elements that share memory (it was broadcast or overlaps itself) and cannot be written", describe(v).c_str());
}

void Check::is(const char* argument, const View& v, std::initializer_list<int64_t> expected, DType t) const {
  sizes(argument, v, expected);
  dtype(argument, v, {t});
  contiguous(argument, v);
}

void Check::range(const char* argument, double value, double low, double high) const {
  if (!(value >= low && value <= high)) fail("ERR_CONFIG", argument, "is %g, expected a number from %g to %g", value, low, high);
}

}  // namespace warpweft
