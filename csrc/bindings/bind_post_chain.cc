#include <stdexcept>
#include <string>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/fade_gain.h"
#include "edgevc/feedback_guard.h"
#include "edgevc/high_pass.h"
#include "edgevc/limiter.h"
#include "edgevc/peaking_eq.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

namespace {

// For what turns n samples into n samples; out may be the input.
template <typename Stream>
void ProcessInto(Guarded<Stream>& self, const FloatArray& samples, FloatArray& out) {
  const InUse use(self);
  RequireShape(samples, {-1}, "samples");
  RequireShape(out, {samples.size()}, "out");
  const float* src = samples.data();
  float* dst = out.mutable_data();
  const int64_t n = samples.size();
  if (src != dst && Overlap(src, n, dst, n)) {
    throw std::invalid_argument("out must be samples, or not overlap it");
  }
  const ReleaseGilFor release(n);
  self.Process(src, dst, n);
}

template <typename Stream>
FloatArray Process(Guarded<Stream>& self, const FloatArray& samples) {
  RequireShape(samples, {-1}, "samples");
  FloatArray out(samples.size());
  ProcessInto(self, samples, out);
  return out;
}

template <typename Stream>
py::class_<Guarded<Stream>>& BindInPlace(py::class_<Guarded<Stream>>& stream) {
  return stream.def("process", &Process<Stream>, py::arg("samples").noconvert())
      .def("process_into", &ProcessInto<Stream>, py::arg("samples").noconvert(), py::arg("out").noconvert())
      .def("reset", OneThread(&Stream::Reset));
}

}  // namespace

void BindPostChain(py::module_& module) {
  py::class_<Guarded<HighPass>> high_pass(module, "HighPass");
  BindInPlace(high_pass)
      .def(py::init<int, double>(), py::arg("sample_rate"), py::arg("cutoff") = HighPass::kCutoff)
      .def_property_readonly("sample_rate", &HighPass::sample_rate)
      .def_property_readonly("cutoff", &HighPass::cutoff)
      .def_property_readonly("replaced_samples", OneThread(&HighPass::replaced_samples))
      .def("__copy__", &Copy<HighPass>);

  py::class_<Guarded<Limiter>> limiter(module, "Limiter");
  BindInPlace(limiter)
      .def(py::init<int, double>(), py::arg("sample_rate"), py::arg("ceiling_db") = Limiter::kCeilingDb)
      .def_property_readonly("latency", &Limiter::latency)
      .def_property_readonly("ceiling", &Limiter::ceiling)
      .def_property_readonly("limited_samples", OneThread(&Limiter::limited_samples));

  py::class_<Guarded<PeakingEq>> eq(module, "PeakingEq");
  eq.attr("max_filters") = PeakingEq::kMaxFilters;
  eq.attr("max_gain_db") = PeakingEq::kMaxGainDb;
  eq.attr("min_q") = PeakingEq::kMinQ;
  eq.attr("max_q") = PeakingEq::kMaxQ;
  BindInPlace(eq)
      .def(py::init<int>(), py::arg("sample_rate"))
      .def_property_readonly("sample_rate", &PeakingEq::sample_rate)
      .def("set", OneThread(&PeakingEq::Set), py::arg("index"), py::arg("centre"), py::arg("gain_db"),
           py::arg("quality"))
      .def("clear", OneThread(&PeakingEq::Clear), py::arg("index"));

  py::class_<Guarded<FadeGain>> fade(module, "FadeGain");
  BindInPlace(fade)
      .def(py::init<int, float>(), py::arg("fade_length"), py::arg("gain") = 1.0f)
      .def_property_readonly("fade_length", &FadeGain::fade_length)
      .def_property_readonly("gain", OneThread(&FadeGain::gain))
      .def_property_readonly("target", OneThread(&FadeGain::target))
      .def_property_readonly("remaining", OneThread(&FadeGain::remaining))
      .def("set_target", OneThread(&FadeGain::SetTarget), py::arg("target"));

  py::class_<Guarded<FeedbackGuard>> guard(module, "FeedbackGuard");
  guard.attr("sample_rate") = FeedbackGuard::kSampleRate;
  guard.def(py::init<>())
      .def_property_readonly("gain", OneThread(&FeedbackGuard::gain))
      .def_property_readonly("events", OneThread(&FeedbackGuard::events))
      .def_property_readonly("correlation", OneThread(&FeedbackGuard::correlation))
      .def_property_readonly("delay", OneThread(&FeedbackGuard::delay))
      .def(
          "process",
          [](Guarded<FeedbackGuard>& self, const FloatArray& input, const FloatArray& output) {
            const InUse use(self);
            RequireShape(input, {-1}, "input");
            RequireShape(output, {input.size()}, "output");
            const float *heard = input.data(), *played = output.data();
            const int64_t n = input.size();
            const ReleaseGilFor release(n);
            return self.Process(heard, played, n);
          },
          py::arg("input").noconvert(), py::arg("output").noconvert())
      .def("reset", OneThread(&FeedbackGuard::Reset));
}

}  // namespace edgevc
