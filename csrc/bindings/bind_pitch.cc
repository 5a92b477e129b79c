#include <algorithm>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/pitch_analysis.h"
#include "edgevc/pitch_mapper.h"
#include "edgevc/pitch_tracker.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

namespace {

constexpr py::ssize_t kColumns = 3;

// One row of `width` values for each hop; `analyse` takes a hop and a row.
template <typename Analyse>
FloatArray Rows(const FloatArray& samples, py::ssize_t width, Analyse analyse) {
  RequireShape(samples, {-1}, "samples");
  constexpr py::ssize_t kHop = PitchAnalysis::kHopLength;
  const py::ssize_t length = samples.shape(0);
  if (length % kHop != 0) {
    throw std::invalid_argument("samples must be a multiple of " + std::to_string(kHop) + " long, got " +
                                std::to_string(length));
  }
  FloatArray rows({length / kHop, width});
  const float* in = samples.data();
  float* out = rows.mutable_data();
  const ReleaseGilFor release(length);
  for (py::ssize_t i = 0; i < length / kHop; ++i, in += kHop, out += width) analyse(in, out);
  return rows;
}

FloatArray Process(Guarded<PitchTracker>& self, const FloatArray& samples) {
  const InUse use(self);
  return Rows(samples, kColumns, [&self](const float* hop, float* row) {
    PitchFrame frame;
    self.Process(hop, &frame);
    row[0] = frame.f0;
    row[1] = frame.periodicity;
    row[2] = frame.level;
  });
}

FloatArray Features(const FloatArray& samples) {
  PitchAnalysis analysis;
  return Rows(samples, PitchAnalysis::kFeatures, [&analysis](const float* hop, float* row) {
    analysis.Push(hop);
    std::copy(analysis.features().begin(), analysis.features().end(), row);
  });
}

FloatArray Probabilities(const FloatArray& samples, int latency) {
  PitchAnalysis analysis(latency);
  PitchNetwork network(latency);
  return Rows(samples, PitchNetwork::kOutputs, [&](const float* hop, float* row) {
    analysis.Push(hop);
    std::copy_n(network.Process(analysis.features().data()), PitchNetwork::kOutputs, row);
  });
}

void Map(PitchMapper& self, const FloatArray& frames, FloatArray& features, FloatArray& f0) {
  RequireShape(frames, {-1, kColumns}, "frames");
  const py::ssize_t n_frames = frames.shape(0);
  RequireShape(features, {n_frames, PitchMapper::kFeatures}, "features");
  RequireShape(f0, {n_frames}, "f0");
  const float* in = frames.data();
  float *out = features.mutable_data(), *hertz = f0.mutable_data();
  for (py::ssize_t i = 0; i < n_frames; ++i, in += kColumns, out += PitchMapper::kFeatures) {
    hertz[i] = self.Process({in[0], in[1], in[2]}, out);
  }
}

}  // namespace

void BindPitch(py::module_& module) {
  module.def("pitch_features", &Features, py::arg("samples").noconvert(),
             "(160 n,) float32 to (n, 121) float32: what the pitch tracker's network hears, for its training.");
  module.def("pitch_probabilities", &Probabilities, py::arg("samples").noconvert(),
             py::arg("latency") = PitchAnalysis::kLatency,
             "(160 n,) float32 to (n, 51) float32: what the pitch tracker's network says, for its tests.");
  py::class_<Guarded<PitchTracker>>(module, "PitchTracker",
                                    "Streaming F0, periodicity and level in hops of 160 samples.")
      .def(py::init<int, int, float, float, int>(), py::arg("sample_rate"), py::arg("hop_length") = 160,
           py::arg("f0_min") = 60.0f, py::arg("f0_max") = 500.0f, py::arg("latency") = PitchAnalysis::kLatency)
      .def_property_readonly("sample_rate", &PitchTracker::sample_rate)
      .def_property_readonly("hop_length", &PitchTracker::hop_length)
      .def_property_readonly("f0_min", &PitchTracker::f0_min)
      .def_property_readonly("f0_max", &PitchTracker::f0_max)
      .def_property_readonly("latency", &PitchTracker::latency)
      .def("process", &Process, py::arg("samples").noconvert(),
           "(160 n,) float32 to (n, 3) float32: F0 in Hz or 0, periodicity, level in dB.")
      .def("reset", OneThread(&PitchTracker::Reset))
      .def("__copy__", &Copy<PitchTracker>);
  py::class_<PitchMapper> mapper(module, "PitchMapper", "Moves a melody into a voice's range, for the decoder.");
  mapper.attr("n_features") = PitchMapper::kFeatures;
  mapper.def(py::init<double, double>(), py::arg("target_log2_f0"), py::arg("semitones") = 0.0)
      .def("retarget", &PitchMapper::Retarget, py::arg("target_log2_f0"), py::arg("semitones"))
      .def("process_into", &Map, py::arg("frames").noconvert(), py::arg("features").noconvert(),
           py::arg("f0").noconvert(), "Frames (n, 3) of PitchTracker to the decoder's features (n, 4) and F0 (n,).")
      .def("__copy__", [](const PitchMapper& self) { return PitchMapper(self); });
}

}  // namespace edgevc
