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
ENGINES ?= .venv-engines
EXPORTER ?= .venv-exporter
NEWEST ?= .venv-newest
LOWEST ?= .venv-lowest
#: Every version that the verbs install, by `make lock`: releases of others reach nobody unasked.
LOCKS  := ops/locks
#: What the developers run is not installed: $(DEV).audit.
DEV     = PYTHONPATH=$(CURDIR)/ops/dev $(BIN)/python -m rerank_dev
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
#: A load at which policies differ, for the docs.
SIMULATED := --processes 8 --k 10:5,50:3,100 --tight 0.2 --tight-ms 800 --deadline-ms 3000 --load 0.9
#: Requests of 0.8 s of few pairs, so that hours of them are simulated in minutes.
AUTOSCALED := --processes 4 --k 4 --tokens 420 --spread 0.1 --cost 1.25,350,250
PEERS_LIST := ops/dev/rerank_dev/bench/engine/requirements-peers.txt

.PHONY: help install kernels lock audit demo check lint mixin test test-clients test-engines test-export test-celery-exporter test-kombu test-valkey test-newest test-lowest bench bench-engine bench-engine-peers bench-gateway bench-scheduling bench-bulk bench-ops bench-pools bench-redis fuzz soak clean
help:            ## List the verbs.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# An environment of this checkout with the versions of a lock: $(call environment,FOLDER,LOCK,$(WANTED)), whose commas
# would end an argument that they stood in.
# setuptools comes from the lock too: a build in isolation would take the newest. Its warning is of every editable install.
define environment
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@echo '*' > $(1)/.gitignore
	$(1)/bin/python $(PIP_INSTALL) --constraint $(LOCKS)/$(2).txt setuptools
	PYTHONWARNINGS=ignore:Editable $(1)/bin/python $(PIP_INSTALL) --constraint $(LOCKS)/$(2).txt --no-build-isolation --editable $(3)
	@touch $@
endef

$(STAMP): pyproject.toml $(LOCKS)/dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Rerank Fleet needs Python 3.11 or later, this is {v[0]}.{v[1]}: set PYTHON=python3.x")'
	$(call environment,$(VENV),dev,'.[$(EXTRAS)]')

install: $(STAMP)  ## Create the virtual environment and install.

KERNEL_SOURCES := $(shell find worker/kernels -name '*.?pp' -o -name '*.py' -o -name pyproject.toml)
$(VENV)/.kernels: $(STAMP) $(KERNEL_SOURCES)
	@if compiler=$$($(BIN)/python worker/kernels/build_libraries.py --compiler); then \
	  echo "compiling worker/kernels with $$compiler" && \
	  $(BIN)/python $(PIP_INSTALL) --no-build-isolation --no-deps --force-reinstall ./worker/kernels && touch $@; \
	else \
	  echo "no kernels: ONNX Runtime's operators will run"; \
	fi
kernels: $(VENV)/.kernels  ## Build and install the kernels of worker/kernels, which make int8 models faster on AVX2 and AVX-512 VNNI.

demo: EXTRAS = demo
demo:            ## Rerank real text through a real fleet on this machine.
	@$(MAKE) --no-print-directory install EXTRAS=$(EXTRAS)
	@$(BIN)/rerank-fleet demo

check: $(STAMP)  ## Lint, format check, types; writes nothing.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(STAMP)  ## Ask for known vulnerabilities of what is installed.
	@$(DEV).audit

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 $(UPGRADE) --no-annotate --custom-compile-command 'make lock'
# Not the stamp: what pyproject.toml asks for since may be what the lock does not allow yet.
$(BIN)/uv:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --constraint $(LOCKS)/dev.txt uv
lock: UPGRADE ?= --upgrade
lock: | $(BIN)/uv  ## Lock the newest versions that pyproject.toml allows; UPGRADE= keeps those that still fit.
	$(COMPILE) --extra dev pyproject.toml --output-file $(LOCKS)/dev.txt
	grep '^torch==' $(PEERS_LIST) | $(COMPILE) --extra dev --extra export pyproject.toml - --output-file $(LOCKS)/export.txt
	$(COMPILE) --extra dev --extra haystack --extra langchain --extra llama-index pyproject.toml $(CLIENTS_LISTS) --output-file $(LOCKS)/clients.txt
	$(COMPILE) --extra dev pyproject.toml $(COHERE_LIST) --output-file $(LOCKS)/cohere.txt
	$(COMPILE) --extra dev pyproject.toml $(ENGINES_LIST) --output-file $(LOCKS)/engines.txt
	$(COMPILE) --extra cli --extra gpu --extra otel pyproject.toml --output-file $(LOCKS)/gpu.txt
	$(COMPILE) --extra export-onnx pyproject.toml $(PEERS_LIST) --output-file $(LOCKS)/peers.txt
	@$(MAKE) --no-print-directory audit

lint: $(STAMP)   ## Mend what the linter and formatter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: check kernels  ## Checks, then the whole suite against a real server, the real model, and kernels where there is a compiler.
	$(BIN)/pytest -n 2 --dist loadgroup

EXPORT_WANTED := '.[dev,export]'
$(EXPORT)/.installed: $(LOCKS)/export.txt pyproject.toml
	@test -x $(EXPORT)/bin/python || $(PYTHON) -m venv $(EXPORT)
	$(EXPORT)/bin/python $(PIP_INSTALL) $(TORCH_INDEX:%=--index-url %) $$(grep '^torch==' $< | cut -d ' ' -f 1)
	$(call environment,$(EXPORT),export,$(EXPORT_WANTED))

test-export: $(EXPORT)/.installed  ## The tests of the export that need torch, in an environment of their own.
	$(EXPORT)/bin/pytest -n 2 --dist loadgroup -m export

CLIENTS_LISTS := tests/clients/requirements.txt tests/integrations/requirements.txt
CLIENTS_WANTED := '.[dev,haystack,langchain,llama-index]' $(CLIENTS_LISTS:%=--requirement %)
$(CLIENTS)/.installed: $(LOCKS)/clients.txt $(CLIENTS_LISTS) pyproject.toml
	$(call environment,$(CLIENTS),clients,$(CLIENTS_WANTED))

COHERE_LIST := tests/clients/requirements-cohere.txt
$(COHERE)/.installed: $(LOCKS)/cohere.txt $(COHERE_LIST) pyproject.toml
	$(call environment,$(COHERE),cohere,'.[dev]' --requirement $(COHERE_LIST))

test-clients: $(CLIENTS)/.installed $(COHERE)/.installed  ## SDKs and frameworks against a real gateway, in environments of their own.
	$(CLIENTS)/bin/pytest -n 2 --dist loadgroup -m clients
	$(COHERE)/bin/pytest -m clients tests/clients/test_cohere_sdk.py

ENGINES_LIST := tests/engines/requirements.txt
$(ENGINES)/.installed: $(LOCKS)/engines.txt $(ENGINES_LIST) pyproject.toml
	$(call environment,$(ENGINES),engines,'.[dev]' --requirement $(ENGINES_LIST))

test-engines: $(ENGINES)/.installed  ## Ray Data, Spark, pandas, Polars and Daft drive a real fleet, in an environment of their own.
	$(ENGINES)/bin/pytest -n 2 --dist loadfile -m engines

MIXIN ?= ops/mixin
mixin: $(STAMP)  ## Write Prometheus rules, alerts, their tests and Grafana dashboards; RUNBOOK=URL for links to your copy of it.
	$(DEV).mixin $(MIXIN) $(RUNBOOK:%=--runbook %)

# No part of the fleet is in it: the exporter and the fleet need different releases of redis-py.
EXPORTER_LIST := tests/integration/requirements-exporter.txt
$(EXPORTER)/.installed: $(EXPORTER_LIST)
	@test -x $(EXPORTER)/bin/python || $(PYTHON) -m venv $(EXPORTER)
	@echo '*' > $(EXPORTER)/.gitignore
	$(EXPORTER)/bin/python $(PIP_INSTALL) --requirement $(EXPORTER_LIST)
	@touch $@

test-celery-exporter: $(STAMP) $(EXPORTER)/.installed  ## A Prometheus exporter for Celery on a real fleet, in an environment of its own.
	RERANK_TEST_EXPORTER_PYTHON=$(abspath $(EXPORTER))/bin/python $(BIN)/pytest tests/integration/test_celery_tools.py -k exporter

test-kombu: $(STAMP)  ## kombu's and Celery's own tests on the fleet's transport; CONTROL=1 on theirs. A quarter of an hour.
	$(DEV).conformance $(CONTROL:%=--control) $(SUITES)

test-valkey: $(STAMP)  ## The tests of integration and faults on the Valkey of the wheel, where `make test` finds another server on the PATH.
	@valkey=$$($(BIN)/python -c 'from rerank_ops.local.redis_server import find_server; print(find_server("").path.parent)') && \
	  PATH="$$valkey:$$PATH" $(BIN)/pytest -n 2 --dist loadgroup -m 'integration or faults' $(or $(TESTS),tests/faults tests/integration tests/shared tests/producer tests/worker)

test-newest: $(STAMP)  ## The suite with the newest release of everything, made anew each time: what the next `make lock` would bring.
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(NEWEST)
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --upgrade --editable '.[dev]'
	$(NEWEST)/bin/pytest -n 2 --dist loadgroup --deselect tests/test_locks.py::test_what_is_installed_is_what_is_locked

test-lowest: $(STAMP)  ## The suite with the lowest releases that pyproject.toml allows of what the fleet itself depends on.
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --extra worker --extra gateway --no-annotate pyproject.toml --output-file build/lowest.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --constraint build/lowest.txt --editable '.[dev]'
	$(LOWEST)/bin/pytest -n 2 --dist loadgroup --deselect tests/test_locks.py::test_what_is_installed_is_what_is_locked

bench: $(STAMP)  ## Measure the fleet; BENCH="--model file:DIR" for a model of your own. Writes build/bench/fleet.json. A quarter of an hour.
	$(DEV).bench.fleet $(BENCH)

bench-scheduling: $(STAMP)  ## Measure deadlines, shards and admission; BEFORE=a checkout to compare with. Half an hour.
	$(DEV).bench.scheduling $(BEFORE:%=--before %) $(PARTS)
	@mkdir -p build/bench
	@for command in "simulate --compare edf,slack,fifo,edf+no-shard,edf+no-refuse,edf+no-gate $(SIMULATED)" redis-load; do \
	  file=build/bench/$${command%% *}.txt; \
	  { echo "$$ rerank-fleet $$command"; COLUMNS=120 NO_COLOR=1 $(BIN)/rerank-fleet $$command; } > $$file || exit 1; \
	done
	$(DEV).bench.render docs/scheduling.md --figures build/bench/scheduling.json \
	  --output simulate=build/bench/simulate.txt --output redis-load=build/bench/redis-load.txt

bench-fusion: $(STAMP)  ## Measure what first-stage scores add to the order; COLLECTIONS="DIR..." in BEIR's layout. A pair takes 10 to 50 ms.
	$(DEV).bench.fusion $(COLLECTIONS) $(FUSION)
	$(DEV).bench.fusion.render docs/fusion.md

.PHONY: bench-evaluate
bench-evaluate: $(STAMP)  ## Write the tables of docs/evaluate.md from DATA="DIR..." in BEIR's layout and MODELS="NAME|DIR..."; EVALUATE has more options.
	@test -n "$(DATA)" || { echo 'error: DATA="DIR..." names collections in the layout of BEIR' >&2; exit 2; }
	$(DEV).bench.evaluate $(DATA) $(MODELS:%=--model %) -- $(EVALUATE)
	$(DEV).bench.evaluate.render docs/evaluate.md

.PHONY: bench-choose
CHOOSE ?= --p95-ms 500 --processes 16
bench-choose: $(STAMP)  ## Write the table and chart of docs/choose.md from DATA=DIR, a collection in BEIR's layout; CHOOSE has the target and more options. What build/bench/choose has is not measured again.
	@test -n "$(DATA)" || { echo 'error: DATA=DIR names a collection in the layout of BEIR' >&2; exit 2; }
	@mkdir -p build/bench
	{ echo "$$ rerank-fleet choose $(notdir $(DATA)) --up $(CHOOSE) --chart choose.svg"; NO_COLOR=1 $(BIN)/rerank-fleet choose $(DATA) --up $(CHOOSE) --chart docs/choose.svg --save-runs build/bench/choose --reuse; } > build/bench/choose.txt
	$(DEV).bench.render docs/choose.md --output choose=build/bench/choose.txt

.PHONY: bench-exports
bench-exports: $(STAMP)  ## Measure pairs a second of MODELS="DIR..." on one core, in turn, over candidates of DATA=DIR in BEIR's layout. Minutes.
	@test -n "$(MODELS)" && test -n "$(DATA)" || { echo 'error: MODELS="DIR..." names exports, DATA=DIR a collection' >&2; exit 2; }
	$(DEV).bench.exports $(MODELS) --data $(DATA) $(EXPORTS)

bench-gateway: $(STAMP)  ## Measure the HTTP gateway and race it against a service that runs the model itself. Half an hour.
	$(DEV).bench.gateway $(PARTS)
	$(DEV).bench.gateway.render docs/gateway.md

bench-bulk: $(STAMP)  ## Measure bulk runs: the engine alone, a plain script, a kill, neighbours, memory. The script needs bench-engine-peers. An hour.
	$(DEV).bench.bulk --peers-python $(PEERS)/bin/python $(PARTS)
	$(DEV).bench.bulk.render docs/bulk.md

bench-ops: $(STAMP)  ## Hold the autoscaling signal against the truth, kill the primary under load; renders docs/autoscaling.md, docs/redis.md. 40 minutes.
	$(DEV).bench.ops $(PARTS)
	@{ echo "$$ rerank-fleet simulate --autoscale $(AUTOSCALED)"; \
	  COLUMNS=120 NO_COLOR=1 $(BIN)/rerank-fleet simulate --autoscale $(AUTOSCALED); } > build/bench/autoscale.txt
	$(DEV).bench.render docs/redis.md --figures build/bench/ops.json --only fail-over --part failover
	$(DEV).bench.render docs/autoscaling.md --figures build/bench/ops.json --without fail-over --output autoscale=build/bench/autoscale.txt

bench-pools: $(STAMP)  ## Measure several models on one fleet, a cascade, upgrades, bad canaries; BASE=REV to compare with, DATA="DIR..." in BEIR's layout, QUICK=1 to try. A quarter of an hour, without the export of its small model.
	$(DEV).bench.pools $(PARTS) $(BASE:%=--base %) $(DATA:%=--data %) $(QUICK:%=--quick)
	$(if $(QUICK),,$(DEV).bench.render docs/models-on-one-fleet.md --figures build/bench/pools.json --part pools)

bench-redis: $(STAMP)  ## Measure what persistence costs the queue, and what a kill of the server loses. Two minutes.
	$(DEV).bench.redis
	$(DEV).bench.render docs/redis.md --figures build/bench/redis.json

fuzz: $(STAMP)   ## Requests made up from the gateway's OpenAPI document, against a real one. Four minutes at most.
	$(DEV).bench.fuzz $(FUZZ)

soak: $(STAMP)   ## Kill workers under load and account for every request. About two minutes.
	$(DEV).bench.soak $(SOAK)

# The models of the race are made in there, ours with the export and its evaluation.
$(PEERS)/.installed: $(LOCKS)/peers.txt $(PEERS_LIST) pyproject.toml
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PIP_INSTALL) $(TORCH_INDEX:%=--index-url %) $$(grep '^torch==' $(PEERS_LIST))
	$(call environment,$(PEERS),peers,'.[export-onnx]' --requirement $(PEERS_LIST))

bench-engine-peers: $(PEERS)/.installed  ## Install what the engine is measured against, in its own environment. Some minutes and gigabytes.

ENGINE_PAGE ?= docs/engine.md
bench-engine: $(STAMP) $(PEERS)/.installed  ## Race the engine against others; renders ENGINE_PAGE (docs/engine.md). About an hour, with its models made.
	$(DEV).bench.engine --peers-python $(PEERS)/bin/python $(ENGINE)
	$(DEV).bench.engine.report.render $(ENGINE_PAGE)
	PYTHONPATH=$(CURDIR)/ops/dev $(PEERS)/bin/python -m rerank_dev.bench.engine.report.chart build/bench/engine.json $(ENGINE_PAGE:.md=-speed.svg)

clean:           ## Remove what the verbs made.
	rm -rf $(VENV) $(PEERS) $(EXPORT) $(CLIENTS) $(COHERE) $(ENGINES) $(EXPORTER) $(NEWEST) $(LOWEST) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
