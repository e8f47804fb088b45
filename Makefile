# Each target works alone in a fresh clone, given python3 (3.11 or newer) and make. What a target needs is installed
# into .venv, and installed again when pyproject.toml or the sources of the compiled kernel change.

PYTHON ?= python3
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# The extras of pyproject.toml that each environment needs.
EXTRAS_demo :=
EXTRAS_test := [test]
EXTRAS_lint := [lint]
EXTRAS_bench := [test,bench]
READY := .venv/.ready-demo .venv/.ready-test .venv/.ready-lint .venv/.ready-bench

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help demo test test-clients lint types bench compare compare-peers growth flamegraph soak check-memory \
	samples regression clean
# Two targets at once would install into the same environment at once.
.NOTPARALLEL:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: .venv/.ready-demo  ## make a small capture, replay it and print the summary (offline, under a minute)
	@rm -rf demo-out
	@echo "==> Running the demonstration; what it writes goes to demo-out"
	@.venv/bin/hftcap demo --out demo-out

test: .venv/.ready-test  ## run the tests; ARGS="..." is passed to pytest, HFTCAP_CORPUS names the folder of real captures
	@echo "==> Running the tests"
	@.venv/bin/pytest -n 2 --dist loadgroup -q $(ARGS)

test-clients: .venv/.ready-test  ## let unmodified Binance clients follow a served capture; ARGS names some of them
	@echo "==> Letting clients follow a served capture"
	@.venv/bin/python tests/clients/run.py $(ARGS)

lint: .venv/.ready-lint  ## check style and formatting
	@echo "==> Checking style"
	@.venv/bin/ruff check .
	@echo "==> Checking formatting"
	@.venv/bin/ruff format --check .

types: .venv/.ready-lint  ## check types
	@echo "==> Checking types"
	@.venv/bin/mypy

bench: .venv/.ready-bench  ## run the benchmarks
	@echo "==> Running the benchmarks in bench"
	@.venv/bin/pytest bench -q $(ARGS)

compare: .venv/.ready-bench  ## hold this package against decompressing alone, dicts, and installed peers; ARGS="--cpu 1 --rounds 30"
	@.venv/bin/python bench/compare.py $(ARGS)

compare-peers: .venv/.ready-bench  ## install the peers into build/peers, each apart (1.7 GB); 'make compare' then takes them in
	@.venv/bin/python bench/peers.py

growth: .venv/.ready-bench  ## measure cost and memory as captures, symbols and books grow (some minutes)
	@.venv/bin/python bench/growth.py $(ARGS)

# A sample is over in no time, so it is replayed again and again.
flamegraph: .venv/.ready-bench  ## draw where a replay's time goes, native frames too, into build/flamegraph.svg; CAPTURE=FOLDER
	@echo "==> Sampling a replay of $(or $(CAPTURE),samples/spot)"
	@mkdir -p build
	@.venv/bin/py-spy record --native --rate 100 --format flamegraph --output build/flamegraph.svg -- \
	    .venv/bin/python -m hftcap replay $(if $(CAPTURE),"$(CAPTURE)",samples/spot --passes 200)

soak: .venv/.ready-test  ## damage captures and kill writers by the thousand, hold twenty markets (an hour); ARGS="..." goes to each script
	@echo "==> Running the soak tests in bench"
	@.venv/bin/python bench/soak_damage.py $(ARGS)
	@.venv/bin/python bench/soak_kill.py $(ARGS)
	@.venv/bin/python bench/soak_kernel.py
	@.venv/bin/python bench/soak_synth.py
	@if [ -n "$$HFTCAP_CORPUS" ]; then .venv/bin/python bench/soak_large.py; \
	    else echo "==> bench/soak_large.py needs HFTCAP_CORPUS: left out"; fi

samples: .venv/.ready-test  ## make the samples again, byte for byte; golden files that are there are held, not replaced
	@.venv/bin/python samples/make.py

regression: .venv/.ready-test  ## hold every sample against its golden file
	@HFTCAP=.venv/bin/hftcap .github/actions/regression/regression.sh samples

# The kernel is built anew, in a copy of the sources, so that the one in use stays as it is.
MEMORY := build/memory
SANITIZE := -fsanitize=address,undefined -fno-sanitize=alignment
check-memory: .venv/.ready-test  ## run the kernel's tests under the address and undefined behaviour sanitizers (gcc)
	@echo "==> Building the kernel with sanitizers in $(MEMORY)"
	@rm -rf $(MEMORY) && mkdir -p $(MEMORY)
	@cp -r setup.py pyproject.toml README.md LICENSE hftcap tests bench $(MEMORY)
	@rm -f $(MEMORY)/hftcap/*/*.so
	@.venv/bin/python -m pip install -qq 'setuptools>=77' 'cython>=3.1'
	@cd $(MEMORY) && CFLAGS="$(SANITIZE) -O1 -g" LDFLAGS="$(SANITIZE)" ../../.venv/bin/python setup.py -q build_ext --inplace
	@echo "==> Running the kernel's tests and a soak under the sanitizers"
	@cd $(MEMORY) && export PYTHONMALLOC=malloc PYTHONPATH="$$PWD" ASAN_OPTIONS=detect_leaks=0 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so):$$(gcc -print-file-name=libubsan.so)" && \
	    ../../.venv/bin/python -m pytest tests/kernel/test_compiled.py tests/kernel/test_live.py tests/kernel/test_window_levels.py \
	        tests/capture/test_compiled_block.py -q $(ARGS) && \
	    ../../.venv/bin/python bench/soak_kernel.py --messages 20000

clean:  ## remove .venv, caches and everything else the other targets made
	@echo "==> Removing .venv, caches, build products and demo-out"
	@rm -rf .venv .venv-clients .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks build dist *.egg-info demo-out
	@rm -f hftcap/*/*.so
	@find hftcap tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# An environment that is missing, half made, or of an older Python is made anew. Installing builds the compiled kernel,
# where there is a compiler, so what that is made of counts as well.
$(READY): .venv/.ready-%: pyproject.toml setup.py $(wildcard hftcap/*/*.pyx hftcap/*/native/*)
	@if ! .venv/bin/python -c 'import pip; $(IS_NEW_ENOUGH)' 2>/dev/null; then \
	    command -v "$(PYTHON)" >/dev/null || { \
	        echo "hftcap needs Python 3.11 or newer, and no program '$(PYTHON)' was found." \
	             "Install it, or name one: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	    "$(PYTHON)" -c '$(IS_NEW_ENOUGH)' || { \
	        echo "hftcap needs Python 3.11 or newer, and '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1)." \
	             "Install a newer one, or name it: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	    echo "==> Making a Python environment in .venv"; \
	    "$(PYTHON)" -m venv --clear .venv || { \
	        rm -rf .venv; \
	        echo "'$(PYTHON)' could not make an environment in .venv (the reason is above)." \
	             "On Debian and Ubuntu it needs the package python3-venv." >&2; exit 1; }; \
	fi
	@echo "==> Installing hftcap and what 'make $*' needs into .venv (the first time may take a minute)"
	@.venv/bin/python -m pip install -qq -e '.$(EXTRAS_$*)' || { \
	    echo "The packages could not be installed into .venv (the reason is above)." >&2; exit 1; }
	@touch .venv/.ready-demo $@
