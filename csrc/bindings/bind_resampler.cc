#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/adaptive_resampler.h"
#include "edgevc/resampler.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

namespace {

template <typename Stream>
FloatArray Process(Guarded<Stream>& self, const FloatArray& samples) {
  const InUse use(self);
  RequireShape(samples, {-1}, "samples");
  const int64_t n_in = samples.size();
  FloatArray out(static_cast<py::ssize_t>(self.NextOutput(n_in)));
  const float* src = samples.data();
  float* dst = out.mutable_data();
  {
    const ReleaseGilFor release(n_in);
    self.Process(src, n_in, dst);
  }
  return out;
}

template <typename Stream>
int64_t ProcessInto(Guarded<Stream>& self, const FloatArray& samples, FloatArray& out) {
  const InUse use(self);
  RequireShape(samples, {-1}, "samples");
  RequireShape(out, {-1}, "out");
  const int64_t n_in = samples.size();
  if (out.size() < self.NextOutput(n_in)) {
    throw std::invalid_argument("out must hold " + std::to_string(self.NextOutput(n_in)) + " samples, got " +
                                std::to_string(out.size()));
  }
  const float* src = samples.data();
  float* dst = out.mutable_data();
  if (Overlap(src, n_in, dst, out.size())) throw std::invalid_argument("out must not overlap samples");
  const ReleaseGilFor release(n_in);
  return self.Process(src, n_in, dst);
}

// At most the latency comes out, which is a few milliseconds.
template <typename Stream>
FloatArray Flush(Guarded<Stream>& self) {
  const InUse use(self);
  FloatArray out(static_cast<py::ssize_t>(self.FlushOutput()));
  self.Flush(out.mutable_data());
  return out;
}

int64_t RequireLength(int64_t n_in) {
  if (n_in < 0 || n_in > int64_t{1} << 40) {
    throw std::invalid_argument("n_in must be in [0, 2**40], got " + std::to_string(n_in));
  }
  return n_in;
}

// What both resamplers offer.
template <typename Stream>
py::class_<Guarded<Stream>> BindStream(py::module_& module, const char* name) {
  py::class_<Guarded<Stream>> stream(module, name);
  stream.def(py::init<int, int>(), py::arg("from_rate"), py::arg("to_rate"))
      .def_property_readonly("from_rate", &Stream::from_rate)
      .def_property_readonly("to_rate", &Stream::to_rate)
      .def_property_readonly("latency", &Stream::latency)
      .def_property_readonly("samples_in", OneThread(&Stream::samples_in))
      .def_property_readonly("replaced_samples", OneThread(&Stream::replaced_samples))
      .def(
          "max_output", [](const Guarded<Stream>& self, int64_t n_in) { return self.MaxOutput(RequireLength(n_in)); },
          py::arg("n_in"))
      .def("process", &Process<Stream>, py::arg("samples").noconvert())
      .def("process_into", &ProcessInto<Stream>, py::arg("samples").noconvert(), py::arg("out").noconvert())
      .def("flush", &Flush<Stream>)
      .def("reset", OneThread(&Stream::Reset));
  return stream;
}

int64_t NextOutput(const Guarded<AdaptiveResampler>& self, int64_t n_in) {
  const InUse use(self);
  return self.NextOutput(RequireLength(n_in));
}

void SetRatio(Guarded<AdaptiveResampler>& self, double ratio) {
  const InUse use(self);
  if (!(ratio >= AdaptiveResampler::kMinRatio && ratio <= AdaptiveResampler::kMaxRatio)) {
    throw std::invalid_argument("ratio must be in [0.98, 1.02], got " + std::to_string(ratio));
  }
  self.SetRatio(ratio);
}

}  // namespace

void BindResampler(py::module_& module) {
  BindStream<Resampler>(module, "Resampler")
      .def_property_readonly("up", &Resampler::up)
      .def_property_readonly("down", &Resampler::down)
      .def_property_readonly("taps", &Resampler::taps);
  BindStream<AdaptiveResampler>(module, "AdaptiveResampler")
      .def_property_readonly("ratio", OneThread(&AdaptiveResampler::ratio))
      .def("next_output", &NextOutput, py::arg("n_in"))
      .def("set_ratio", &SetRatio, py::arg("ratio"));
}

}  // namespace edgevc
