#include "bindings.h"

namespace edgevc {

void BindRingBuffer(pybind11::module_&) {}

}  // namespace edgevc
