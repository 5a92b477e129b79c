#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/ring_buffer.h"

namespace py = pybind11;

namespace edgevc {

namespace {

int64_t RequireCount(int64_t n) {
  if (n < 0) throw std::invalid_argument("n must be at least 0, got " + std::to_string(n));
  return n;
}

int64_t Write(RingBuffer& self, const FloatArray& samples) {
  RequireShape(samples, {-1}, "samples");
  const float* src = samples.data();
  const int64_t n = samples.size();
  py::gil_scoped_release release;
  return self.Write(src, n);
}

FloatArray Read(RingBuffer& self, int64_t n) {
  // Not more than is there, so that a large n allocates nothing large; more can arrive, none can vanish.
  FloatArray out(static_cast<py::ssize_t>(std::min(RequireCount(n), self.Available())));
  float* dst = out.mutable_data();
  const int64_t wanted = out.size();
  {
    py::gil_scoped_release release;
    self.Read(dst, wanted);
  }
  return out;
}

int64_t ReadInto(RingBuffer& self, FloatArray& out) {
  RequireShape(out, {-1}, "out");
  float* dst = out.mutable_data();
  const int64_t n = out.size();
  py::gil_scoped_release release;
  return self.Read(dst, n);
}

}  // namespace

void BindRingBuffer(py::module_& module) {
  py::class_<RingBuffer>(module, "RingBuffer")
      .def(py::init<int64_t>(), py::arg("capacity"))
      .def_property_readonly("capacity", &RingBuffer::capacity)
      .def_property_readonly("write_position", &RingBuffer::write_position)
      .def_property_readonly("read_position", &RingBuffer::read_position)
      .def("available", &RingBuffer::Available)
      .def("space", &RingBuffer::Space)
      .def("write", &Write, py::arg("samples").noconvert())
      .def("read", &Read, py::arg("n"))
      .def("read_into", &ReadInto, py::arg("out").noconvert())
      .def(
          "discard", [](RingBuffer& self, int64_t n) { return self.Discard(RequireCount(n)); }, py::arg("n"))
      .def("reset", &RingBuffer::Reset);
}

}  // namespace edgevc
