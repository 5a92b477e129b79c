// Checks on arrays that come from Python: dtype, rank and shape, with the rule and the value in the message.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <stdexcept>
#include <string>

namespace edgevc {

// C-contiguous float32; bind with py::arg(...).noconvert() so that other dtypes are refused, not copied.
using FloatArray = pybind11::array_t<float, pybind11::array::c_style>;

inline std::string ShapeText(const FloatArray& array) {
  std::string text = "(";
  for (pybind11::ssize_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + (array.ndim() == 1 ? ",)" : ")");
}

// expected: one entry per axis, -1 for any length. Throws std::invalid_argument, which Python sees as ValueError.
inline void RequireShape(const FloatArray& array, std::initializer_list<long> expected, const char* name) {
  bool matches = array.ndim() == static_cast<pybind11::ssize_t>(expected.size());
  std::string wanted = "(";
  pybind11::ssize_t axis = 0;
  for (long length : expected) {
    if (matches && length >= 0 && array.shape(axis) != length) matches = false;
    wanted += (axis ? ", " : "") + (length < 0 ? std::string("any") : std::to_string(length));
    ++axis;
  }
  wanted += expected.size() == 1 ? ",)" : ")";
  if (!matches)
    throw std::invalid_argument(std::string(name) + " must have shape " + wanted + ", got " + ShapeText(array));
}

}  // namespace edgevc
