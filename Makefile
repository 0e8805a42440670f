# make run: set everything up and run the gateway on a demo database, in the foreground.
# make test: set everything up, servers included, and run the tests in their short profile.
# make soak: all tests in their long profile, with seeds and progress; ends by itself after SOAK_SECONDS.
# make versions: the tests of PostgreSQL on servers 18, 17 and 16, one after the other; POSTGRES="17" runs on that alone.
# Everything lands in .venv and ./run; `make clean` removes both.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test soak suites versions check clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
# A file's tests run in one process, so its servers are started once; a failure is the same with JOBS=0, in one process.
# One more than there are processors: tests of live programs wait for half of their time.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))
SOAK_SECONDS ?= 21600
POSTGRES ?= 18 17 16
# What meets a server, PostgreSQL's own.
ON_POSTGRES := tests/live tests/masking tests/hostile tests/postgres/test_encodings.py tests/sql/test_functions.py tests/sql/test_searchpath.py
REPORT := $(VENV)/junit.xml
SOURCES := setup.py $(shell find gateway protocols addons twisted -type f -not -path '*/__pycache__/*')

help:
	@sed -n 's/^# make/make/p' $(firstword $(MAKEFILE_LIST))
	@echo "make suites SRC=DIR | check | clean"

run: $(VENV)/.installed
	@exec $(BIN)/python -m gateway.demo.run run

test: $(VENV)/.installed $(VENV)/.tools
	deploy/prepare servers
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses=4 --max-worker-restart=0 --dist=loadfile --junitxml=$(REPORT) $(TESTS)

soak: $(VENV)/.installed $(VENV)/.tools
	deploy/prepare servers
	OSTIARY_PROFILE=soak timeout --foreground --signal=INT --kill-after=300 $(SOAK_SECONDS) \
	  $(BIN)/python -m pytest -v --durations=25 -m "soak or not soak" --junitxml=$(REPORT) $(TESTS)

suites: $(VENV)/.installed $(VENV)/.tools
	@test -d "$(SRC)" || { echo "make suites SRC=DIR: DIR holds source trees: DIR/psycopg, DIR/postgresql-15.*, DIR/node/node_modules" >&2; exit 2; }
	deploy/prepare servers
	OSTIARY_SUITES="$(abspath $(SRC))" $(BIN)/python -m pytest --junitxml=$(REPORT) tests/suites

versions: $(VENV)/.installed $(VENV)/.tools
	deploy/prepare servers
	failed=; for major in $(POSTGRES); do \
	  deploy/prepare postgres $$major $(VENV)/postgres-$$major; \
	  OSTIARY_POSTGRES="$(abspath $(VENV))/postgres-$$major/bin" $(BIN)/python -m pytest -n $(JOBS) --maxprocesses=4 --max-worker-restart=0 \
	    --dist=loadfile --junitxml=$(VENV)/junit-$$major.xml $(ON_POSTGRES) || failed="$$failed $$major"; \
	done; test -z "$$failed" || { echo "make versions: failures on PostgreSQL$$failed" >&2; exit 1; }

check: $(VENV)/.installed $(VENV)/.tools
	$(BIN)/python -m compileall -q gateway protocols addons tests twisted/plugins
	$(BIN)/python -m pyflakes gateway protocols addons tests twisted/plugins
	$(BIN)/python -m pytest -q tests/test_arrows.py

clean:
	@test ! -e run/state/run/lock || flock -n run/state/run/lock true || \
	  { echo "make clean: a gateway runs in ./run; stop it first (Ctrl-C where make run runs)" >&2; exit 1; }
	rm -rf $(VENV) run build dist *.egg-info

# What is installed follows setup.cfg; the package itself follows every source file. Tests run the checkout: compiled here,
# their gateways start in half the time, also where PYTHONDONTWRITEBYTECODE keeps Python from doing that itself.
$(VENV)/.dependencies: setup.py setup.cfg pyproject.toml deploy/prepare
	PYTHON="$(PYTHON)" deploy/prepare environment $(VENV)
	@touch $@

# What only tests need.
$(VENV)/.tools: $(VENV)/.dependencies | $(VENV)/.installed
	deploy/prepare tools $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.dependencies $(SOURCES)
	deploy/prepare package $(VENV)
	$(BIN)/python -m compileall -q gateway protocols addons tests benchmarks twisted/plugins
	@touch $@
