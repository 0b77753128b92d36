# make demo: set up .venv and run the demonstration; make test: set up and run the tests;
# make docs: build the site; make wheel: build the packages, install and try the light one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed

.PHONY: demo test check lint docs wheel clean

demo: $(STAMP)
	$(BIN)/hybridface demo --resume

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test docs wheel

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# A venv of its own without extras: what an ordinary user of a finished model has.
wheel: $(STAMP)
	rm -rf build/light dist
	$(BIN)/python -m hatchling build -d dist
	PYTHONPATH=tests $(BIN)/python -c 'import pathlib, tiny_models as t; \
	    t.write_model(pathlib.Path("dist/tiny.onnx"), {"expression": t.EXPRESSIONS})'
	$(PYTHON) -m venv build/light
	build/light/bin/python -m pip install --quiet dist/*.whl
	build/light/bin/hybridface --version
	build/light/bin/hybridface --help >/dev/null
	build/light/bin/hybridface predict docs/pictures --no-detect --model dist/tiny.onnx
	! build/light/bin/python -c 'import torch' 2>/dev/null
	build/light/bin/hybridface train configs/drawn.yaml 2>&1 | grep -F 'hybridface[train]'

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
