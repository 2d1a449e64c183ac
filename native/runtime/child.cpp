#include "runtime/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "runtime/op.hpp"

namespace warpweft {
namespace {

using Clock = std::chrono::steady_clock;

int remaining(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

}  // namespace

ChildOutput runChild(const std::vector<std::string>& command, int milliseconds) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
  std::vector<char*> arguments, environment;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  for (char** e = environ; *e; e++)
    if (std::strncmp(*e, "NODE_OPTIONS=", 13) != 0) environment.push_back(*e);
  environment.push_back(nullptr);

  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC)) throw OpError{"ERR_DEVICE", std::string("a pipe could not be made: ") + std::strerror(errno)};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error = posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(pipe[1]);
  if (error) {
    close(pipe[0]);
    throw OpError{"ERR_DEVICE", command[0] + " could not be started: " + std::strerror(error)};
  }

  ChildOutput result{"", false, 0};
  pollfd wanted{pipe[0], POLLIN, 0};
  for (char buffer[4096];;) {
    const int ready = poll(&wanted, 1, remaining(deadline));
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t n = ready > 0 ? read(pipe[0], buffer, sizeof buffer) : -1;
    if (n <= 0) break;   // closed by its end, or out of time
    result.text.append(buffer, static_cast<size_t>(n));
  }
  close(pipe[0]);
  // It has closed its output and is about to end, or has had its time.
  for (int i = 0; !result.ended; i++) {
    result.ended = waitpid(child, &result.status, WNOHANG) == child;
    if (result.ended || (i > 0 && remaining(deadline) == 0)) break;
    usleep(1000);
  }
  if (!result.ended) {
    kill(child, SIGKILL);
    usleep(1000);
    waitpid(child, &result.status, WNOHANG);
  }
  return result;
}

}  // namespace warpweft
