// The entry of a device library and its table, as the addon uses them: here the emulator's.
#include <cstring>
#include <string>

#include "ops/layout.hpp"
#include "test_context.hpp"

extern "C" const warpweft::DeviceLibrary* warpweft_open_1(const char* version, uint64_t layout, char* message, size_t bytes);

using namespace warpweft;
using test::expect;

namespace {

std::string refusal(const char* version, uint64_t layout) {
  char message[512] = "";
  return warpweft_open_1(version, layout, message, sizeof message) ? "" : message;
}

void testEntry() {
  const uint64_t layout = layoutOfOps();
  expect(refusal(WARPWEFT_VERSION, layout).empty(), "a library that matches is refused: %s", refusal(WARPWEFT_VERSION, layout).c_str());
  const std::string version = refusal("99.0.0", layout), ops = refusal(WARPWEFT_VERSION, layout ^ 1);
  expect(version == "it is of version " WARPWEFT_VERSION ", the addon of version 99.0.0: install @warpweft/cuda-linux-x64@99.0.0", "another version reads: %s", version.c_str());
  expect(ops.find("its ops are not those of the addon") == 0 && ops.find('\n') == std::string::npos, "other ops read: %s", ops.c_str());
  char short_[8];
  warpweft_open_1("99.0.0", layout, short_, sizeof short_);
  expect(std::strlen(short_) == 7, "the message is longer than its memory");
}

FaultWord* noWord(void*) { return nullptr; }

void testTable() {
  char message[512];
  const DeviceLibrary& library = *warpweft_open_1(WARPWEFT_VERSION, layoutOfOps(), message, sizeof message);
  const char* why = nullptr;
  expect(library.count(&why) == 2 && !why, "the emulator has %d devices: %s", library.count(&why), why ? why : "");
  void* stream = nullptr;
  expect(!library.openStream(1, &stream), "no stream");
  auto* p = static_cast<float*>(library.reserve(1, 1000));
  expect(p && reinterpret_cast<uintptr_t>(p) % 256 == 0, "memory of the device is not aligned");
  Fill fill{};
  fill.y.data = p;
  fill.y.rank = 1;
  fill.y.sizes[0] = 250;
  fill.y.strides[0] = 1;
  fill.y.dtype = DType::f32;
  fill.value = 3;
  const Launch launch{1, opIndex<Fill>, stream, &fill, nullptr, nullptr, nullptr, noWord};
  const char* error = library.launch(&launch);
  expect(!error && p[0] == 3 && p[249] == 3, "fill: %s, %g", error ? error : "no error", static_cast<double>(p[249]));
  float back = 0;
  expect(!library.copy(1, stream, &back, p + 249, 4) && back == 3, "a copy brought %g", static_cast<double>(back));

  FaultWord words[4];
  std::memset(words, 0xFF, sizeof words);
  words[2] = {5, 7, 3, ~0u, ~0u};
  const uint16_t sound[] = {0, 1}, faulty[] = {3, 2};
  uint32_t any = 9;
  library.anyFault(1, stream, words, sound, 2, false, &any);
  expect(any == 0, "sound words are faulty");
  library.anyFault(1, stream, words, faulty, 2, true, &any);
  expect(any == 1, "a fault was overlooked");
  library.anyFault(1, stream, words, sound, 2, true, &any);
  expect(any == 1, "a fault was forgotten");
  expect(!library.has(-1) && !library.has(kOpCount) && library.has(opIndex<Fill>), "the table is open at its ends");
  library.release(1, p);
}

}  // namespace

int main() {
  testEntry();
  testTable();
  return test::report("device library");
}
