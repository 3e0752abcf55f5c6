# The front door. `make run` and `make test` need Debian's python3 (3.11 or later), python3-venv, python3-dev, gcc, libc6-dev, make.
# Everything they install goes to .venv; VENV=DIR and PYTHON=python3.12 choose others.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA_DIR ?= data
ARGS ?=
JOBS := $(shell nproc 2>/dev/null || echo 1)
CONFORMANCE := $(wildcard tests/conformance/requirements.txt)
WITH_TESTS := .[test,conformance]
PYTHON_FILES := src tests tools setup.py $(wildcard benchmarks)

# pip retries a broken download itself; a whole step is tried three times.
PIP := $(BIN)/python -m pip --disable-pip-version-check --retries 5 --timeout 60 install -q
try = n=1; until $(1); do [ $$n -ge 3 ] && exit 1; n=$$((n+1)); echo "once more: $(1)" >&2; sleep 3; done

SOURCES := $(shell find src -name '*.py' -o -name '*.pxd')
TEST_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help run build test test-compiled test-interpreted lint format bench torture annotate docs clean

help:  ## show this
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# ---- what the others stand on

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "Posthouse needs Python 3.11 or later: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Posthouse needs Python 3.11 or later; $(PYTHON) is older: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); echo "Python cannot make a virtual environment: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# The package itself, linked to src (`pip install -e`), with what it needs; kernels are built apart.
$(VENV)/.package: $(VENV)/.made pyproject.toml
	@echo "installing into $(VENV) ..."
	@$(call try,$(PIP) 'setuptools>=77' 'cython>=3.1' wheel)
	@$(call try,POSTHOUSE_BUILD=pure $(PIP) --no-build-isolation -e .)
	@touch $@

$(VENV)/.kernels: $(VENV)/.package setup.py $(SOURCES)
	@echo "building the kernels ..."
	@$(BIN)/python setup.py -q build_ext --inplace --parallel $(JOBS)
	@touch $@

$(VENV)/.test: $(VENV)/.package $(CONFORMANCE)
	@echo "installing what the tests need ..."
	@$(call try,POSTHOUSE_BUILD=pure $(PIP) --no-build-isolation -e '$(WITH_TESTS)' $(addprefix -r ,$(CONFORMANCE)))
	@touch $@

$(VENV)/.lint: $(VENV)/.package
	@$(call try,POSTHOUSE_BUILD=pure $(PIP) --no-build-isolation -e '.[lint]')
	@touch $@

# ---- what people call

build: $(VENV)/.kernels  ## virtual environment and kernels

run: $(VENV)/.kernels  ## start a broker on ./data (ARGS="--amqp-port 0 ...")
	@exec $(BIN)/posthouse start --data-dir $(DATA_DIR) $(ARGS)

# The unit and property suites run twice, on the same sources: kernels interpreted (with bounds checks), then,
# with everything else, compiled. Both runs happen even if the first fails; the last lines are pytest's summary.
test: $(VENV)/.kernels $(VENV)/.test  ## everything, with kernels interpreted and compiled
	@status=0; $(MAKE) -s test-interpreted || status=1; $(MAKE) -s test-compiled || status=1; exit $$status

test-interpreted: $(VENV)/.kernels $(VENV)/.test
	@echo "unit and property tests, kernels interpreted"
	@POSTHOUSE_KERNELS=interpreted $(BIN)/python -m pytest -q $(wildcard tests/unit tests/property) $(TEST_FLAGS)

test-compiled: $(VENV)/.kernels $(VENV)/.test
	@echo "all tests, kernels compiled"
	@$(BIN)/python -m pytest -q tests $(TEST_FLAGS)

lint: $(VENV)/.package $(VENV)/.lint  ## ruff, mypy --strict, layers, house rules
	@$(BIN)/ruff check $(PYTHON_FILES)
	@$(BIN)/ruff format --check $(PYTHON_FILES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/tidy.py

format: $(VENV)/.lint  ## rewrite the sources as ruff wants them
	@$(BIN)/ruff check --fix $(PYTHON_FILES)
	@$(BIN)/ruff format $(PYTHON_FILES)

bench: $(VENV)/.kernels  ## measure, beside RabbitMQ where it is installed (ARGS="--scenarios A16 ...")
	@$(BIN)/python benchmarks/run.py $(ARGS)

torture: $(VENV)/.kernels $(VENV)/.test  ## the long tests (ARGS="--list", ARGS="kill --units 2")
	@$(BIN)/python -m tests.torture $(ARGS)

annotate: $(VENV)/.package  ## Cython's annotated pages of the kernels, under src
	@POSTHOUSE_ANNOTATE=1 $(BIN)/python setup.py -q build_ext --inplace
	@find src -name '*.html'

docs: $(VENV)/.kernels  ## write the generated reference pages anew
	@$(BIN)/python tools/generate_config_reference.py

clean:  ## remove everything that was built (not ./data)
	@rm -rf build dist .venv src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src \( -name '*.so' -o -name '*.html' -o -name '__pycache__' \) -prune -exec rm -rf {} +
	@for kernel in $$(find src -name '*.pxd'); do rm -f $${kernel%.pxd}.c; done
