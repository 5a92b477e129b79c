#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "array_checks.h"
#include "bindings.h"

namespace py = pybind11;

namespace edgevc {

namespace {

// Copies between arrays that stay where they are. Python takes 1,500 instructions for each copy of a graph's state and
// there are some thirty in a hop; one call for all of them takes little more than the bytes.
class Copies {
 public:
  Copies(const std::vector<FloatArray>& targets, const std::vector<FloatArray>& sources) {
    if (targets.size() != sources.size()) {
      throw std::invalid_argument("expected as many targets as sources, got " + std::to_string(targets.size()) +
                                  " and " + std::to_string(sources.size()));
    }
    for (size_t i = 0; i < targets.size(); ++i) {
      FloatArray target = targets[i];
      const FloatArray& source = sources[i];
      if (target.size() != source.size()) {
        throw std::invalid_argument("array " + std::to_string(i) + " must be as long as its source, got " +
                                    ShapeText(target) + " and " + ShapeText(source));
      }
      copies_.push_back({target.mutable_data(), source.data(), static_cast<size_t>(target.nbytes())});
      keep_.push_back(std::move(target));
      keep_.push_back(source);
    }
  }

  // An engine may have a target and its source in the same place.
  void Run() const noexcept {
    for (const Copy& copy : copies_) std::memmove(copy.target, copy.source, copy.bytes);
  }

 private:
  struct Copy {
    float* target;
    const float* source;
    size_t bytes;
  };
  std::vector<Copy> copies_;
  // The memory lives as long as this.
  std::vector<FloatArray> keep_;
};

}  // namespace

void BindCopies(py::module_& module) {
  py::class_<Copies>(module, "Copies", "Copies between float32 arrays, made once and run many times.")
      .def(py::init<const std::vector<FloatArray>&, const std::vector<FloatArray>&>(), py::arg("targets").noconvert(),
           py::arg("sources").noconvert())
      .def("run", &Copies::Run, "Overwrites each target with its source.");
}

}  // namespace edgevc
