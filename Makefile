# `make` alone lists the targets. demo, run, test and lock take ARGS, e.g. make test ARGS="tests/core -x".
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo run test check format lock clean

# The system's certificates, also behind a proxy that has its own; no interpreter that nobody asked for.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
PY := $(BIN)/python
UV := $(BIN)/uv
READY := .venv/.ready

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: $(READY) ## a whole synchronisation on this machine, to watch; KAFKA=1 for a real Kafka beneath it
	@$(BIN)/contactsync demo $(if $(filter-out 0,$(KAFKA)),--kafka) $(ARGS)

run: $(READY) ## every role in one process
	@$(BIN)/contactsync run $(ARGS)

test: $(READY) ## the tests; ARGS are pytest's
	@$(PY) -m pytest $(or $(ARGS),--numprocesses 3 --dist loadfile --no-loadscope-reorder)

check: $(READY) ## format, lint, types, layers, installed versions, their known vulnerabilities
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(BIN)/lint-imports --no-logo
	@$(UV) pip check --quiet --python $(PY)
	@$(PY) -m tests.security.audit

format: $(READY) ## rewrite the code as `check` wants it, where that is safe
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

lock: .venv/.uv ## pyproject.toml and requirements/*.in to *.lock; ARGS=--upgrade for newer versions
	@$(COMPILE) $(ARGS) pyproject.toml requirements/dev.in -o requirements/dev.lock
	@$(COMPILE) pyproject.toml -c requirements/dev.lock -o requirements/runtime.lock
	@$(COMPILE) requirements/bootstrap.in -c requirements/dev.lock -o requirements/bootstrap.lock
	@$(COMPILE) $(ARGS) requirements/build.in -o requirements/build.lock
	@$(COMPILE) $(ARGS) requirements/manifests.in -c requirements/dev.lock -o requirements/manifests.lock
	@touch .venv/.uv    # the new uv comes with the rest: no reason to start over

clean: ## remove what make, tools and builds made; data in .contactsync stays
	@rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What installing printed goes to a file; a failure shows its end, without addresses.
LOG = .venv/install.log
FAILED = { status=$$?; tail -n 20 $(LOG) | sed -E "s,[a-z+]+://[^ '\"\`)]*,(address),g; s,host='[^']*',host=(address),g" >&2; \
	echo "Installing failed: the lines above say why; all of it is in $(LOG)." >&2; exit $$status; }

.venv/.uv: requirements/bootstrap.lock
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3; do \
		"$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
			&& exec "$$python" -m venv --clear .venv; \
	done; \
	echo "contactsync needs Python 3.11 to 3.14 with its venv module, and none is on the PATH: install one, or name it with make PYTHON=/path/to/python3.11." >&2; \
	exit 1
	@echo "Installing into .venv (once) …"
	@$(PY) -m pip install --quiet --require-hashes --only-binary :all: -r requirements/bootstrap.lock >$(LOG) 2>&1 || $(FAILED)
	@touch $@

$(READY): .venv/.uv requirements/dev.lock requirements/build.lock pyproject.toml
	@$(UV) pip install --python $(PY) --require-hashes -b requirements/build.lock -r requirements/dev.lock >>$(LOG) 2>&1 || $(FAILED)
	@$(UV) pip install --python $(PY) --no-deps --no-build-isolation -e . >>$(LOG) 2>&1 || $(FAILED)
	@touch $@

.PHONY: faults
faults: $(READY) ## kill -9, outages and lies while people work; QUICK=1 for a small one, SEED=… for a certain one
	@$(PY) -m tests.faults $(if $(filter-out 0,$(QUICK)),--quick) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: bench
bench: $(READY) ## speed beside its limits and its peers; QUICK=1 for a taste, ARGS="B1 B4" for a part
	@$(PY) -m tests.bench $(if $(filter-out 0,$(QUICK)),--quick) $(ARGS)

.PHONY: soak neighbours
soak: $(READY) ## people at work for half an hour: the rate held, latency, memory; MINUTES=… RATE=…
	@$(PY) -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(ARGS)

neighbours: $(READY) ## what one sick account does to the others' latency
	@$(PY) -m tests.faults.neighbours $(ARGS)

.PHONY: docs
docs: $(READY) ## the pages on apps, docs/apps, from what the apps declare
	@$(PY) -m services.cli.pages docs/apps

# What is deployed: kubectl (1.28 or later) or kustomize on the PATH; deploy/tools brings the rest.
.PHONY: manifests image
manifests: $(READY) ## build every overlay, validate it, and let alerts fire
	@deploy/tools
	@$(PY) -m pytest -q tests/deploy

# BUILDER=podman or buildah; PLATFORM=linux/arm64 for another machine than this one.
BUILDER ?= docker
image: ## the container image; BUILDER=podman, PLATFORM=linux/arm64
	@$(BUILDER) build -f deploy/Dockerfile -t contactsync:0.1.0 $(if $(PLATFORM),--platform $(PLATFORM)) \
		--build-arg REVISION=$$(git rev-parse HEAD) $(ARGS) .

.PHONY: lock-image
lock-image: .venv/.uv ## after lock: deploy/build.lock, of the same versions
	@$(COMPILE) deploy/build.in -c requirements/dev.lock -o deploy/build.lock
