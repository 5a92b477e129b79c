#include "bindings.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "edgevc's signal processing core.";
  edgevc::BindBuild(module);
  edgevc::BindCopies(module);
  edgevc::BindFeatures(module);
  edgevc::BindPitch(module);
  edgevc::BindPostChain(module);
  edgevc::BindRecognition(module);
  edgevc::BindResampler(module);
  edgevc::BindRingBuffer(module);
  edgevc::BindSamples(module);
  edgevc::BindSigning(module);
  edgevc::BindSynthesis(module);
}
