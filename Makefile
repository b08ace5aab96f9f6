# Verbs of the project. `make demo` and `make test` need only CPython 3.11+ with venv; each does all its own set-up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS ?= dev
STAMP  := $(VENV)/.installed-$(EXTRAS)
PEERS  ?= .venv-peers
EXPORT ?= .venv-export
CLIENTS ?= .venv-clients
COHERE ?= .venv-cohere
#: A load at which policies differ, for the docs.
SIMULATED := --processes 8 --k 10:5,50:3,100 --tight 0.2 --tight-ms 800 --deadline-ms 3000 --load 0.9
PEERS_LIST := ops/rerank_ops/bench/engine/requirements-peers.txt

.PHONY: help install demo check lint test test-clients test-export test-kombu bench bench-engine bench-engine-peers bench-gateway bench-scheduling fuzz soak clean
help:            ## List the verbs.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

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

check: $(STAMP)  ## Lint, format check, types, known vulnerabilities; writes nothing.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/python -m rerank_ops.audit

lint: $(STAMP)   ## Mend what the linter and formatter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: check      ## Checks, then the whole suite against a real server and the real model.
	$(BIN)/pytest -n 2 --dist loadgroup

$(EXPORT)/.installed: $(PEERS_LIST) pyproject.toml
	@test -x $(EXPORT)/bin/python || $(PYTHON) -m venv $(EXPORT)
	@echo '*' > $(EXPORT)/.gitignore
	$(EXPORT)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX:%=--index-url %) $$(grep '^torch==' $(PEERS_LIST))
	$(EXPORT)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,export]'
	@touch $@

test-export: $(EXPORT)/.installed  ## The tests of the export that need torch, in an environment of their own.
	$(EXPORT)/bin/pytest -n 2 --dist loadgroup -m export

$(CLIENTS)/.installed: tests/clients/requirements.txt tests/integrations/requirements.txt pyproject.toml
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@echo '*' > $(CLIENTS)/.gitignore
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,haystack,langchain,llama-index]' \
	  --requirement tests/clients/requirements.txt --requirement tests/integrations/requirements.txt
	@touch $@

$(COHERE)/.installed: tests/clients/requirements-cohere.txt pyproject.toml
	@test -x $(COHERE)/bin/python || $(PYTHON) -m venv $(COHERE)
	@echo '*' > $(COHERE)/.gitignore
	$(COHERE)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --requirement $<
	@touch $@

test-clients: $(CLIENTS)/.installed $(COHERE)/.installed  ## SDKs and frameworks against a real gateway, in environments of their own.
	$(CLIENTS)/bin/pytest -n 2 --dist loadgroup -m clients
	$(COHERE)/bin/pytest -m clients tests/clients/test_cohere_sdk.py

test-kombu: $(STAMP)  ## kombu's and Celery's own tests on the fleet's transport; CONTROL=1 on theirs. Ten minutes.
	$(BIN)/python -m rerank_ops.conformance $(CONTROL:%=--control) $(SUITES)

bench: $(STAMP)  ## Measure the fleet; prints a table and writes build/bench/fleet.json.
	$(BIN)/python -m rerank_ops.bench.fleet

bench-scheduling: $(STAMP)  ## Measure deadlines, shards and admission; BEFORE=a checkout to compare with. Half an hour.
	$(BIN)/python -m rerank_ops.bench.scheduling $(BEFORE:%=--before %) $(PARTS)
	@mkdir -p build/bench
	@for command in "simulate --compare edf,slack,fifo,edf+no-shard,edf+no-refuse,edf+no-intake $(SIMULATED)" redis-load; do \
	  file=build/bench/$${command%% *}.txt; \
	  { echo "$$ rerank-fleet $$command"; COLUMNS=120 NO_COLOR=1 $(BIN)/rerank-fleet $$command; } > $$file || exit 1; \
	done
	$(BIN)/python -m rerank_ops.bench.render docs/scheduling.md --figures build/bench/scheduling.json \
	  --output simulate=build/bench/simulate.txt --output redis-load=build/bench/redis-load.txt

bench-gateway: $(STAMP)  ## Measure the HTTP gateway and race it against a service that runs the model itself. Half an hour.
	$(BIN)/python -m rerank_ops.bench.gateway $(PARTS)
	$(BIN)/python -m rerank_ops.bench.gateway.render docs/gateway.md

fuzz: $(STAMP)   ## Requests made up from the gateway's OpenAPI document, against a real one. Four minutes at most.
	$(BIN)/python -m rerank_ops.bench.fuzz $(FUZZ)

soak: $(STAMP)   ## Kill workers under load and account for every request. About two minutes.
	$(BIN)/python -m rerank_ops.bench.soak $(SOAK)

$(PEERS)/.installed: $(PEERS_LIST) pyproject.toml
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo '*' > $(PEERS)/.gitignore
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX:%=--index-url %) $$(grep '^torch==' $(PEERS_LIST))
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(PEERS_LIST) --editable '.[worker]'
	@touch $@

bench-engine-peers: $(PEERS)/.installed  ## Install what the engine is measured against, in its own environment.

bench-engine: $(STAMP) $(PEERS)/.installed  ## Race the engine against others; renders docs/engine.md. About an hour.
	$(BIN)/python -m rerank_ops.bench.engine --peers-python $(PEERS)/bin/python $(ENGINE)
	$(BIN)/python -m rerank_ops.bench.engine.render docs/engine.md
	$(PEERS)/bin/python -m rerank_ops.bench.engine.chart build/bench/engine.json docs/engine-speed.svg

clean:           ## Remove what the verbs made.
	rm -rf $(VENV) $(PEERS) $(EXPORT) $(CLIENTS) $(COHERE) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
