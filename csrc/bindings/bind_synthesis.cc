#include "bindings.h"

namespace edgevc {

void BindSynthesis(pybind11::module_&) {}

}  // namespace edgevc
