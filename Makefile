# `make demo` and `make test` set everything up on a fresh machine and run.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
VENV := .venv
READY := $(VENV)/ready

.PHONY: demo test setup clean

demo: setup
	$(VENV)/bin/poseact demo --out demo

test: setup
	$(VENV)/bin/ruff check --no-cache .  # a cache does not see that a module is gone
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet torch
	PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet --editable '.[synthetic,export,openvino,tensorboard,dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
