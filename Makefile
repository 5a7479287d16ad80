# Everything runs in its own virtual environment; PYTHON chooses the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUFF := $(VENV)/lint/bin/ruff
# The site is built without Keras and TensorFlow: of the package it imports the flags alone.
SITE := 'mkdocs>=1.6,<2' 'mkdocs-material>=9.6,<10' 'mkdocstrings-python>=1.16' 'absl-py>=2.1' 'numpy>=1.26' 'pillow>=11' 'rich>=13.9'

.PHONY: demo test test-long check fmt lint types docs fuzz pythons clean

demo: $(VENV)/.installed  ## the main job, end to end, on the embedded data set
	$(BIN)/deeplab-dpc fit --hours=0.08 --workdir=demo --search --num_candidates=4 --rerank_steps=50

test: $(VENV)/.installed-test lint types  ## lint, types and all tests but the long ones
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(VENV)/.installed-test  ## the long tests: whole commands, several processes, both backends
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m long

check: $(VENV)/.installed-test lint  ## the tests of what has changed since main, but the long ones; BASE=REVISION for another
	$(BIN)/python .ci/check.py $(BASE)

fmt: $(VENV)/.installed-lint  ## formats, and mends what ruff can mend
	$(RUFF) check --fix .
	$(RUFF) format .

lint: $(VENV)/.installed-lint  ## ruff, without waiting for TensorFlow
	$(RUFF) check .
	$(RUFF) format --check .

types: $(VENV)/.installed-test  ## mypy, which needs the typed packages that the code uses
	$(BIN)/mypy

docs: $(VENV)/.installed-docs  ## the site, in build/site; a broken link or reference is an error
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --strict --quiet
	@echo "The site is build/site/index.html; its search needs a server: python -m http.server --directory build/site"

fuzz: $(VENV)/.installed-test  ## many more damaged inputs than the tests have; FUZZ_INPUTS of each kind
	FUZZ_INPUTS=$${FUZZ_INPUTS:-2000} $(BIN)/python -m pytest tests/fuzz -s

pythons:  ## the installed wheel on each Python that the machine has; PYTHONS="3.12 3.13" for some
	.ci/pythons

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python {v[0]}.{v[1]} is too old or too new: 3.11 to 3.13 is needed; make PYTHON=python3.12 ..." if not (3, 11) <= v <= (3, 13) else 0)'

$(VENV)/bin/python: | python
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-lint: pyproject.toml | python
	@$(PYTHON) -m venv $(VENV)/lint
	@$(VENV)/lint/bin/python -m pip install --quiet --disable-pip-version-check 'ruff>=0.11'
	@touch $@

$(VENV)/.installed-docs: Makefile | python
	@$(PYTHON) -m venv $(VENV)/docs
	@$(VENV)/docs/bin/python -m pip install --quiet --disable-pip-version-check $(SITE)
	@touch $@

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing deeplab_dpc with the CPU build of TensorFlow into $(VENV) ..."
	@$(PIP) --editable '.[cpu]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) --editable '.[cpu,test]'
	@touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
