# Each target makes what it needs from a bare Python 3.11 to 3.13. `make` alone lists them.

PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do command -v $$each && break; done)
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# The environment of `make test` that holds the wheel and nothing for development.
WHEEL_VENV := .venv-wheel
WHEEL = $(wildcard $(CURDIR)/dist/*.whl)

# An interpreter that has PyTorch, beside which `make bench` measures.
TORCH ?=

# The exact versions, for what builds as for what runs; `make lock` alone looks at the ranges of setup.cfg.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Quiet, as setuptools warns of every editable install.
PIP_INSTALL := PYTHONWARNINGS=ignore $(BIN)/pip install --quiet

.PHONY: help quickstart test test-all test-faults test-wheel lint docs bench wheel dist audit lock clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:
	@echo "make quickstart  train a DCGAN in minutes and look at what it draws"
	@echo "make test        the tests, but for the slow ones; then the wheel in an environment of its own"
	@echo "make test-all    all tests (an hour and more)"
	@echo "make test-faults what is killed, cut, full, broken or hostile (root mounts the full disks)"
	@echo "make lint        ruff, and mypy over the wheel"
	@echo "make docs        the documentation, into site/"
	@echo "make bench       speed, memory and growth of all models, into build/bench/ (hours; benchmarks/table.py"
	@echo "                 has --models, --parts, --quick); beside PyTorch with TORCH=/path/to/python"
	@echo "make dist        the wheel and the source archive, into dist/"
	@echo "make audit       known vulnerabilities of the locked versions, secrets among the files"
	@echo "make lock        new constraints.txt from the ranges in setup.cfg"
	@echo "make clean       removes what make made, the environments too"

$(BIN)/python $(WHEEL_VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "gmzoo needs Python 3.11, 3.12 or 3.13: none was found." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "gmzoo needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

# One environment, in layers: what runs, what develops, what documents.
$(VENV)/.run: setup.cfg constraints.txt | $(BIN)/python
	@echo "installing gmzoo and TensorFlow into $(VENV) (about 750 MB to download the first time)"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP_INSTALL) --editable '.[demo,dev,onnx,ray]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	@$(PIP_INSTALL) --editable '.[docs]'
	@touch $@

quickstart: $(VENV)/.run
	$(BIN)/gmzoo train dcgan
	$(BIN)/gmzoo sample --model dcgan --out quickstart.png --force
	@echo
	@echo "The picture of 64 samples is $(CURDIR)/quickstart.png"
	@echo "Next: $(BIN)/gmzoo list, or put the command on your path: source $(BIN)/activate"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not slow"
	@$(MAKE) --no-print-directory test-wheel

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup
	@$(MAKE) --no-print-directory test-wheel

test-faults: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) tests/faults

# Three commands from the wheel alone, away from the checkout: the shipped models, the data and all of zoo are in it.
test-wheel: wheel | $(WHEEL_VENV)/bin/python
	@$(WHEEL_VENV)/bin/pip install --quiet $(WHEEL)
	@$(WHEEL_VENV)/bin/pip install --quiet --force-reinstall --no-deps $(WHEEL)
	@set -e; gmzoo=$(CURDIR)/$(WHEEL_VENV)/bin/gmzoo; away=`mktemp -d`; trap 'rm -rf "$$away"' EXIT; cd "$$away"; set -x; \
	  $$gmzoo list; \
	  $$gmzoo info dcgan; \
	  $$gmzoo sample --model shipped:vae -n 4 --out four.png; test -s four.png

# mypy does not see zoo.cli through an editable install: it types what the wheel installs.
lint: $(VENV)/.dev wheel
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/typed
	@$(PIP_INSTALL) --no-deps --target build/typed $(WHEEL)
	cd build/typed && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
	  --cache-dir $(CURDIR)/.mypy_cache --python-executable $(CURDIR)/$(BIN)/python -p zoo

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is $(CURDIR)/site/index.html"

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/table.py $(if $(TORCH),--torch $(TORCH))

# setuptools copies through build/ and never clears it: files that were removed would be shipped.
wheel: $(VENV)/.dev
	@rm -rf build/lib build/bdist.* dist && mkdir -p build
	@$(BIN)/python -m build --no-isolation --wheel --outdir dist . > build/wheel.log 2>&1 || { cat build/wheel.log >&2; exit 1; }

dist: $(VENV)/.dev
	rm -rf build dist
	$(BIN)/python -m build --no-isolation --outdir dist .

# Hashes of data and weights are no secrets, though they look like it.
audit: $(VENV)/.dev
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --disable-plugin HexHighEntropyString

# A new environment, so that nothing installed here weighs in. pip's report names what it would install.
lock: export PIP_CONSTRAINT :=
lock: export PIP_BUILD_CONSTRAINT :=
lock: | $(BIN)/python
	@rm -rf build/lock && $(BIN)/python -m venv build/lock
	build/lock/bin/python -m pip install --quiet --dry-run --ignore-installed --report build/lock/report.json \
	  '.[demo,docs,dev,onnx,ray]'
	@build/lock/bin/python -c 'import json; \
	  found = [item["metadata"] for item in json.load(open("build/lock/report.json"))["install"]]; \
	  names = sorted(each["name"].lower() + "==" + each["version"] for each in found if each["name"] != "gmzoo"); \
	  open("constraints.txt", "w").write("\n".join(names) + "\n")'
	@rm -rf build/lock
	@echo "constraints.txt holds `wc -l < constraints.txt` versions"

clean:
	rm -rf $(VENV) $(WHEEL_VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
