#include <node_api.h>

#include <string>

#include "addon/arguments.hpp"
#include "addon/transfers.hpp"
#include "runtime/accelerator.hpp"
#include "runtime/child.hpp"
#include "runtime/pool.hpp"

// What the addon offers besides ops: tensors, reads, memory, and the description of the ops from which the TypeScript declarations are made.
namespace warpweft::addon {
namespace {

// alloc(dtype, device, rank, ...sizes) -> handle
napi_value alloc(Arguments& a) {
  const DType dtype = dtypeAt(a, 0);
  Device& device = deviceAt(static_cast<int>(a.integerAt(1, "device")));
  const int rank = a.rank(2);
  int64_t sizes[kMaxRank];
  for (int d = 0; d < rank; d++) sizes[d] = a.integerAt(3 + static_cast<size_t>(d), "size");
  return toJs(a.env, a.environment.session.create(dtype, device, rank, sizes));
}

// view(handle, offset, rank, ...sizes, ...strides) -> handle
napi_value view(Arguments& a) {
  const int rank = a.rank(2);
  int64_t sizes[kMaxRank], strides[kMaxRank];
  for (int d = 0; d < rank; d++) {
    sizes[d] = a.integerAt(3 + static_cast<size_t>(d), "size");
    strides[d] = a.integerAt(3 + static_cast<size_t>(rank + d), "stride");
  }
  return toJs(a.env, a.environment.session.view(a.handle(0), a.integerAt(1, "offset"), rank, sizes, strides));
}

napi_value share(Arguments& a) { return toJs(a.env, a.environment.session.share(a.handle(0))); }
napi_value destroy(Arguments& a) { a.environment.session.destroy(a.handle(0)); return nullptr; }
// destroyMany(handles, count): the first `count` of a Float64Array
napi_value destroyMany(Arguments& a) {
  bool typed = false;
  napi_is_typedarray(a.env, a.at(0), &typed);
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (typed) napi_get_typedarray_info(a.env, a.at(0), &type, &length, &data, nullptr, nullptr);
  const int64_t count = a.integerAt(1, "count");
  if (type != napi_float64_array || count < 0 || static_cast<size_t>(count) > length)
    throw OpError{"ERR_CONFIG", "destroyMany: expected a Float64Array of at least " + std::to_string(count) + " handles"};
  for (int64_t i = 0; i < count; i++) a.environment.session.destroy(static_cast<const double*>(data)[i]);
  return nullptr;
}
napi_value version(Arguments& a) { return toJs(a.env, a.environment.session.at(a.handle(0), "version", "x").storage->version); }

// overlap(a, b) -> 0 disjoint, 1 the same elements in the same order, 2 anything else
napi_value overlapOf(Arguments& a) {
  const Session::Record &x = a.environment.session.at(a.handle(0), "overlap", "a"), &y = a.environment.session.at(a.handle(1), "overlap", "b");
  return toJs(a.env, x.storage != y.storage ? 0 : static_cast<double>(static_cast<int>(overlap(x.view, y.view))));
}

// write(handle, typedArray): the bytes of a whole contiguous tensor
napi_value write(Arguments& a) {
  const Session::Record& r = a.environment.session.at(a.handle(0), "write", "x");
  Check("write").contiguous("x", r.view);
  const auto [data, bytes] = bytesAt(a, 1);
  const size_t expected = static_cast<size_t>(r.view.numel() * sizeOf(r.view.dtype));
  if (bytes != expected)
    throw OpError{"ERR_SHAPE", "write: " + std::to_string(bytes) + " bytes given for " + describe(r.view) + ", expected " + std::to_string(expected)};
  r.storage->version++;
  Device& device = r.storage->device;
  if (!bytes) return nullptr;
  if (!device.writeNow(*r.storage, r.view.data, data, bytes)) device.submit(new WriteTask(&a.environment.session, r.storage, r.view.data, data, bytes));
  return nullptr;
}

// transfer(from, to): the elements of a whole contiguous tensor to one of another device, in the order of both queues
napi_value transfer(Arguments& a) {
  Session& session = a.environment.session;
  const Session::Record &x = session.at(a.handle(0), "transfer", "x"), &y = session.at(a.handle(1), "transfer", "y");
  const Check check("transfer");
  check.contiguous("x", x.view);
  check.contiguous("y", y.view);
  check.sameSizes("y", y.view, "x", x.view);
  check.sameDtype("y", y.view, "x", x.view);
  Device &from = x.storage->device, &to = y.storage->device;
  if (&from == &to) throw OpError{"ERR_DEVICE", "transfer: both tensors are on " + from.name};
  const size_t bytes = static_cast<size_t>(x.view.numel() * sizeOf(x.view.dtype));
  y.storage->version++;
  auto state = std::make_shared<Transfer>();
  state->buffer = HostBuffer(&from == &cpuDevice() ? to : from, bytes);
  if (!state->buffer.data()) throw OpError{"ERR_OUT_OF_MEMORY", "transfer: the host has no memory for a copy of " + std::to_string(bytes) + " bytes"};
  from.submit(new Departure(&session, state, x.storage, x.view.data, bytes));
  to.submit(new Landing(&session, state, y.storage, y.view.data, bytes));
  return nullptr;
}

napi_value read(Arguments& a) {
  a.environment.read(a.env, a.handle(0), number(a.env, a.at(1), "id"));
  return nullptr;
}

void throwFault(Session& session, const std::shared_ptr<const Fault>& fault) {
  if (!fault) return;
  session.reported(fault);
  throw OpError{fault->code == "ERR_INDEX" ? "ERR_INDEX" : fault->code == "ERR_OUT_OF_MEMORY" ? "ERR_OUT_OF_MEMORY" : "ERR_DEVICE", fault->message};
}

napi_value readSync(Arguments& a) {
  const Session::Record& r = a.environment.session.at(a.handle(0), "read", "x");
  Check("read").contiguous("x", r.view);
  Device& device = r.storage->device;
  const size_t bytes = static_cast<size_t>(r.view.numel() * sizeOf(r.view.dtype));
  void* target = nullptr;
  napi_value buffer;
  if (napi_create_arraybuffer(a.env, bytes, &target, &buffer) != napi_ok) return nullptr;
  throwFault(a.environment.session, device.read(*r.storage, target, r.view.data, bytes));
  throwFault(a.environment.session, device.failure());
  return buffer;
}

napi_value fence(Arguments& a) {
  a.environment.fence(a.env, deviceAt(static_cast<int>(a.integerAt(0, "device"))), number(a.env, a.at(1), "id"));
  return nullptr;
}

napi_value synchronize(Arguments& a) {
  Device& device = deviceAt(static_cast<int>(a.integerAt(0, "device")));
  device.synchronize();
  throwFault(a.environment.session, a.environment.session.takeFault());
  throwFault(a.environment.session, device.failure());
  return nullptr;
}

napi_value reset(Arguments& a) {
  deviceAt(static_cast<int>(a.integerAt(0, "device"))).reset();
  a.environment.session.takeFault();
  return nullptr;
}

// memory(device) -> JSON
napi_value memory(Arguments& a) {
  Device& device = deviceAt(static_cast<int>(a.integerAt(0, "device")));
  const Session::Usage& s = a.environment.session.usage(device);
  const Allocator::Statistics all = device.allocator().statistics();
  return toJs(a.env, "{\"tensors\":" + std::to_string(s.tensors) + ",\"bytes\":" + std::to_string(s.bytes) + ",\"peakBytes\":" + std::to_string(s.peakBytes) +
                         ",\"reservedBytes\":" + std::to_string(all.reserved) + ",\"allocatedBytes\":" + std::to_string(all.live) + ",\"limitBytes\":" +
                         std::to_string(device.allocator().limit()) + "}");
}

napi_value resetPeak(Arguments& a) {
  Device& device = deviceAt(static_cast<int>(a.integerAt(0, "device")));
  a.environment.session.resetPeak(device);
  device.allocator().resetPeak();
  return nullptr;
}

// trim(device): gives cached memory back to the system.
napi_value trim(Arguments& a) {
  Device& device = deviceAt(static_cast<int>(a.integerAt(0, "device")));
  device.synchronize();
  device.allocator().trim();
  return nullptr;
}

napi_value describeDevice(Arguments& a) { return toJs(a.env, deviceAt(static_cast<int>(a.integerAt(0, "device"))).describe()); }
napi_value threads(Arguments& a) {
  if (a.count > 0) {
    cpuDevice().synchronize();
    Pool::instance().limit(static_cast<int>(a.integerAt(0, "threads")));
  }
  return toJs(a.env, Pool::instance().threads());
}

napi_value startProfile(Arguments& a) {
  a.environment.session.profile.start();
  return nullptr;
}
napi_value stopProfile(Arguments& a) { return toJs(a.env, a.environment.session.profile.stop()); }
napi_value peak(Arguments& a) { return toJs(a.env, cpuPeak(a.environment.session)); }

std::string text(Arguments& a, size_t i, const char* what) {
  size_t length = 0;
  if (napi_get_value_string_utf8(a.env, a.at(i), nullptr, 0, &length) != napi_ok) throw OpError{"ERR_CONFIG", std::string(what) + " is not a text"};
  std::string s(length, '\0');
  napi_get_value_string_utf8(a.env, a.at(i), s.data(), length + 1, &length);
  return s;
}

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

// openLibrary(file) -> JSON: its versions, its devices (from index 1 on), and the ops that it lacks
napi_value openLibrary(Arguments& a) {
  const int devices = openDeviceLibrary(text(a, 0, "file"));
  std::string names, missing;
  const auto append = [](std::string& list, const std::string& item) {
    if (!list.empty()) list += ',';
    list += quoted(item);
  };
  for (int i = 1; i <= devices; i++) append(names, deviceAt(i).describe());
#define X(Op) if (!deviceAt(1).has(opIndex<Op>)) append(missing, Op::name);
  WARPWEFT_OPS(X)
#undef X
  return toJs(a.env, std::string("{\"versions\":").append(quoted(libraryVersions())).append(",\"devices\":[").append(names).append("],\"missing\":[").append(missing).append("]}"));
}

// openedLibrary() -> the file that another session of this process has opened, or an empty text
napi_value openedLibrary(Arguments& a) { return toJs(a.env, libraryPath()); }

// runChild(milliseconds, program, ...arguments) -> what it wrote, or null if it did not end well in that time
napi_value runChildProcess(Arguments& a) {
  std::vector<std::string> command;
  for (size_t i = 1; i < a.count; i++) command.push_back(text(a, i, "argument"));
  if (command.empty()) throw OpError{"ERR_CONFIG", "runChild: no program is given"};
  const ChildOutput output = runChild(command, static_cast<int>(a.integerAt(0, "milliseconds")));
  napi_value none;
  napi_get_null(a.env, &none);
  return output.ended && output.status == 0 ? toJs(a.env, output.text) : none;
}

template <class Op> std::string describeOp() {
  std::string s = std::string("{\"name\":\"") + Op::name + "\",\"fields\":[";
  bool first = true;
  std::apply([&](const auto&... f) {
    ((s += std::string(first ? "" : ",") + "{\"name\":\"" + f.name + "\",\"kind\":\"" + Kind<typename std::decay_t<decltype(f)>::type>::name + "\",\"optional\":" +
           (f.optional ? "true" : "false") + "}", first = false), ...);
  }, Op::fields());
  return s + "]}";
}

// The ops and their fields as JSON: what lib/tensor/nativeOps.ts is generated from.
napi_value describeOps(napi_env env, napi_callback_info) {
  std::string s = "[";
#define X(Op) s += std::string(s.size() > 1 ? "," : "") + describeOp<Op>();
  WARPWEFT_OPS(X)
#undef X
  return toJs(env, s + "]");
}

struct Method { const char* name; napi_callback callback; };

const Method kMethods[] = {
    {"alloc", wrapped<alloc>}, {"view", wrapped<view>}, {"share", wrapped<share>}, {"destroy", wrapped<destroy>}, {"destroyMany", wrapped<destroyMany>},
    {"version", wrapped<version>}, {"overlap", wrapped<overlapOf>}, {"write", wrapped<write>}, {"transfer", wrapped<transfer>}, {"read", wrapped<read>}, {"readSync", wrapped<readSync>},
    {"fence", wrapped<fence>}, {"synchronize", wrapped<synchronize>}, {"reset", wrapped<reset>}, {"memory", wrapped<memory>}, {"resetPeak", wrapped<resetPeak>},
    {"trim", wrapped<trim>}, {"describeDevice", wrapped<describeDevice>}, {"threads", wrapped<threads>},
    {"startProfile", wrapped<startProfile>}, {"stopProfile", wrapped<stopProfile>}, {"peak", wrapped<peak>},
    {"openLibrary", wrapped<openLibrary>}, {"openedLibrary", wrapped<openedLibrary>}, {"runChild", wrapped<runChildProcess>},
#define X(Op) {Op::name, call<Op>},
    WARPWEFT_OPS(X)
#undef X
};

// open(makeError, settle) -> an object with the functions of one session.
napi_value open(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value callbacks[2], result;
  napi_get_cb_info(env, info, &count, callbacks, nullptr, nullptr);
  napi_valuetype types[2] = {napi_undefined, napi_undefined};
  for (size_t i = 0; i < count; i++) napi_typeof(env, callbacks[i], &types[i]);
  if (types[0] != napi_function || types[1] != napi_function) {
    napi_throw_type_error(env, "ERR_CONFIG", "open: expected two functions");
    return nullptr;
  }
  try {
    cpuDevice();
  } catch (const OpError& error) {
    napi_throw_error(env, error.code, error.message.c_str());
    return nullptr;
  }
  auto* environment = new Environment(env, callbacks[0], callbacks[1]);
  napi_create_object(env, &result);
  for (const Method& m : kMethods) {
    napi_value function;
    napi_create_function(env, m.name, NAPI_AUTO_LENGTH, m.callback, environment, &function);
    environment->retain();
    napi_add_finalizer(env, function, environment, [](napi_env, void* data, void*) { static_cast<Environment*>(data)->release(); }, nullptr, nullptr);
    napi_set_named_property(env, result, m.name, function);
  }
  // Held from JavaScript, so that native code need not.
  napi_set_named_property(env, result, "makeError", callbacks[0]);
  napi_set_named_property(env, result, "settle", callbacks[1]);
  environment->release();
  return result;
}

}  // namespace

napi_value initialize(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "open", NAPI_AUTO_LENGTH, open, nullptr, &function);
  napi_set_named_property(env, exports, "open", function);
  napi_create_function(env, "describe", NAPI_AUTO_LENGTH, describeOps, nullptr, &function);
  napi_set_named_property(env, exports, "describe", function);
  return exports;
}

}  // namespace warpweft::addon

NAPI_MODULE_INIT() { return warpweft::addon::initialize(env, exports); }
