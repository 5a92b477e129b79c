// What each bind_*.cc adds to the extension module.
#pragma once

#include <pybind11/pybind11.h>

namespace edgevc {

void BindBuild(pybind11::module_& module);
void BindCopies(pybind11::module_& module);
void BindFeatures(pybind11::module_& module);
void BindPitch(pybind11::module_& module);
void BindPostChain(pybind11::module_& module);
void BindRecognition(pybind11::module_& module);
void BindResampler(pybind11::module_& module);
void BindRingBuffer(pybind11::module_& module);
void BindSamples(pybind11::module_& module);
void BindSigning(pybind11::module_& module);
void BindSynthesis(pybind11::module_& module);

}  // namespace edgevc
