# The commands of this project; `make help` lists them. Scripts do the work, so that each can be run alone.
#   make demo PYTHON=python3.12     another Python          make demo VENV=.venv-3.12     another environment
VENV ?= .venv
export VENV

# What an installation is made of; __pycache__ and in-place builds are not.
SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc edgevc models -type f -not -name '*.so' -not -name '*.pyc')
CORE_PYTHON := $(or $(PYTHON),$(wildcard $(VENV)/bin/python),python3)

.PHONY: everything cluster home-assistant docs demo test sanitize hostile fuzz audit lint format core aarch64 test-tools clean help

demo: $(VENV)/installed  ## convert a sentence that ships with the project into demo/, with a picture
	sh scripts/demo.sh

test: $(VENV)/installed-dev  ## the whole default test suite: C++ and bindings with sanitizers, then Python over both engines
	sh scripts/cpp_tests.sh
	sh scripts/sanitized_python.sh address
	sh scripts/sanitized_python.sh thread
	$(VENV)/bin/pytest

sanitize: $(VENV)/installed-dev  ## every test of the bindings with AddressSanitizer, and with ThreadSanitizer; some minutes
	sh scripts/sanitized_python.sh address all
	sh scripts/sanitized_python.sh thread all

lint: $(VENV)/installed-dev  ## formatting, lint and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	find csrc tests/cpp tests/fuzz -name '*.h' -o -name '*.cc' | xargs $(VENV)/bin/clang-format --dry-run -Werror
	sh scripts/clang_tidy.sh

format: $(VENV)/installed-dev  ## rewrite the files as `make lint` wants them
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	find csrc tests/cpp tests/fuzz -name '*.h' -o -name '*.cc' | xargs $(VENV)/bin/clang-format -i

docs: $(VENV)/installed-dev  ## the documentation as a site in build/site; a warning is an error
	$(VENV)/bin/python scripts/import_diagram.py --check
	# mkdocs 1 prints a notice of its successor, which is no warning about these pages
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict -q

core:  ## build the C++ core in place, for development
	cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release -Dpybind11_DIR=$$($(CORE_PYTHON) -m pybind11 --cmakedir) -DPython_EXECUTABLE=$$(command -v $(CORE_PYTHON)) >/dev/null
	cmake --build build/dev
	cmake --install build/dev --prefix . --component core

aarch64: $(VENV)/installed  ## cross-build for 64-bit ARM and convert the sentence as an emulated Raspberry Pi 4
	sh scripts/aarch64.sh

test-tools: $(VENV)/installed  ## the tests of the training toolchain; installs PyTorch into .venv-tools
	sh scripts/test_tools.sh

cluster: $(VENV)/installed  ## many files on a Ray cluster of three machines with S3-compatible storage (root); installs Ray
	sh scripts/cluster.sh

home-assistant: $(VENV)/installed-dev  ## the relay with a real Home Assistant, built once into ~/.cache/edgevc-ha (root, 1.7 GB)
	sh scripts/home_assistant/build.sh
	$(VENV)/bin/pytest tests/home_assistant

hostile: $(VENV)/installed-dev  ## a thousand models made to do harm, for both engines; writes docs/results/hostile.json
	$(VENV)/bin/python benchmarks/hostile_models.py

fuzz: $(VENV)/installed-dev  ## fuzz every reader and the C++ core for FUZZ_SECONDS each (default 20), led by coverage
	$(VENV)/bin/python -m pip install -q "$$(ls $(VENV)/wheel/edgevc-*.whl)[fuzz]"
	sh scripts/fuzz.sh $(or $(FUZZ_SECONDS),20)

everything: test cluster home-assistant hostile fuzz sanitize docs aarch64 test-tools  ## all tests in their longest form; hours, for before a release
	$(VENV)/bin/python benchmarks/live_faults.py --hours 24
	EDGEVC_RELAY_ROUNDS=20 $(VENV)/bin/pytest tests/relay/test_mqtt.py -k killed_in_the_middle

audit: $(VENV)/installed  ## look up known vulnerabilities of what is installed; asks a vulnerability database
	$(VENV)/bin/python -m pip install -q "pip-audit>=2.7"
	mkdir -p build
	$(VENV)/bin/python -m pip freeze --exclude edgevc > build/audit.txt
	# strict: a package that the database does not know is no success
	$(VENV)/bin/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off -r build/audit.txt || \
	  { echo "make audit: above stands what was found; \"not found on PyPI\" and connection errors mean that the database of pypi.org" \
	  "was not reached: try it with access to the internet" >&2; exit 1; }

clean:  ## remove everything that these commands made
	rm -rf build dist demo .venv .venv-tools .venv-cluster edgevc/_core*.so edgevc/_portaudio*.so

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 20

$(VENV)/installed: $(SOURCES)
	sh scripts/install.sh
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	sh scripts/install.sh dev
	touch $@
