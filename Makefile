# make demo   the whole thing on this machine: a local sheet, two local shops, the service
# make test   every test, WORKERS=3 at a time
# make test-long   1,000 runs of the world machine, two at a time; seeds are random, or counted up from SHEETS_SYNC_SEED
# make lint   style, types

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
STAMPT := $(VENV)/.installed-test

# The newest Python from 3.11 on that is here; PYTHON=/path/to/python overrides it.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
DEMO_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-long lint format clean

help:
	@sed -n 's/^# make/make/p' Makefile

venv: $(STAMP)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "sheets-sync needs Python 3.11 or newer, and none was found on the PATH." \
		"Install it (Debian, Ubuntu: sudo apt-get install python3 python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment:" \
		"its venv and ensurepip modules are packaged apart. Debian, Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(STAMPT): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(STAMP)

demo: $(STAMP)
	$(BIN)/sheets-sync demo $(DEMO_ARGS)

# One more than a small machine has cores: tests of whole processes wait a good deal.
WORKERS ?= 3
# Compiled modules are kept even where the environment says no: dozens of tests start the program anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMPT)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

MACHINES ?= 1000
test-long: $(STAMPT)
	SHEETS_SYNC_MACHINE=$(MACHINES) timeout 40m $(BIN)/python -m pytest -n 2 -rP tests/test_machine_world.py tests/test_machine_finds.py $(ARGS)

lint: $(STAMPT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMPT)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
