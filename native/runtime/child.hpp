#pragma once
#include <string>
#include <vector>

namespace warpweft {

// What a child process writes to its standard output, and how it ended.
struct ChildOutput { std::string text; bool ended; int status; };   // status as of waitpid

// Runs a program with these arguments and without NODE_OPTIONS. Waits no longer than `milliseconds`: then the child is killed and left to itself, even where it hangs in the
// kernel and cannot die. Nothing that it does reaches this process. Throws OpError ERR_DEVICE if it cannot be started.
ChildOutput runChild(const std::vector<std::string>& command, int milliseconds);

}  // namespace warpweft
