# make demo | test | test-slow | check; TORCH=cpu takes PyTorch's CPU build instead of CUDA's gigabytes.
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
  $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1 && echo $(name))))
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)

.PHONY: demo test test-slow check clean

demo: .venv/.runtime
	$(BIN)/recpoison

test: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p xdist -n 2 --dist loadfile

test-slow: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache

.venv/.python:
	@test -n "$(PYTHON)" || { echo "recpoison needs Python 3.11, 3.12 or 3.13: install one, or name it: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/.runtime: .venv/.python pyproject.toml constraints.txt
ifeq ($(TORCH),cpu)
	$(PIP) torch==$(TORCH_VERSION) --index-url https://download.pytorch.org/whl/cpu
endif
	$(PIP) -e .
	touch $@

.venv/.test: .venv/.runtime
	$(PIP) -e '.[test]'
	touch $@

.venv/.dev: .venv/.test
	$(PIP) -e '.[dev]'
	touch $@
