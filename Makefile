# Needs only python3 (3.11 or newer), make and git. Everything else is installed into .venv from the lock file.

SHELL := /bin/sh
PYTHON ?= python3
UV := .venv/bin/uv
RUN := $(UV) run --frozen --no-sync
READY := .venv/.ready
CLIENTS := .venv/.clients
JS := js/node_modules/.ready

unexport PYTHONDONTWRITEBYTECODE  # where it is set, every worker of the tests would compile everything anew

.DEFAULT_GOAL := help
.PHONY: help demo ui test check check-js test-js shots bench soak format clean

help:  ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(READY)  ## Serve a small marketplace on an embedded Postgres, and watch its rows travel
	@$(RUN) tidewire demo

ui: $(JS)  ## Build everything that runs in a browser (needs Node 20.19 or newer)
	cd js && npm run build

test: $(CLIENTS)  ## Run everything that must be green on a fresh machine
	$(RUN) pytest -n 2 --dist worksteal

check: $(CLIENTS)  ## Style, types, floors
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports

check-js: $(JS)  ## Style and types of what runs in a browser
	cd js && npm run lint && npm run types

test-js: $(JS)  ## Run the tests of what runs in a browser that need no server; `make test` has the others
	cd js && npm test

shots: $(CLIENTS) $(JS)  ## Take the pictures of the documentation
	$(RUN) pytest -n 0 tests/browser/shots.py tests/browser/shots_demo.py

bench: $(READY)  ## Measure, and write the figures to benchmarks/results
	$(RUN) python -m benchmarks.run

soak: $(CLIENTS)  ## The long forms: 200 kills, 10 000 examples a property, an hour of clients, 500 comings and goings
	TIDEWIRE_SOAK=1 HYPOTHESIS_PROFILE=soak $(RUN) pytest -m "soak or not soak" --timeout=4500 tests/soak tests/properties \
	  tests/integration/test_injection.py tests/integration/test_described_requests.py \
	  tests/integration/test_demo_page.py tests/browser/test_hooks.py

format: $(READY)  ## Format the code
	$(RUN) ruff format
	$(RUN) ruff check --fix

clean:  ## Remove everything that is not in the repository
	rm -rf .venv .tidewire dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache js/node_modules js/packages/*/dist

# The lock decides the versions; without network a second run finds everything in place and installs nothing.
$(READY): pyproject.toml uv.lock hatch_build.py src/_tidewire_send.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tidewire needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@test -x $(UV) || .venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@$(UV) sync --frozen --quiet
	@touch $@

# What runs the stock clients: npm and the driver of a browser, about 100 MB that `make demo` does not need.
$(CLIENTS): $(READY)
	@$(UV) sync --frozen --quiet --group clients --group drivers
	@touch $@

# Apart from the Python part, which needs no Node. Scripts of packages are not run: none of ours has to be compiled.
$(JS): js/package.json js/package-lock.json $(wildcard js/*/*/package.json)
	cd js && npm ci --ignore-scripts --loglevel=error
	@touch $@
