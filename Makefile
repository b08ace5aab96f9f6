# Verbs of the project. `make demo` and `make test` need only CPython 3.11+ with venv; each does all its own set-up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS ?= dev
STAMP  := $(VENV)/.installed-$(EXTRAS)

.PHONY: help install demo check lint test bench clean
help:            ## List the verbs.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Rerank Fleet needs Python 3.11 or later, this is {v[0]}.{v[1]}: set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

install: $(STAMP)  ## Create the virtual environment and install.

demo: EXTRAS = demo
demo:            ## Rerank real text through a real fleet on this machine.
	@$(MAKE) --no-print-directory install EXTRAS=$(EXTRAS)
	@$(BIN)/rerank-fleet demo

check: $(STAMP)  ## Lint, format check and types; writes nothing.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint: $(STAMP)   ## Mend what the linter and formatter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: check      ## Checks, then the whole suite against a real server and the real model.
	$(BIN)/pytest -n 2 --dist loadgroup

bench: $(STAMP)  ## Measure the fleet; prints a table and writes build/bench/fleet.json.
	$(BIN)/python -m rerank_ops.bench.fleet

clean:           ## Remove what the verbs made.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
