# Everything a developer or a new user runs. Needs Python 3.11 or newer, git and make; the rest goes to .venv.

PYTHON ?= python3
BIN := .venv/bin
STORE ?= demo-run
ATLAS ?= demo-atlas

# One more than two cores: there is always a test that waits.
WORKERS ?= 3

.PHONY: demo test quick environment bench check format lint types imports lock clean

demo: .venv/ready
	$(BIN)/clipneuron explain --recipe demo --store $(STORE)
	$(BIN)/clipneuron atlas --recipe demo --store $(STORE) --out $(ATLAS)

# Files of tests are dealt out to that many processes, those that use the Ray cluster to one (tests/samples/marks.py).
# Compiled modules are kept, whatever the environment says: each process would compile all tests anew, for 8 s.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/pytest

test: .venv/ready
	$(PYTEST) -n $(WORKERS)

# What one runs after every edit: no Ray, no process.
quick: .venv/ready
	$(PYTEST) -n 2 -m "not process and not slow and not gpu and not weights"

# What takes minutes: the installations that the documents describe, each of a whole environment, hosts with addresses of
# their own (root), visits by a browser, jobs of a job server, and a cluster whose drivers, nodes and processes are killed.
environment: .venv/ready
	$(PYTEST) -n $(WORKERS) -m environment

# The short benchmarks, on one thread, as ratios within the run: fails where one is below its bar. Minutes.
bench: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/floors.py

check: lint types imports test environment

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

imports: .venv/ready
	$(BIN)/lint-imports

# uv installs the lock in a third of pip's time; its own version is locked in requirements/uv.lock.
.venv/ready: requirements/all.lock requirements/uv.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "clipneuron needs Python 3.11 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/all.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q clipneuron jobs
	touch $@

# After changing dependencies in pyproject.toml. No index address is written into the locks.
UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock: .venv/ready
	$(UV_COMPILE) pyproject.toml --extra dev -o requirements/all.lock
	echo "uv==0.13.9" | $(UV_COMPILE) - -o requirements/uv.lock

clean:
	rm -rf .venv demo-run demo-atlas .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
