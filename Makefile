# Every chore of the project as one word each: `make` alone lists them.
# It needs python3 (3.11 or newer), make and the package registries; `uv` is used when it is on the PATH.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.bedside-set-up
UV ?= $(shell command -v uv 2>/dev/null)
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$name"; break; }; done)
WORKERS ?= auto
ARGS ?=
# Passed to `make lock`: neither lock names a registry, so that each site installs from its own.
COMPILE := --universal --python-version 3.11 --generate-hashes --quiet --custom-compile-command 'make lock' \
	--no-emit-index-url --no-emit-find-links --no-emit-index-annotation

.PHONY: help setup demo test check format bench proof build lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv and install what the lock pins; quick when nothing changed
	@echo "Ready: make demo serves it, make test tries it."

$(STAMP): pyproject.toml requirements-dev.lock
	@if ! $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		if [ -z "$(PYTHON)" ]; then \
			echo "Bedside needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1 || echo absent)." >&2; \
			echo "Install a newer one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; \
		fi; \
		if [ -n "$(UV)" ]; then "$(UV)" venv --quiet --seed --clear --python "$(PYTHON)" $(VENV); \
		else "$(PYTHON)" -m venv --clear $(VENV) || { \
			echo "This python3 cannot make a virtualenv: on Debian, apt-get install python3-venv." >&2; exit 1; }; fi; \
	fi
ifneq ($(UV),)
	@"$(UV)" pip install --quiet --python $(PY) --no-deps --require-hashes --requirement requirements-dev.lock
	@"$(UV)" pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
else
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade >/dev/null
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements-dev.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@
	@echo "Set up in $(VENV): $$($(PY) --version)"

demo: $(STAMP) ## Serve the demo on http://127.0.0.1:8080 until Ctrl-C
	@$(VENV)/bin/bedside serve --demo $(ARGS)

test: $(STAMP) ## Run every test, on all cores (ARGS="-k words" for some of them)
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(STAMP) ## Check format, lint, types, the Dockerfile and the house rules
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/hadolint Dockerfile
	@$(PY) -m pytest --quiet tests/test_house.py

format: $(STAMP) ## Format the code and fix what the linter can fix
	@$(PY) -m ruff check --fix --exit-zero --quiet .
	@$(PY) -m ruff format .

bench: $(STAMP) ## Measure speed beside peers of the same run (ARGS="page --write" for one of them)
	@$(PY) -m bench $(ARGS)

proof: $(STAMP) ## Run the long campaigns in full and write their table with its date
	@BEDSIDE_PROOF=full $(PY) -m pytest -m proof -n $(WORKERS) --dist loadfile --timeout 3600 $(ARGS)

build: $(STAMP) ## Build the wheel into dist/
	@$(PY) -m build --wheel --no-isolation --outdir dist .

lock: ## Pin anew what pyproject.toml asks for (needs uv)
	@[ -n "$(UV)" ] || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	@"$(UV)" pip compile pyproject.toml --extra dev $(COMPILE) $(ARGS) -o requirements-dev.lock
	@"$(UV)" pip compile pyproject.toml --extra postgres $(COMPILE) -c requirements-dev.lock -o requirements.lock

clean: ## Remove what was built, cached or installed here
	@rm -rf $(VENV) build dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
