# `make demo` converts a sentence, `make test` runs the tests, `make core` builds the C++ core in place.
PYTHON ?= python3

.PHONY: core
core:
	cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release -Dpybind11_DIR=$$($(PYTHON) -m pybind11 --cmakedir) -DPython_EXECUTABLE=$$(command -v $(PYTHON)) >/dev/null
	cmake --build build/dev
	cmake --install build/dev --prefix . --component core
