#include "array_checks.h"
#include "bindings.h"
#include "edgevc/samples.h"

namespace py = pybind11;

namespace edgevc {

void BindSamples(py::module_& module) {
  module.def(
      "count_beyond",
      [](const FloatArray& samples, float limit) {
        RequireShape(samples, {-1}, "samples");
        return CountBeyond(samples.data(), samples.size(), limit);
      },
      py::arg("samples").noconvert(), py::arg("limit"), "How many of (T,) samples are not finite or beyond +-limit.");
  module.def(
      "scale_and_clip",
      [](FloatArray& samples, float gain) {
        RequireShape(samples, {-1}, "samples");
        ScaleAndClip(samples.mutable_data(), samples.size(), gain);
      },
      py::arg("samples").noconvert(), py::arg("gain"),
      "Multiplies (T,) finite samples and limits them to +-1, in place.");
}

}  // namespace edgevc
