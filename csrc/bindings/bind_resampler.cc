#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/resampler.h"

namespace py = pybind11;

namespace edgevc {

namespace {

FloatArray Process(Resampler& self, const FloatArray& samples) {
  RequireShape(samples, {-1}, "samples");
  const int64_t n_in = samples.size();
  FloatArray out(static_cast<py::ssize_t>(self.NextOutput(n_in)));
  const float* src = samples.data();
  float* dst = out.mutable_data();
  {
    py::gil_scoped_release release;
    self.Process(src, n_in, dst);
  }
  return out;
}

int64_t ProcessInto(Resampler& self, const FloatArray& samples, FloatArray& out) {
  RequireShape(samples, {-1}, "samples");
  RequireShape(out, {-1}, "out");
  const int64_t n_in = samples.size();
  if (out.size() < self.NextOutput(n_in)) {
    throw std::invalid_argument("out must hold " + std::to_string(self.NextOutput(n_in)) + " samples, got " +
                                std::to_string(out.size()));
  }
  const float* src = samples.data();
  float* dst = out.mutable_data();
  if (src < dst + out.size() && dst < src + n_in) throw std::invalid_argument("out must not overlap samples");
  py::gil_scoped_release release;
  return self.Process(src, n_in, dst);
}

FloatArray Flush(Resampler& self) {
  FloatArray out(static_cast<py::ssize_t>(self.FlushOutput()));
  float* dst = out.mutable_data();
  {
    py::gil_scoped_release release;
    self.Flush(dst);
  }
  return out;
}

int64_t MaxOutput(const Resampler& self, int64_t n_in) {
  if (n_in < 0 || n_in > int64_t{1} << 40) {
    throw std::invalid_argument("n_in must be in [0, 2**40], got " + std::to_string(n_in));
  }
  return self.MaxOutput(n_in);
}

}  // namespace

void BindResampler(py::module_& module) {
  py::class_<Resampler>(module, "Resampler")
      .def(py::init<int, int>(), py::arg("from_rate"), py::arg("to_rate"))
      .def_property_readonly("from_rate", &Resampler::from_rate)
      .def_property_readonly("to_rate", &Resampler::to_rate)
      .def_property_readonly("up", &Resampler::up)
      .def_property_readonly("down", &Resampler::down)
      .def_property_readonly("taps", &Resampler::taps)
      .def_property_readonly("latency", &Resampler::latency)
      .def_property_readonly("samples_in", &Resampler::samples_in)
      .def_property_readonly("replaced_samples", &Resampler::replaced_samples)
      .def("max_output", &MaxOutput, py::arg("n_in"))
      .def("process", &Process, py::arg("samples").noconvert())
      .def("process_into", &ProcessInto, py::arg("samples").noconvert(), py::arg("out").noconvert())
      .def("flush", &Flush)
      .def("reset", &Resampler::Reset);
}

}  // namespace edgevc
