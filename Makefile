# Each target creates the virtual environment that it needs under .venv. The machine needs only Python, pip, and make.

PYTHON ?= python3
VENV = .venv

# All supported versions of Python on this machine, one interpreter per version, as VERSION:PATH.
FIND = import sys; v = sys.version_info; v >= (3, 11) and print(f"{v[0]}.{v[1]}:{sys.executable}")
CANDIDATES = $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3.15 \
	$(wildcard $(HOME)/.pyenv/versions/3.1[1-9].*/bin/python)
PYTHONS = $(shell for candidate in $(CANDIDATES); do "$$candidate" -c '$(FIND)' 2>/dev/null; done | sort -t: -u -k1,1)

.PHONY: demo test test-here test-frameworks frameworks environment faults faults-short lint types docs dist coverage \
	proof mutants bench bench-long bench-compare clean help

## demo: run the quick start on the emulator
demo: $(VENV)/demo/ready
	$(VENV)/demo/bin/python examples/quickstart.py

## test: run all tests with each supported Python found, on real servers that pip installs. TESTS=PATH selects tests
test:
	@test -n "$(PYTHONS)" || { echo "no Python 3.11 or newer was found"; exit 1; }
	@MAKE="$(MAKE)" TESTS="$(TESTS)" sh tests/every_python.sh $(PYTHONS)

# `make test` calls these two with VERSION and PYTHON. Most tests wait most of the time, for failovers or timeouts, so
# more processes than cores are useful.
VERSION = here
WORKERS = 3
environment: $(VENV)/$(VERSION)/ready

## test-here: run the tests with one Python, in WORKERS=3 processes. TESTS=PATH selects tests
test-here: $(VENV)/$(VERSION)/ready
	$(VENV)/$(VERSION)/bin/python -m pytest -q -n $(WORKERS) --maxschedchunk 20 $(TESTS)

## test-frameworks: run the frameworks' own tests of sessions, on their newest and oldest versions. FRAMEWORKS=NAMES
FIRST = $(subst :, ,$(firstword $(PYTHONS)))
test-frameworks:
	@test -n "$(PYTHONS)" || { echo "no Python 3.11 or newer was found"; exit 1; }
	@$(MAKE) --no-print-directory frameworks VERSION=$(firstword $(FIRST)) PYTHON=$(lastword $(FIRST))
frameworks: $(VENV)/$(VERSION)/ready
	CHUK_PYTHONS="$(PYTHONS)" $(VENV)/$(VERSION)/bin/python -m tests.frameworks $(FRAMEWORKS)

## faults-short: run the fault matrix without failovers
faults-short: $(VENV)/$(VERSION)/ready
	$(VENV)/$(VERSION)/bin/python -m pytest -q tests/faults

## faults: run the whole fault matrix and write docs/faults.md. SERVER=PATH tests that server, and writes nothing
faults: $(VENV)/$(VERSION)/ready
	$(VENV)/$(VERSION)/bin/python -m tests.faults $(if $(SERVER),--server $(SERVER)) $(FAULTS)

## lint: check style, docstrings, and format with ruff
lint: $(VENV)/lint/ready
	$(VENV)/lint/bin/ruff check .
	$(VENV)/lint/bin/ruff format --check .

## types: check types with mypy, and those of the examples with pyright
types: $(VENV)/lint/ready
	$(VENV)/lint/bin/mypy
	$(VENV)/lint/bin/pyright --pythonpath $(VENV)/lint/bin/python

## docs: build the documentation site with an API reference, in .site. Warnings are errors
docs: $(VENV)/docs/ready
	$(VENV)/docs/bin/python -m sphinx -q -W --keep-going -b html -d $(VENV)/doctrees docs .site
	@echo "open .site/index.html"

## dist: build and check the wheel and the source distribution, in dist
dist: $(VENV)/release/ready
	rm -rf dist
	$(VENV)/release/bin/python -m build
	$(VENV)/release/bin/python -m twine check --strict dist/*
	$(VENV)/release/bin/check-wheel-contents dist/*.whl

## bench: run all benchmark suites, in about ten minutes. BENCH=OPTIONS adds options, such as "--only redis,tls"
bench: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -m benchmarks $(BENCH)

## bench-long: measure more rounds, and up to a million sessions
bench-long: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -m benchmarks --long $(BENCH)

## bench-compare: compare the speed of two commits, OLD and NEW. NEW defaults to the working tree
OLD = HEAD
bench-compare: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -m benchmarks.compare $(OLD) $(NEW) $(BENCH)

## coverage: measure branch coverage. Fails if the tests miss too many branches of the core
coverage: $(VENV)/proof/ready
	$(VENV)/proof/bin/python -m pytest -q --cov=chuk_sessions --cov-branch --cov-report=term-missing:skip-covered \
		--cov-report=json:$(VENV)/coverage.json $(TESTS)
	$(if $(TESTS),,$(VENV)/proof/bin/python tests/project/branches.py $(VENV)/coverage.json)

## proof: run the full randomized comparisons, in about two hours. SERVER=PATH selects a server, SEED=N repeats a run
STEPS = 100000
CASES = 100000
HISTORIES = 1000
ENDS = 100000
proof: $(VENV)/proof/ready
	$(VENV)/proof/bin/python -m tests.proof --steps $(STEPS) --cases $(CASES) --histories $(HISTORIES) --ends $(ENDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(SERVER),--server $(SERVER))

## mutants: change operations, twins, and the connection in small ways, and list the changes that no test detects
mutants: $(VENV)/proof/ready
	nice $(VENV)/proof/bin/mutmut run --max-children 2
	$(VENV)/proof/bin/mutmut results

$(VENV)/proof/ready: EXTRAS = [proof]
$(VENV)/demo/ready: EXTRAS =
$(VENV)/bench/ready: EXTRAS = [bench]
$(VENV)/docs/ready: EXTRAS = [docs]
$(VENV)/release/ready: EXTRAS = [release]
$(VENV)/%/ready: EXTRAS = [dev]
$(VENV)/frameworks-%/ready: EXTRAS = [redis]
# Some systems ship Python without the venv module, and do not let pip change that Python. virtualenv then replaces
# venv, installed in a folder of its own.
$(VENV)/%/ready: pyproject.toml
	$(PYTHON) -m venv $(@D) || { $(PYTHON) -m pip install -q --target $(@D).tools virtualenv && \
		PYTHONPATH=$(@D).tools $(PYTHON) -m virtualenv -q $(@D); }
	$(@D)/bin/python -m pip install -q --disable-pip-version-check -e '.$(EXTRAS)'
	touch $@

## clean: remove environments and everything built
clean:
	rm -rf $(VENV) .site benchmarks/.peers mutants build dist *.egg-info

## help: list the targets
help:
	@sed -n 's/^## //p' Makefile
