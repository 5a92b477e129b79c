#include "bindings.h"

namespace edgevc {

void BindFeatures(pybind11::module_&) {}

}  // namespace edgevc
