# Toolchain of scripts/aarch64.sh: cross-compiles for 64-bit ARM; the environment names the sysroot.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH $ENV{EDGEVC_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
# pybind11 lies outside the sysroot
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
set(CMAKE_CXX_FLAGS_INIT "-isystem $ENV{EDGEVC_SYSROOT}/usr/include")
# The target's Python, whose headers are all that an extension module needs.
set(Python_INCLUDE_DIR $ENV{EDGEVC_SYSROOT}/usr/include/python3.11 CACHE PATH "")
set(PYTHON_MODULE_EXTENSION .cpython-311-aarch64-linux-gnu.so CACHE STRING "")
