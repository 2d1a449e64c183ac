#include "runtime/session.hpp"

#include <cmath>

namespace warpweft {
namespace {

constexpr double kSlots = 16777216.0;              // 2^24
constexpr uint32_t kGenerations = 0x1FFFFFFFu;     // 2^29 - 1

void contiguousStrides(View& v) {
  int64_t stride = 1;
  for (int d = v.rank - 1; d >= 0; d--) { v.strides[d] = stride; stride *= v.sizes[d]; }
}

// Product of the sizes; throws where it does not fit.
int64_t elements(int rank, const int64_t* sizes, const char* op) {
  int64_t n = 1;
  for (int d = 0; d < rank; d++) {
    if (sizes[d] < 0 || __builtin_mul_overflow(n, sizes[d], &n) || n > (int64_t{1} << 53))
      throw OpError{"ERR_SHAPE", std::string(op) + ": size " + std::to_string(sizes[d]) + " of dimension " + std::to_string(d) + " is negative or too large"};
  }
  return n;
}

}  // namespace

void Session::clear() {
  for (Record& r : slots_)
    if (r.storage) {
      if (--r.storage->owners == 0) r.storage->device.release(r.storage->data, r.storage->bytes);
      r.storage->release();
      r.storage = nullptr;
    }
  slots_.clear();
  free_.clear();
  for (Usage& u : usage_) u.tensors = u.bytes = 0;
}

Session::Handle Session::insert(Storage* storage, const View& view) {
  uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    if (slot >= static_cast<uint32_t>(kSlots)) throw OpError{"ERR_OUT_OF_MEMORY", "more than 16777216 tensors are alive; dispose of those that are no longer needed"};
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Record& r = slots_[slot];
  r.storage = storage;
  r.view = view;
  storage->owners++;
  usage_[storage->device.index].tensors++;
  return r.generation * kSlots + slot;
}

Session::Handle Session::create(DType dtype, Device& device, int rank, const int64_t* sizes) {
  const int64_t n = elements(rank, sizes, "tensor");
  View v{};
  v.rank = rank;
  v.dtype = dtype;
  for (int d = 0; d < rank; d++) v.sizes[d] = sizes[d];
  contiguousStrides(v);
  const size_t bytes = static_cast<size_t>(n * sizeOf(dtype));
  const std::string what = "a tensor " + describe(v);
  v.data = device.allocate(bytes, what.c_str());
  Storage* storage = new Storage(device, v.data, bytes);
  Usage& u = usage_[device.index];
  u.bytes += static_cast<int64_t>(bytes);
  if (u.bytes > u.peakBytes) u.peakBytes = u.bytes;
  return insert(storage, v);
}

Session::Record& Session::at(Handle handle, const char* op, const char* argument) {
  // NaN and everything else that is not a handle fails one of these.
  if (handle >= kSlots && handle < 9007199254740992.0) {
    const double generation = std::floor(handle / kSlots);
    const double slot = handle - generation * kSlots;
    if (slot < static_cast<double>(slots_.size())) {
      Record& r = slots_[static_cast<size_t>(slot)];
      if (r.storage && r.generation == static_cast<uint32_t>(generation) && slot == std::floor(slot)) return r;
      if (slot == std::floor(slot) && static_cast<uint32_t>(generation) <= r.generation)
        throw OpError{"ERR_DISPOSED", std::string(op) + ": " + argument + " was disposed of before. Keep it out of the scope that freed it, or return it from that scope"};
    }
  }
  throw OpError{"ERR_SHAPE", std::string(op) + ": " + argument + " is not a tensor"};
}

Session::Handle Session::view(Handle of, int64_t offset, int rank, const int64_t* sizes, const int64_t* strides) {
  const Record& source = at(of, "view", "x");
  View v = source.view;
  const int64_t width = sizeOf(v.dtype), n = elements(rank, sizes, "view");
  // In 128 bits: offsets and strides may be any integers.
  __int128 high = offset;
  for (int d = 0; d < rank; d++) {
    if (strides[d] < 0) throw OpError{"ERR_SHAPE", "view: stride " + std::to_string(strides[d]) + " of dimension " + std::to_string(d) + " is negative"};
    const __int128 reach = static_cast<__int128>(sizes[d] - 1) * strides[d];
    high += sizes[d] > 0 ? reach : 0;
  }
  const __int128 start = (static_cast<const char*>(v.data) - static_cast<const char*>(source.storage->data)) / width;
  const __int128 capacity = static_cast<__int128>(source.storage->bytes) / width;
  if (n > 0 ? (start + offset < 0 || start + high >= capacity) : (start + offset < 0 || start + offset > capacity))
    throw OpError{"ERR_SHAPE", "view: the view leaves its storage"};
  v.rank = rank;
  for (int d = 0; d < rank; d++) { v.sizes[d] = sizes[d]; v.strides[d] = strides[d]; }
  v.data = static_cast<char*>(v.data) + offset * width;
  source.storage->retain();
  return insert(source.storage, v);
}

Session::Handle Session::share(Handle of) {
  const Record& source = at(of, "share", "x");
  source.storage->retain();
  return insert(source.storage, source.view);
}

void Session::destroy(Handle handle) {
  Record& r = at(handle, "dispose", "x");
  Storage* storage = r.storage;
  r.storage = nullptr;
  usage_[storage->device.index].tensors--;
  const auto slot = static_cast<uint32_t>(handle - std::floor(handle / kSlots) * kSlots);
  // A slot whose generations are used up is retired.
  if (r.generation < kGenerations) { r.generation++; free_.push_back(slot); }
  if (--storage->owners == 0) {
    usage_[storage->device.index].bytes -= static_cast<int64_t>(storage->bytes);
    storage->device.release(storage->data, storage->bytes);
  }
  storage->release();
}

void Session::report(std::shared_ptr<const Fault> fault) {
  const std::lock_guard lock(mutex_);
  if (!fault_) fault_ = std::move(fault);
}

std::shared_ptr<const Fault> Session::takeFault() {
  const std::lock_guard lock(mutex_);
  return std::move(fault_);
}

void Session::reported(const std::shared_ptr<const Fault>& fault) {
  const std::lock_guard lock(mutex_);
  if (fault_ == fault) fault_.reset();
}

}  // namespace warpweft
