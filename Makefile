# make demo    a dialogue of several rounds on real DICOM, with the shipped checkpoint
# make panel   the Slicer module in a window of its own, with a sample study, for work on the panel
# make test    lint, types and tests
# make lint    lint and types only
# make clean   removes the virtual environment, caches and results
#
# Each makes its own virtual environment first. It needs Python >= 3.11: make PYTHON=/path/to/python3 test

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
# Newer than pyproject.toml as long as everything that it lists is installed.
INSTALLED := $(VENV)/.installed

.PHONY: demo panel test lint clean

demo: $(INSTALLED)
	$(VENV)/bin/python -m Resources.demo

panel: $(INSTALLED)
	cd Testing && ../$(VENV)/bin/python -m slicer_host

test: lint
	$(VENV)/bin/python -m pytest -q

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build out *.egg-info
	find MediRoundLib MediRoundSlicer training Testing Resources -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --disable-pip-version-check -e '.[train,test,slicer]'
	touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
