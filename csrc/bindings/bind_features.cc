#include <pybind11/complex.h>

#include <algorithm>
#include <complex>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/math.h"
#include "edgevc/mfcc.h"
#include "edgevc/rfft.h"
#include "edgevc/samples.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

namespace {

using ComplexArray = Array<std::complex<float>>;

template <typename Value>
Value Named(const std::string& name, const char* setting,
            std::initializer_list<std::pair<const char*, Value>> choices) {
  std::string names;
  for (const auto& [choice, value] : choices) {
    if (name == choice) return value;
    names += (names.empty() ? "" : ", ") + std::string(choice);
  }
  throw std::invalid_argument(std::string(setting) + " must be one of " + names + ", got " + name);
}

LogMelOptions MakeOptions(int sample_rate, int win_length, int hop_length, int n_fft, const std::string& window,
                          bool remove_dc, double preemphasis, double input_scale, int n_mels, double fmin, double fmax,
                          const std::string& mel_scale, const std::string& mel_interpolation,
                          const std::string& mel_norm, double log_floor, const std::string& log_floor_mode,
                          bool primed) {
  LogMelOptions options;
  options.win_length = win_length;
  options.hop_length = hop_length;
  options.window = Named<WindowType>(window, "window", {{"hann", WindowType::kHann}, {"povey", WindowType::kPovey}});
  options.remove_dc = remove_dc;
  options.preemphasis = preemphasis;
  options.input_scale = input_scale;
  options.mel.sample_rate = sample_rate;
  options.mel.n_fft = n_fft;
  options.mel.n_mels = n_mels;
  options.mel.fmin = fmin;
  options.mel.fmax = fmax;
  options.mel.scale = Named<MelScale>(mel_scale, "mel_scale", {{"htk", MelScale::kHtk}, {"slaney", MelScale::kSlaney}});
  options.mel.interpolation = Named<MelInterpolation>(
      mel_interpolation, "mel_interpolation", {{"hertz", MelInterpolation::kHertz}, {"mel", MelInterpolation::kMel}});
  options.mel.norm = Named<MelNorm>(mel_norm, "mel_norm", {{"none", MelNorm::kNone}, {"slaney", MelNorm::kSlaney}});
  options.log_floor = log_floor;
  options.floor_mode =
      Named<LogFloor>(log_floor_mode, "log_floor_mode", {{"add", LogFloor::kAdd}, {"max", LogFloor::kMax}});
  options.primed = primed;
  return options;
}

const LogMel& Front(const LogMel& stream) { return stream; }
const LogMel& Front(const Mfcc& stream) { return stream.log_mel(); }
int Width(const LogMel& stream) { return stream.n_mels(); }
int Width(const Mfcc& stream) { return stream.n_mfcc(); }

template <typename Stream>
int64_t Run(Stream& stream, const FloatArray& samples, float* out) {
  const float* in = samples.data();
  const py::ssize_t count = samples.size();
  const ReleaseGilFor release(count);
  return stream.Process(in, count, out);
}

template <typename Stream>
FloatArray Process(Guarded<Stream>& stream, const FloatArray& samples) {
  const InUse use(stream);
  RequireShape(samples, {-1}, "samples");
  const int64_t n_bad = CountBeyond(samples.data(), samples.size(), kLargestSample);
  if (n_bad > 0) {
    throw std::invalid_argument("samples must be finite and within +-1e6, got " + std::to_string(n_bad) +
                                " that are not; clean them, or use process_into, which takes them as zeros");
  }
  FloatArray out(
      {static_cast<py::ssize_t>(Front(stream).FramesFor(samples.size())), static_cast<py::ssize_t>(Width(stream))});
  Run(stream, samples, out.mutable_data());
  return out;
}

template <typename Stream>
int64_t ProcessInto(Guarded<Stream>& stream, const FloatArray& samples, FloatArray& out) {
  const InUse use(stream);
  RequireShape(samples, {-1}, "samples");
  RequireShape(out, {-1, Width(stream)}, "out");
  const int64_t n_frames = Front(stream).FramesFor(samples.size());
  if (out.shape(0) < n_frames) {
    throw std::invalid_argument("out must have at least " + std::to_string(n_frames) + " rows for " +
                                std::to_string(samples.size()) + " samples, got " + ShapeText(out));
  }
  float* rows = out.mutable_data();
  if (Overlap(samples.data(), samples.size(), rows, out.size())) {
    throw std::invalid_argument("out must not overlap samples");
  }
  return Run(stream, samples, rows);
}

template <typename Stream>
int64_t FramesFor(const Guarded<Stream>& stream, int64_t n_samples) {
  const InUse use(stream);
  if (n_samples < 0 || n_samples > int64_t{1} << 40) {
    throw std::invalid_argument("n_samples must be in [0, 2**40], got " + std::to_string(n_samples));
  }
  return Front(stream).FramesFor(n_samples);
}

template <typename Stream>
void BindStream(py::class_<Guarded<Stream>>& binding) {
  binding.def("process", &Process<Stream>, py::arg("samples").noconvert())
      .def("process_into", &ProcessInto<Stream>, py::arg("samples").noconvert(), py::arg("out").noconvert())
      .def("frames_for", &FramesFor<Stream>, py::arg("n_samples"))
      .def("reset", OneThread(&Stream::Reset))
      .def("__copy__", &Copy<Stream>)
      .def_property_readonly("samples_in",
                             [](const Guarded<Stream>& self) {
                               const InUse use(self);
                               return Front(self).samples_in();
                             })
      .def_property_readonly("n_bad_samples", [](const Guarded<Stream>& self) {
        const InUse use(self);
        return Front(self).n_bad_samples();
      });
}

FloatArray Filterbank(const Guarded<LogMel>& self) {
  const MelFilterbank& bank = self.filterbank();
  FloatArray dense({bank.n_mels(), bank.bins()});
  const std::vector<float> weights = bank.Dense();
  std::copy(weights.begin(), weights.end(), dense.mutable_data());
  return dense;
}

FloatArray Window(const Guarded<LogMel>& self) {
  const std::vector<float> window = self.Window();
  return FloatArray(static_cast<py::ssize_t>(window.size()), window.data());
}

ComplexArray Forward(Rfft& self, const FloatArray& signal) {
  RequireShape(signal, {self.size()}, "signal");
  const size_t bins = Index(self.bins());
  std::vector<float> real(bins), imag(bins);
  self.Forward(signal.data(), real.data(), imag.data());
  ComplexArray spectrum(self.bins());
  for (size_t bin = 0; bin < bins; ++bin) spectrum.mutable_data()[bin] = {real[bin], imag[bin]};
  return spectrum;
}

FloatArray Inverse(Rfft& self, const ComplexArray& spectrum) {
  RequireShape(spectrum, {self.bins()}, "spectrum");
  const size_t bins = Index(self.bins());
  std::vector<float> real(bins), imag(bins);
  for (size_t bin = 0; bin < bins; ++bin) {
    real[bin] = spectrum.data()[bin].real();
    imag[bin] = spectrum.data()[bin].imag();
  }
  FloatArray signal(self.size());
  self.Inverse(real.data(), imag.data(), signal.mutable_data());
  return signal;
}

LifterType LifterNamed(const std::string& name) {
  return Named<LifterType>(
      name, "lifter_type",
      {{"none", LifterType::kNone}, {"kaldi", LifterType::kKaldi}, {"librosa", LifterType::kLibrosa}});
}

}  // namespace

void BindFeatures(py::module_& module) {
  py::class_<LogMelOptions>(module, "LogMelOptions")
      .def(py::init(&MakeOptions), py::kw_only(), py::arg("sample_rate"), py::arg("win_length"), py::arg("hop_length"),
           py::arg("n_fft"), py::arg("window"), py::arg("remove_dc"), py::arg("preemphasis"), py::arg("input_scale"),
           py::arg("n_mels"), py::arg("fmin"), py::arg("fmax"), py::arg("mel_scale"), py::arg("mel_interpolation"),
           py::arg("mel_norm"), py::arg("log_floor"), py::arg("log_floor_mode"), py::arg("primed"));

  py::class_<Guarded<LogMel>> log_mel(module, "LogMel");
  log_mel.def(py::init<const LogMelOptions&>(), py::arg("options"))
      .def_property_readonly("filterbank", &Filterbank)
      .def_property_readonly("window", &Window);
  BindStream(log_mel);

  py::class_<Guarded<Mfcc>> mfcc(module, "Mfcc");
  mfcc.def(py::init([](const LogMelOptions& options, int n_mfcc, const std::string& lifter_type, double lifter) {
             return std::make_unique<Guarded<Mfcc>>(MfccOptions{options, n_mfcc, LifterNamed(lifter_type), lifter});
           }),
           py::arg("options"), py::kw_only(), py::arg("n_mfcc"), py::arg("lifter_type"), py::arg("lifter"));
  BindStream(mfcc);

  py::class_<Rfft>(module, "Rfft")
      .def(py::init<int>(), py::arg("size"))
      .def_property_readonly("size", &Rfft::size)
      .def_property_readonly("bins", &Rfft::bins)
      .def("forward", &Forward, py::arg("signal").noconvert())
      .def("inverse", &Inverse, py::arg("spectrum").noconvert());
}

}  // namespace edgevc
