#include "bindings.h"

namespace edgevc {

void BindPitch(pybind11::module_&) {}

}  // namespace edgevc
