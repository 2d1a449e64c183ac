#pragma once
// Arguments of the functions that JavaScript calls, and what they give back.
#include <node_api.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "addon/bind.hpp"

namespace warpweft::addon {

inline Environment& environmentOf(napi_env env, napi_callback_info info, size_t* count, napi_value* values) {
  void* data = nullptr;
  napi_get_cb_info(env, info, count, values, nullptr, &data);
  return *static_cast<Environment*>(data);
}

inline double number(napi_env env, napi_value value, const char* what) {
  double d;
  if (napi_get_value_double(env, value, &d) != napi_ok) throw OpError{"ERR_CONFIG", std::string(what) + " is not a number"};
  return d;
}

inline int64_t integer(napi_env env, napi_value value, const char* what) {
  const double d = number(env, value, what);
  if (!(std::fabs(d) <= 9007199254740992.0) || d != std::floor(d)) throw OpError{"ERR_SHAPE", std::string(what) + " is " + std::to_string(d) + ", expected an integer"};
  return static_cast<int64_t>(d);
}

inline napi_value toJs(napi_env env, double d) {
  napi_value v;
  napi_create_double(env, d, &v);
  return v;
}

inline napi_value toJs(napi_env env, const std::string& s) {
  napi_value v;
  napi_create_string_utf8(env, s.c_str(), s.size(), &v);
  return v;
}

// Wraps a function body (Arguments) -> napi_value with the reading of arguments and the throwing of errors.
inline constexpr size_t kMaxArguments = 4 + 2 * kMaxRank;
struct Arguments {
  napi_env env;
  Environment& environment;
  size_t count;
  napi_value values[kMaxArguments];

  double handle(size_t i) const { return number(env, at(i), "tensor"); }
  int64_t integerAt(size_t i, const char* what) const { return integer(env, at(i), what); }
  napi_value at(size_t i) const {
    if (i >= count) throw OpError{"ERR_CONFIG", "too few arguments"};
    return values[i];
  }
  int rank(size_t i) const {
    const int64_t r = integerAt(i, "rank");
    if (r < 0 || r > kMaxRank) throw OpError{"ERR_SHAPE", "a tensor has " + std::to_string(r) + " dimensions, expected at most " + std::to_string(kMaxRank)};
    return static_cast<int>(r);
  }
};

template <napi_value (*Body)(Arguments&)> napi_value wrapped(napi_env env, napi_callback_info info) {
  size_t count = kMaxArguments;
  napi_value values[kMaxArguments];
  Environment& environment = environmentOf(env, info, &count, values);
  Arguments arguments{env, environment, count < kMaxArguments ? count : kMaxArguments, {}};
  std::memcpy(arguments.values, values, sizeof values);
  try {
    environment.requireOpen();
    return Body(arguments);
  } catch (const OpError& error) {
    environment.raise(env, error);
  } catch (const std::exception& error) {
    environment.raise(env, {"ERR_OUT_OF_MEMORY", error.what()});
  }
  return nullptr;
}

inline DType dtypeAt(Arguments& a, size_t i) {
  const int64_t t = a.integerAt(i, "dtype");
  if (t < 0 || t >= kDTypeCount) throw OpError{"ERR_DTYPE", "dtype " + std::to_string(t) + " is unknown"};
  return static_cast<DType>(t);
}

// Bytes of a typed array or ArrayBuffer.
inline std::pair<const void*, size_t> bytesAt(Arguments& a, size_t i) {
  napi_value value = a.at(i);
  bool typed = false;
  napi_is_typedarray(a.env, value, &typed);
  if (!typed) throw OpError{"ERR_DTYPE", "expected a typed array"};
  napi_typedarray_type type;
  size_t length = 0, offset = 0;
  void* data = nullptr;
  napi_value buffer;
  napi_get_typedarray_info(a.env, value, &type, &length, &data, &buffer, &offset);
  const bool wide = type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array;
  const bool half = type == napi_int16_array || type == napi_uint16_array;
  const bool byte = type == napi_int8_array || type == napi_uint8_array || type == napi_uint8_clamped_array;
  return {data, length * (wide ? 8 : half ? 2 : byte ? 1 : 4)};
}

}  // namespace warpweft::addon
