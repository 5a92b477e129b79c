#include "array_checks.h"
#include "bindings.h"
#include "edgevc/pitch_tracker.h"

namespace py = pybind11;

namespace edgevc {

void BindPitch(py::module_& module) {
  static_assert(sizeof(PitchFrame) == 3 * sizeof(float), "process() returns frames as rows of three floats");
  py::class_<PitchTracker>(module, "PitchTracker", "Streaming F0, periodicity and level in hops of 160 samples.")
      .def(py::init<int, int, float, float>(), py::arg("sample_rate") = 16000, py::arg("hop_length") = 160,
           py::arg("f0_min") = 60.0f, py::arg("f0_max") = 500.0f)
      .def_property_readonly("sample_rate", &PitchTracker::sample_rate)
      .def_property_readonly("hop_length", &PitchTracker::hop_length)
      .def_property_readonly("f0_min", &PitchTracker::f0_min)
      .def_property_readonly("f0_max", &PitchTracker::f0_max)
      .def_property_readonly("latency", &PitchTracker::latency)
      .def("__copy__", [](const PitchTracker& self) { return PitchTracker(self); })
      .def(
          "process",
          [](PitchTracker& self, const FloatArray& x) {
            RequireShape(x, {-1}, "x");
            const py::ssize_t hop_length = self.hop_length();
            if (x.shape(0) % hop_length != 0) {
              throw std::invalid_argument("x must have a multiple of " + std::to_string(hop_length) +
                                          " samples, got " + std::to_string(x.shape(0)));
            }
            const py::ssize_t n_frames = x.shape(0) / hop_length;
            FloatArray out({n_frames, static_cast<py::ssize_t>(3)});
            const float* in = x.data();
            float* rows = out.mutable_data();
            {
              py::gil_scoped_release release;
              PitchFrame frame;
              for (py::ssize_t i = 0; i < n_frames; ++i) {
                self.Process(in + i * hop_length, &frame);
                rows[3 * i] = frame.f0;
                rows[3 * i + 1] = frame.periodicity;
                rows[3 * i + 2] = frame.level;
              }
            }
            return out;
          },
          py::arg("x").noconvert(), "x: (160 n,) float32. Returns (n, 3) float32: f0 in Hz, periodicity, level in dB.")
      .def("reset", &PitchTracker::Reset)
      .def_static("_tune", [](const std::string& k, float v) {
        auto& t = PitchTracker::tuning;
        if (k == "octave") t.octave = v;
        else if (k == "jump") t.jump = v;
        else if (k == "vuv") t.vuv = v;
        else if (k == "threshold") t.threshold = v;
        else if (k == "gate_db") t.gate_db = v;
        else if (k == "gate_slope") t.gate_slope = v;
        else if (k == "peak_decay") t.peak_decay = v;
        else if (k == "hp") t.hp = v;
        else if (k == "lp") t.lp = v;
        else if (k == "win") t.win = v;
        else throw std::invalid_argument(k);
      });
}

}  // namespace edgevc
