# `make demo` and `make test` set everything up on a fresh machine and run; `make demo SOURCE=video.mp4` takes yours.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
VENV := .venv
PIP := PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet

.PHONY: demo test clean

demo: $(VENV)/ready
	$(VENV)/bin/poseact demo $(if $(SOURCE),"$(SOURCE)") --out demo

test: $(VENV)/ready-to-test
	$(VENV)/bin/ruff check --no-cache .  # a cache does not see that a module is gone
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal

# What the demo needs alone: the exporters and the checks take half of the time to set up.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[synthetic]'
	touch $@

$(VENV)/ready-to-test: $(VENV)/ready
	$(PIP) --editable '.[synthetic,export,openvino,tensorboard,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
