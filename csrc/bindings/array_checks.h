// Checks on arrays that come from Python, with the rule and the value in the message: rank, shape, alignment, overlap.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgevc {

// C-contiguous; bind with py::arg(...).noconvert() so that other dtypes are refused, not copied.
template <typename Value>
using Array = pybind11::array_t<Value, pybind11::array::c_style>;
using FloatArray = Array<float>;

using Shape = std::initializer_list<pybind11::ssize_t>;

// NumPy's words for a shape; -1 is any length.
template <typename Lengths>
std::string ShapeText(const Lengths& lengths, size_t n_axes) {
  std::string text;
  for (pybind11::ssize_t length : lengths) {
    text += text.empty() ? "(" : ", ";
    text += length < 0 ? "any" : std::to_string(length);
  }
  return (n_axes ? text : "(") + (n_axes == 1 ? ",)" : ")");
}

inline std::string ShapeText(const pybind11::array& array) {
  const auto n_axes = static_cast<size_t>(array.ndim());
  return ShapeText(std::vector<pybind11::ssize_t>(array.shape(), array.shape() + n_axes), n_axes);
}

// expected: one length per axis, -1 for any. Throws std::invalid_argument, which Python sees as ValueError, where the
// array has another shape, or lies at an address where the processor need not be able to read its values. Allocates
// nothing otherwise: it runs about 20 times per hop.
template <typename Value>
void RequireShape(const Array<Value>& array, Shape expected, const char* name) {
  const auto fits = [](pybind11::ssize_t wanted, pybind11::ssize_t found) { return wanted < 0 || wanted == found; };
  const bool matches = array.ndim() == static_cast<pybind11::ssize_t>(expected.size()) &&
                       std::equal(expected.begin(), expected.end(), array.shape(), fits);
  if (!matches) {
    throw std::invalid_argument(std::string(name) + " must have shape " + ShapeText(expected, expected.size()) +
                                ", got " + ShapeText(array));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(array.data());
  if (address % alignof(Value) != 0) {
    throw std::invalid_argument(std::string(name) + " must begin at a multiple of " + std::to_string(alignof(Value)) +
                                " bytes, got an address " + std::to_string(address % alignof(Value)) +
                                " beyond one; pass " + name + ".copy()");
  }
}

// Whether two pieces of memory share a place. std::less orders pointers into different arrays, where < need not.
inline bool Overlap(const float* a, pybind11::ssize_t n_a, const float* b, pybind11::ssize_t n_b) {
  const std::less<const float*> before;
  return before(a, b + n_b) && before(b, a + n_a);
}

}  // namespace edgevc
