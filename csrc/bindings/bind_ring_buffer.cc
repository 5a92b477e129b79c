#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/ring_buffer.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

namespace {

// Two threads at a time, one on each side.
class TwoSided : public RingBuffer {
 public:
  using RingBuffer::RingBuffer;

  std::atomic<bool> writing{false}, reading{false};
};

int64_t RequireCount(int64_t n) {
  if (n < 0) throw std::invalid_argument("n must be at least 0, got " + std::to_string(n));
  return n;
}

int64_t Write(TwoSided& self, const FloatArray& samples) {
  const InUse use(self.writing, self);
  RequireShape(samples, {-1}, "samples");
  const float* src = samples.data();
  const int64_t n = samples.size();
  const ReleaseGilFor release(n);
  return self.Write(src, n);
}

FloatArray Read(TwoSided& self, int64_t n) {
  const InUse use(self.reading, self);
  // Not more than is there, so that a large n allocates nothing large; more can arrive, none can vanish.
  FloatArray out(static_cast<py::ssize_t>(std::min(RequireCount(n), self.Available())));
  float* dst = out.mutable_data();
  const int64_t wanted = out.size();
  {
    const ReleaseGilFor release(wanted);
    self.Read(dst, wanted);
  }
  return out;
}

int64_t ReadInto(TwoSided& self, FloatArray& out) {
  const InUse use(self.reading, self);
  RequireShape(out, {-1}, "out");
  float* dst = out.mutable_data();
  const int64_t n = out.size();
  const ReleaseGilFor release(n);
  return self.Read(dst, n);
}

int64_t Discard(TwoSided& self, int64_t n) {
  const InUse use(self.reading, self);
  return self.Discard(RequireCount(n));
}

void Reset(TwoSided& self) {
  const InUse writing(self.writing, self), reading(self.reading, self);
  self.Reset();
}

}  // namespace

void BindRingBuffer(py::module_& module) {
  py::class_<TwoSided>(module, "RingBuffer")
      .def(py::init<int64_t>(), py::arg("capacity"))
      .def_property_readonly("capacity", &RingBuffer::capacity)
      .def_property_readonly("write_position", &RingBuffer::write_position)
      .def_property_readonly("read_position", &RingBuffer::read_position)
      .def("available", &RingBuffer::Available)
      .def("space", &RingBuffer::Space)
      .def("write", &Write, py::arg("samples").noconvert())
      .def("read", &Read, py::arg("n"))
      .def("read_into", &ReadInto, py::arg("out").noconvert())
      .def("discard", &Discard, py::arg("n"))
      .def("reset", &Reset);
}

}  // namespace edgevc
