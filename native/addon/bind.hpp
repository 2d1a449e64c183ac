#pragma once
#include <node_api.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "addon/environment.hpp"
#include "ops/all.hpp"
#include "runtime/device.hpp"
#include "runtime/footprint.hpp"

// The one binding: reads an op's fields from the numbers that JavaScript passes, checks them, reserves the workspace, and queues the kernel.
namespace warpweft::addon {

// A field type as JavaScript sees it, and what the op does with the tensor.
template <class T> struct Kind;
template <> struct Kind<In> { static constexpr const char* name = "in"; static constexpr Role role = Role::read; };
template <> struct Kind<Out> { static constexpr const char* name = "out"; static constexpr Role role = Role::write; };
template <> struct Kind<InOut> { static constexpr const char* name = "inout"; static constexpr Role role = Role::update; };
template <> struct Kind<Grad> { static constexpr const char* name = "grad"; static constexpr Role role = Role::write; };
template <> struct Kind<InList> { static constexpr const char* name = "inList"; static constexpr Role role = Role::read; };
template <> struct Kind<InOutList> { static constexpr const char* name = "inoutList"; static constexpr Role role = Role::update; };
template <> struct Kind<double> { static constexpr const char* name = "number"; };
template <> struct Kind<int64_t> { static constexpr const char* name = "integer"; };
template <> struct Kind<bool> { static constexpr const char* name = "boolean"; };

template <class Op> concept SkipsWhenFaulty = requires { Op::skipsWhenFaulty; };
template <class Op> concept MayAlias = requires { Op::mayAlias; };

// An op that accepts arguments in several forms brings them to one before they are checked.
template <class Op> concept Settles = requires(Op& op) { op.settle(); };

// What an op knows of its work: operations where it is bound by them, bytes where its arguments say more than it touches.
template <class Op> concept CountsFlop = requires(const Op& op) { op.flop(); };
template <class Op> concept CountsBytes = requires(const Op& op) { op.bytes(); };

template <class Op> class OpTask final : public Task {
 public:
  explicit OpTask(Environment& environment) : Task(&environment.session), args{} {}
  ~OpTask() override {
    for (const Use& use : uses) use.storage->release();
  }

  void run() override {
    const Call call{opIndex<Op>, Op::name, &args, workspace, SkipsWhenFaulty<Op>, uses.data(), uses.size(), session};
    // On a GPU the work only begins here.
    if (!session->profile.on() || device->index != 0) { device->run(call); return; }
    const auto began = Profile::Clock::now();
    device->run(call);
    double bytes = -1, flop = 0;
    if constexpr (CountsBytes<Op>) bytes = args.bytes();
    if constexpr (CountsFlop<Op>) flop = args.flop();
    session->profile.add(call, began, bytes, flop);
  }

  Op args;
  Device* device = nullptr;
  void* workspace = nullptr;
  std::vector<Use> uses;
  std::vector<std::unique_ptr<View[]>> lists;
};

// Reads the arguments of one call in the order of the op's fields.
template <class Op> class Reader {
 public:
  Reader(napi_env env, Environment& environment, OpTask<Op>& task, napi_value* values) : env_(env), environment_(environment), task_(task), values_(values) {}

  template <class F> void field(const F& f) {
    using T = typename F::type;
    T& target = task_.args.*f.member;
    napi_value value = values_[position_++];
    if constexpr (std::is_same_v<T, bool>) {
      if (napi_get_value_bool(env_, value, &target) != napi_ok) refuse(f.name, "true or false");
    } else if constexpr (std::is_same_v<T, InList> || std::is_same_v<T, InOutList>) {
      list(f.name, Kind<T>::role, value, target, f.optional);
    } else {
      double number;
      if (napi_get_value_double(env_, value, &number) != napi_ok) refuse(f.name, "a number");
      if constexpr (std::is_same_v<T, double>) target = number;
      else if constexpr (std::is_same_v<T, int64_t>) {
        if (!(std::fabs(number) <= 9007199254740992.0) || number != std::floor(number)) refuse(f.name, "an integer");
        target = static_cast<int64_t>(number);
      } else {
        Role role = Kind<T>::role;
        if constexpr (std::is_same_v<T, Grad>) {
          target.accumulate = number < 0;
          if (number < 0) { number = -number; role = Role::update; }
        }
        if (number == 0) {
          if (!f.optional) throw OpError{"ERR_SHAPE", std::string(Op::name) + ": " + f.name + " is missing"};
          target.rank = -1;
        } else {
          static_cast<View&>(target) = use(f.name, number, role);
        }
      }
    }
  }

 private:
  [[noreturn]] void refuse(const char* argument, const char* expected) const {
    throw OpError{"ERR_CONFIG", std::string(Op::name) + ": " + argument + " is not " + expected};
  }

  View use(const char* argument, double handle, Role role) {
    const Session::Record& r = environment_.session.at(handle, Op::name, argument);
    if (!task_.device) task_.device = &r.storage->device;
    else if (task_.device != &r.storage->device)
      throw OpError{"ERR_DEVICE", std::string(Op::name) + ": " + argument + " is on " + r.storage->device.name + ", the arguments before it on " + task_.device->name + ". Move it with .to(device)"};
    task_.uses.push_back({r.storage, r.view, argument, role});
    r.storage->retain();
    return r.view;
  }

  template <class L> void list(const char* argument, Role role, napi_value value, L& target, bool optional) {
    bool typed = false;
    napi_is_typedarray(env_, value, &typed);
    if (!typed) {
      double number;
      if (optional && napi_get_value_double(env_, value, &number) == napi_ok && number == 0) { target = L{nullptr, 0}; return; }
      refuse(argument, "a Float64Array of tensors");
    }
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    napi_get_typedarray_info(env_, value, &type, &length, &data, nullptr, nullptr);
    if (type != napi_float64_array) refuse(argument, "a Float64Array of tensors");
    auto views = std::make_unique<View[]>(length ? length : 1);
    for (size_t i = 0; i < length; i++) views[i] = use(argument, static_cast<const double*>(data)[i], role);
    target = L{views.get(), static_cast<int64_t>(length)};
    task_.lists.push_back(std::move(views));
  }

  napi_env env_;
  Environment& environment_;
  OpTask<Op>& task_;
  napi_value* values_;
  int position_ = 0;
};

template <class Op> bool mayAlias(const char* written, const char* other) {
  if constexpr (MayAlias<Op>) {
    for (const auto& pair : Op::mayAlias)
      if (std::strcmp(pair[0], written) == 0 && std::strcmp(pair[1], other) == 0) return true;
  }
  return false;
}

// Outputs may be written (no element twice) and share no element with anything else, unless the op says that it may work in place.
template <class Op> void checkAliasing(const std::vector<Use>& uses) {
  const Check check(Op::name);
  for (size_t i = 0; i < uses.size(); i++) {
    if (uses[i].role == Role::read) continue;
    check.writable(uses[i].argument, uses[i].view);
    for (size_t j = 0; j < uses.size(); j++) {
      if (i == j || uses[i].storage != uses[j].storage || (uses[j].role != Role::read && j < i)) continue;
      const Overlap o = overlap(uses[i].view, uses[j].view);
      if (o == Overlap::none) continue;
      if (o == Overlap::identical && (mayAlias<Op>(uses[i].argument, uses[j].argument) || mayAlias<Op>(uses[j].argument, uses[i].argument))) continue;
      check.shape(uses[i].argument, "shares memory with %s; this op cannot work in place", uses[j].argument);
    }
  }
}

// Whether the op has no element to write: then there is nothing to do, even where an empty tensor has 2^40 rows that a kernel would walk.
inline bool writesNothing(const std::vector<Use>& uses) {
  for (const Use& use : uses)
    if (use.role != Role::read && use.view.numel() > 0) return false;
  return true;
}

template <class Op> napi_value call(napi_env env, napi_callback_info info) {
  constexpr auto fields = Op::fields();
  constexpr size_t count = std::tuple_size_v<decltype(fields)>;
  napi_value values[count];
  size_t given = count;
  void* data = nullptr;
  napi_get_cb_info(env, info, &given, values, nullptr, &data);
  Environment& environment = *static_cast<Environment*>(data);
  try {
    environment.requireOpen();
    if (given != count)
      throw OpError{"ERR_CONFIG", std::string(Op::name) + ": called with " + std::to_string(given) + " arguments, expected " + std::to_string(count)};
    auto task = std::make_unique<OpTask<Op>>(environment);
    task->uses.reserve(count);
    Reader<Op> reader(env, environment, *task, values);
    std::apply([&](const auto&... f) { (reader.field(f), ...); }, fields);
    if constexpr (Settles<Op>) task->args.settle();
    task->args.check(Check(Op::name));
    checkAliasing<Op>(task->uses);
    if (writesNothing(task->uses)) return nullptr;
    const size_t bytes = task->device->workspace(opIndex<Op>, Op::name, &task->args);
    void* const workspace = bytes ? task->device->allocate(bytes, Op::name) : nullptr;
    task->workspace = workspace;
    for (const Use& use : task->uses)
      if (use.role != Role::read) use.storage->version++;
    Device* device = task->device;
    device->submit(task.release());
    // Given back as soon as the op is queued: work queued later may have it, for it runs later.
    if (workspace) device->release(workspace, bytes);
  } catch (const OpError& error) {
    environment.raise(env, error);
  } catch (const std::exception& error) {
    environment.raise(env, {"ERR_OUT_OF_MEMORY", std::string(Op::name) + ": " + error.what()});
  }
  return nullptr;
}

}  // namespace warpweft::addon
