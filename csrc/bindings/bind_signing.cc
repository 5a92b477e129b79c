#include <pybind11/pybind11.h>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

#include "bindings.h"
#include "edgevc/ed25519.h"

namespace py = pybind11;

namespace edgevc {

namespace {

const uint8_t* Exactly32(const py::bytes& value, const char* name) {
  const std::string_view view = value;
  if (view.size() != 32) {
    throw std::invalid_argument(std::string(name) + " must have 32 bytes, got " + std::to_string(view.size()));
  }
  return reinterpret_cast<const uint8_t*>(view.data());
}

}  // namespace

void BindSigning(py::module_& module) {
  module.def(
      "ed25519_holds",
      [](const py::bytes& public_key, const py::bytes& r, const py::bytes& s, const py::bytes& h) {
        return Ed25519Holds(Exactly32(public_key, "public_key"), Exactly32(r, "r"), Exactly32(s, "s"),
                            Exactly32(h, "h"));
      },
      py::arg("public_key"), py::arg("r"), py::arg("s"), py::arg("h"),
      "Whether [s]B = R + [h]A on Ed25519's curve, for points and scalars of 32 bytes; h is SHA-512(R, A, message) "
      "modulo the group's order.");
}

}  // namespace edgevc
