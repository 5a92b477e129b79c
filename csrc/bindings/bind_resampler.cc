#include "bindings.h"

namespace edgevc {

void BindResampler(pybind11::module_&) {}

}  // namespace edgevc
