#include <string>

#include "bindings.h"

namespace edgevc {
namespace {

// What the compiler was allowed to use for loops over samples; every machine that loads the module has it.
std::string Simd() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__SSE2__)
  return "SSE2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "none";
#endif
}

std::string Compiler() {
#if defined(__clang__)
  return __VERSION__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return "unknown";
#endif
}

pybind11::dict BuildInfo() {
  pybind11::dict info;
  info["simd"] = Simd();
  info["compiler"] = Compiler();
#if defined(__OPTIMIZE__)
  info["optimized"] = "yes";
#else
  info["optimized"] = "no";
#endif
  return info;
}

}  // namespace

void BindBuild(pybind11::module_& module) {
  module.def("build_info", &BuildInfo, "How this module was compiled: simd, compiler, optimized.");
}

}  // namespace edgevc
