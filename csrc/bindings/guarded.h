// What lets other Python threads run during a call, and keeps them away from the object that it works on.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace edgevc {

// Lets the GIL go while it lives. pybind11's own ends the process where a thread is still in it when Python ends:
// Python then ends the thread by an exception, which must be let through the destructor.
class ReleaseGil {
 public:
  ReleaseGil() : state_(PyEval_SaveThread()) {}
  ~ReleaseGil() noexcept(false) { PyEval_RestoreThread(state_); }

  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;

 private:
  PyThreadState* state_;
};

// Lets the GIL go while more samples than this are worked on. A few hops take less time than another thread may keep
// the GIL once it was let go (5 ms by default), so work on fewer keeps it.
class ReleaseGilFor {
 public:
  static constexpr int64_t kKeepSamples = 2000;

  explicit ReleaseGilFor(int64_t n_samples) {
    if (n_samples > kKeepSamples) state_ = PyEval_SaveThread();
  }
  // as ReleaseGil's
  ~ReleaseGilFor() noexcept(false) {
    if (state_ != nullptr) PyEval_RestoreThread(state_);
  }

  ReleaseGilFor(const ReleaseGilFor&) = delete;
  ReleaseGilFor& operator=(const ReleaseGilFor&) = delete;

 private:
  PyThreadState* state_ = nullptr;
};

// A class of the core as Python gets it: with a flag that says whether a call is at work on the object.
template <typename Object>
class Guarded : public Object {
 public:
  using Object::Object;
  explicit Guarded(const Object& object) : Object(object) {}

 private:
  friend class InUse;
  mutable std::atomic<bool> in_use_{false};
};

// Marks an object as in use while it lives. Throws std::runtime_error, which Python sees as RuntimeError, where it is
// in use already: without the GIL a second thread would write into the same state. Make it before ReleaseGilFor.
class InUse {
 public:
  template <typename Object>
  explicit InUse(const Guarded<Object>& object) : InUse(object.in_use_, object) {}

  // object only gives its name to the message.
  template <typename Object>
  InUse(std::atomic<bool>& flag, const Object&) : flag_(flag) {
    if (flag_.exchange(true, std::memory_order_acquire)) {
      const auto name = pybind11::type::of<Object>().attr("__name__").template cast<std::string>();
      throw std::runtime_error("this " + name + " is in use by another thread; give each thread an object of its own");
    }
  }

  ~InUse() { flag_.store(false, std::memory_order_release); }

  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  std::atomic<bool>& flag_;
};

// A method as a function that only one thread at a time may be in.
template <typename Object, typename Result, typename... Arguments>
auto OneThread(Result (Object::*method)(Arguments...)) {
  return [method](Guarded<Object>& self, Arguments... arguments) -> Result {
    const InUse use(self);
    return (self.*method)(arguments...);
  };
}

template <typename Object, typename Result, typename... Arguments>
auto OneThread(Result (Object::*method)(Arguments...) const) {
  return [method](const Guarded<Object>& self, Arguments... arguments) -> Result {
    const InUse use(self);
    return (self.*method)(arguments...);
  };
}

// For __copy__.
template <typename Object>
std::unique_ptr<Guarded<Object>> Copy(const Guarded<Object>& self) {
  const InUse use(self);
  return std::make_unique<Guarded<Object>>(static_cast<const Object&>(self));
}

}  // namespace edgevc
