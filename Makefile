# make demo: set up .venv and run the demonstration; make test: set up and run the tests;
# make docs: build the site; make wheel: build the packages, install and try the light one.
PYTHON ?= python3
VENV := .venv
# A file's tests stay in one process, which makes what they share once.
TEST_PROCESSES ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed

.PHONY: demo test check lint docs wheel clean

demo: $(STAMP)
	$(BIN)/hybridface demo --resume

test: $(STAMP)
	PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32

check: lint test docs wheel

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The tests install the wheel without extras: what an ordinary user of a finished model has.
wheel: $(STAMP)
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m pytest -m slow tests/test_light_install.py

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,dev]'
	touch $(STAMP)

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[train,dev,docs]'
	touch $(DOCS_STAMP)

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache
