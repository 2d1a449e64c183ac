#include "addon/environment.hpp"

#include <cstring>

namespace warpweft::addon {

// What a read or a fence brings back. Memory that nobody else has, so that neither a later op nor the end of the environment disturbs it.
struct Environment::Completion {
  Environment* environment;
  double id;
  bool hasData = false;
  HostBuffer data;
  std::shared_ptr<const Fault> fault;
};

// The copy is over: on the device's thread, or the one that waits for the device.
class Environment::ReadDone final : public Task {
 public:
  ReadDone(Environment& environment, Device& device, std::shared_ptr<const Fault> fault, std::unique_ptr<Completion> completion, bool fence)
      : Task(&environment.session), environment_(environment), device_(device), fault_(std::move(fault)), completion_(std::move(completion)), fence_(fence) {}

  void run() override {
    if (!completion_->fault) completion_->fault = fence_ ? session->takeFault() : device_.confirmed(fault_);
    if (!completion_->fault) completion_->fault = device_.failure();
    if (completion_->fault) session->reported(completion_->fault);
    environment_.post(completion_.release());
  }

 private:
  Environment& environment_;
  Device& device_;
  std::shared_ptr<const Fault> fault_;
  std::unique_ptr<Completion> completion_;
  bool fence_;
};

// Starts the copy, on the device's thread.
class Environment::ReadTask final : public Task {
 public:
  ReadTask(Environment& environment, Device& device, Storage* storage, const void* data, size_t bytes, double id)
      : Task(&environment.session), environment_(environment), device_(device), storage_(storage), data_(data), bytes_(bytes), id_(id) {
    if (storage_) storage_->retain();
  }
  ~ReadTask() override { if (storage_) storage_->release(); }

  void run() override {
    std::unique_ptr<Completion> completion(new Completion{&environment_, id_, storage_ != nullptr, storage_ ? HostBuffer(device_, bytes_) : HostBuffer(), nullptr});
    const bool fits = !storage_ || completion->data.data();
    if (!fits) completion->fault = std::make_shared<Fault>(Fault{"ERR_OUT_OF_MEMORY", "the host has no memory to read " + std::to_string(bytes_) + " bytes into"});
    void* target = completion->data.data();
    device_.download(target, data_, fits ? bytes_ : 0,
                     std::make_unique<ReadDone>(environment_, device_, storage_ ? storage_->fault : nullptr, std::move(completion), !storage_));
  }

 private:
  Environment& environment_;
  Device& device_;
  Storage* storage_;
  const void* data_;
  size_t bytes_;
  double id_;
};

Environment::Environment(napi_env env, napi_value makeError, napi_value settle) : env_(env) {
  napi_create_reference(env, makeError, 0, &makeError_);
  napi_create_reference(env, settle, 0, &settleFunction_);
  napi_value name;
  napi_create_string_utf8(env, "warpweft", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, deliver, &settle_);
  napi_unref_threadsafe_function(env, settle_);
  napi_add_env_cleanup_hook(env, atEnvironmentEnd, this);
}

void Environment::atEnvironmentEnd(void* data) { static_cast<Environment*>(data)->close(); }

void Environment::release() {
  if (--references_ > 0) return;
  if (!closed_) {
    napi_remove_env_cleanup_hook(env_, atEnvironmentEnd, this);
    close();
  }
  delete this;
}

void Environment::raise(napi_env env, const OpError& error) {
  napi_value make = nullptr, receiver, arguments[2], made;
  napi_get_reference_value(env, makeError_, &make);
  napi_get_undefined(env, &receiver);
  napi_create_string_utf8(env, error.code, NAPI_AUTO_LENGTH, &arguments[0]);
  napi_create_string_utf8(env, error.message.c_str(), error.message.size(), &arguments[1]);
  if (!make || napi_call_function(env, receiver, make, 2, arguments, &made) != napi_ok) {
    bool thrown = false;
    napi_is_exception_pending(env, &thrown);
    if (!thrown) napi_throw_error(env, error.code, error.message.c_str());
    return;
  }
  napi_throw(env, made);
}

void Environment::expect(napi_env env) {
  retain();
  if (pending_++ == 0) napi_ref_threadsafe_function(env, settle_);
}

void Environment::read(napi_env env, Session::Handle handle, double id) {
  const Session::Record& r = session.at(handle, "read", "x");
  Check("read").contiguous("x", r.view);
  Device& device = r.storage->device;
  auto* task = new ReadTask(*this, device, r.storage, r.view.data, static_cast<size_t>(r.view.numel() * sizeOf(r.view.dtype)), id);
  expect(env);
  device.submit(task);
}

void Environment::fence(napi_env env, Device& device, double id) {
  expect(env);
  device.submit(new ReadTask(*this, device, nullptr, nullptr, 0, id));
}

void Environment::post(Completion* completion) {
  // Refused only while the environment ends; then nobody waits.
  if (napi_call_threadsafe_function(settle_, completion, napi_tsfn_nonblocking) != napi_ok) delete completion;
}

void Environment::deliver(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Completion> completion(static_cast<Completion*>(data));
  if (!env) return;
  Environment& environment = *completion->environment;
  if (--environment.pending_ == 0 && !environment.closed_) napi_unref_threadsafe_function(env, environment.settle_);
  napi_value settle = nullptr;
  if (!environment.closed_) napi_get_reference_value(env, environment.settleFunction_, &settle);
  environment.release();
  if (!settle) return;
  napi_value arguments[4], receiver;
  napi_get_undefined(env, &receiver);
  napi_create_double(env, completion->id, &arguments[0]);
  napi_get_null(env, &arguments[1]);
  napi_get_null(env, &arguments[2]);
  napi_get_null(env, &arguments[3]);
  if (completion->fault) {
    napi_create_string_utf8(env, completion->fault->code.c_str(), NAPI_AUTO_LENGTH, &arguments[2]);
    napi_create_string_utf8(env, completion->fault->message.c_str(), NAPI_AUTO_LENGTH, &arguments[3]);
  } else if (completion->hasData) {
    void* target = nullptr;
    napi_value buffer;
    const size_t bytes = completion->data.bytes();
    if (napi_create_arraybuffer(env, bytes, &target, &buffer) == napi_ok) {
      if (bytes) std::memcpy(target, completion->data.data(), bytes);
      arguments[1] = buffer;
    } else {
      napi_value ignored;
      napi_get_and_clear_last_exception(env, &ignored);
      napi_create_string_utf8(env, "ERR_OUT_OF_MEMORY", NAPI_AUTO_LENGTH, &arguments[2]);
      napi_create_string_utf8(env, "JavaScript has no memory for the values of this tensor", NAPI_AUTO_LENGTH, &arguments[3]);
    }
  }
  napi_call_function(env, receiver, settle, 4, arguments, nullptr);
}

void Environment::close() {
  if (closed_) return;
  closed_ = true;
  // First everything that waits, on all devices: what runs on one may wait for what is queued on another.
  for (int i = 0; i < deviceCount(); i++) deviceAt(i).drop(&session);
  for (int i = 0; i < deviceCount(); i++) deviceAt(i).settle(&session);
  session.clear();
  napi_release_threadsafe_function(settle_, napi_tsfn_abort);
}

}  // namespace warpweft::addon
