#include "array_checks.h"
#include "bindings.h"
#include "edgevc/pitch_tracker.h"

namespace py = pybind11;

namespace edgevc {

namespace {

constexpr py::ssize_t kColumns = 3;

FloatArray Process(PitchTracker& self, const FloatArray& samples) {
  RequireShape(samples, {-1}, "samples");
  const py::ssize_t hop_length = self.hop_length(), length = samples.shape(0);
  if (length % hop_length != 0) {
    throw std::invalid_argument("samples must be a multiple of " + std::to_string(hop_length) + " long, got " +
                                std::to_string(length));
  }
  const py::ssize_t n_frames = length / hop_length;
  FloatArray frames({n_frames, kColumns});
  const float* in = samples.data();
  float* out = frames.mutable_data();
  {
    py::gil_scoped_release release;
    for (py::ssize_t i = 0; i < n_frames; ++i, in += hop_length, out += kColumns) {
      PitchFrame frame;
      self.Process(in, &frame);
      out[0] = frame.f0;
      out[1] = frame.periodicity;
      out[2] = frame.level;
    }
  }
  return frames;
}

}  // namespace

void BindPitch(py::module_& module) {
  py::class_<PitchTracker>(module, "PitchTracker", "Streaming F0, periodicity and level in hops of 160 samples.")
      .def(py::init<int, int, float, float>(), py::arg("sample_rate"), py::arg("hop_length") = 160,
           py::arg("f0_min") = 60.0f, py::arg("f0_max") = 500.0f)
      .def_property_readonly("sample_rate", &PitchTracker::sample_rate)
      .def_property_readonly("hop_length", &PitchTracker::hop_length)
      .def_property_readonly("f0_min", &PitchTracker::f0_min)
      .def_property_readonly("f0_max", &PitchTracker::f0_max)
      .def_property_readonly("latency", &PitchTracker::latency)
      .def("process", &Process, py::arg("samples").noconvert(),
           "(160 n,) float32 to (n, 3) float32: F0 in Hz or 0, periodicity, level in dB.")
      .def("reset", &PitchTracker::Reset)
      .def("__copy__", [](const PitchTracker& self) { return PitchTracker(self); });
}

}  // namespace edgevc
