#pragma once
// What tests of the emulator itself need: errors that have to come, processes that have to die.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "device_test.hpp"

namespace warpweft::test {

// The message of the simt::Error that `run` throws; a failure where it throws none.
inline std::string errorOf(const char* what, const std::function<void()>& run) {
  try {
    run();
  } catch (const simt::Error& e) {
    return e.what();
  }
  expect(false, "%s: nothing was reported", what);
  return "";
}
inline void expectError(const char* what, const std::function<void()>& run, std::initializer_list<const char*> parts) {
  const std::string text = errorOf(what, run);
  for (const char* part : parts) expect(text.find(part) != std::string::npos, "%s: the report lacks \"%s\": %s", what, part, text.c_str());
}

// What `run` writes to stderr before it kills its process; a failure where it does not. For what AddressSanitizer reports.
inline std::string deathOf(const char* what, const std::function<void()>& run) {
  int ends[2];
  if (pipe(ends)) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    ::close(ends[0]);
    try {
      run();
    } catch (...) {
    }
    _exit(0);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n; (n = read(ends[0], buffer.data(), buffer.size())) > 0;) text.append(buffer.data(), static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  expect(status != 0, "%s: nothing was reported", what);
  return text;
}

inline constexpr bool kAddressSanitizer =
#ifdef __SANITIZE_ADDRESS__
    true;
#else
    false;
#endif

}  // namespace warpweft::test
