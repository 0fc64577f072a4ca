# `make` alone lists the targets. Everything is installed into .venv; nothing outside the repository is touched.
PYTHON ?= python3
STUDY ?= data/studies/demo.yml
# Extra flags for `costlib run`, e.g. make report FLAGS=--fresh
FLAGS ?=
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup report report-full test test-all lint format lab dictionary example clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv and install costlib with its demo model and development tools

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "costlib needs Python 3.11 or newer, this is %s; try: make PYTHON=python3.11" % sys.version.split()[0])'
	@echo "Setting up .venv (a few minutes the first time)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	@touch $(READY)

report: setup  ## measure what is missing and write reports/demo
	$(BIN)/costlib run $(STUDY) $(FLAGS)

report-full: STUDY = full
report-full: report  ## the same at full depth: more precisions, tasks, engines and tokens (about an hour on two cores)

test: setup  ## run the test suite (about 10 minutes on two cores)
	$(BIN)/python -m pytest -m "not slow" -n 2

test-all: setup  ## run every test, the slow ones too
	$(BIN)/python -m pytest -n 2

lint: setup  ## style, types, direction of flow between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: setup  ## open JupyterLab in this folder, at the first notebook
	$(BIN)/jupyter lab --ServerApp.root_dir=. notebooks/00_start_here.ipynb

dictionary: setup  ## write the data dictionary, data/README.md, from costlib/tables
	$(BIN)/python -m costlib.tables

example: setup  ## write the committed reports/example from data/store, with its picture (needs Chromium)
	$(BIN)/costlib report $(STUDY) --out reports/example
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,1330 \
		--screenshot=reports/example/portfolio.png "file://$(CURDIR)/reports/example/portfolio.html"

clean:  ## remove .venv, caches and generated reports; measurements in data/store stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find reports -mindepth 1 -maxdepth 1 ! -name example -exec rm -rf {} +
