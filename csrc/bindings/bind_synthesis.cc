#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/overlap_add.h"
#include "edgevc/source_filter.h"
#include "edgevc/watermark.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

void BindSynthesis(py::module_& module) {
  py::class_<Guarded<OverlapAdd>>(module, "OverlapAdd")
      .def(py::init([](const FloatArray& window, int hop_length, int segment_length) {
             RequireShape(window, {-1}, "window");
             const std::vector<float> values(window.data(), window.data() + window.size());
             return std::make_unique<Guarded<OverlapAdd>>(values, hop_length, segment_length);
           }),
           py::arg("window").noconvert(), py::arg("hop_length"), py::arg("segment_length"))
      .def(
          "process",
          [](Guarded<OverlapAdd>& self, const FloatArray& segment) {
            const InUse use(self);
            RequireShape(segment, {self.segment_length()}, "segment");
            FloatArray out(self.hop_length());
            const float* in = segment.data();
            float* to = out.mutable_data();
            {
              const ReleaseGilFor release(segment.size());
              self.Process(in, to);
            }
            return out;
          },
          py::arg("segment").noconvert())
      .def("reset", OneThread(&OverlapAdd::Reset));

  py::class_<Guarded<SourceFilter>> source_filter(module, "SourceFilter");
  source_filter.attr("hop_length") = SourceFilter::kHopLength;
  source_filter.attr("n_filters") = SourceFilter::kFilters;
  source_filter.attr("watermark_db") = py::make_tuple(Watermark::kGentleStepDb, Watermark::kStepDb);
  source_filter.def(py::init<uint32_t>(), py::arg("seed") = 1)
      .def(
          "process_into",
          [](Guarded<SourceFilter>& self, const FloatArray& filters, const FloatArray& f0, FloatArray& out) {
            const InUse use(self);
            RequireShape(filters, {-1, SourceFilter::kFilters}, "filters");
            const py::ssize_t n_frames = filters.shape(0);
            RequireShape(f0, {n_frames}, "f0");
            RequireShape(out, {n_frames * SourceFilter::kHopLength}, "out");
            const float *from = filters.data(), *frequency = f0.data();
            float* to = out.mutable_data();
            const ReleaseGilFor release(out.size());
            for (py::ssize_t i = 0; i < n_frames; ++i) {
              self.Process(from + i * SourceFilter::kFilters, frequency[i], to + i * SourceFilter::kHopLength);
            }
          },
          py::arg("filters").noconvert(), py::arg("f0").noconvert(), py::arg("out").noconvert())
      .def_property_readonly("formant_ratio", OneThread(&SourceFilter::formant_ratio))
      .def(
          "set_formant_ratio",
          [](Guarded<SourceFilter>& self, double ratio) {
            const InUse use(self);
            if (!(ratio >= SourceFilter::kMinFormantRatio && ratio <= SourceFilter::kMaxFormantRatio)) {
              throw std::invalid_argument("ratio must be in [0.5, 2], got " + std::to_string(ratio));
            }
            self.SetFormantRatio(ratio);
          },
          py::arg("ratio"))
      .def_property_readonly("marked", OneThread(&SourceFilter::marked))
      .def("set_marked", OneThread(&SourceFilter::SetMarked), py::arg("marked"))
      .def_property_readonly("bad_frames", OneThread(&SourceFilter::bad_frames))
      .def("reset", OneThread(&SourceFilter::Reset))
      .def("__copy__", &Copy<SourceFilter>);

  module.def("watermark_pattern", [] {
    py::array_t<int8_t> pattern({Watermark::kPeriod, Watermark::kBands});
    auto signs = pattern.mutable_unchecked<2>();
    for (int frame = 0; frame < Watermark::kPeriod; ++frame) {
      for (int band = 0; band < Watermark::kBands; ++band) {
        signs(frame, band) = static_cast<int8_t>(Watermark::Sign(frame, band));
      }
    }
    return pattern;
  });
}

}  // namespace edgevc
