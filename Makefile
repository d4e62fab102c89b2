# Each target creates the virtual environment that it needs under .venv, with nothing but Python, pip, and make.

PYTHON ?= python3
VENV = .venv

# Every Python on this machine that the library supports, one per version, as VERSION:PATH.
FIND = import sys; v = sys.version_info; v >= (3, 11) and print(f"{v[0]}.{v[1]}:{sys.executable}")
CANDIDATES = $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3.15 \
	$(wildcard $(HOME)/.pyenv/versions/3.1[1-9].*/bin/python)
PYTHONS = $(shell for candidate in $(CANDIDATES); do "$$candidate" -c '$(FIND)' 2>/dev/null; done | sort -t: -u -k1,1)

.PHONY: demo test test-here environment faults faults-short lint types docs dist coverage proof mutants bench bench-long bench-compare clean

## demo: run the quick start on the emulator
demo: $(VENV)/demo/ready
	$(VENV)/demo/bin/python examples/quickstart.py

## test: run all tests on every Python found, with real servers from pip
test:
	@test -n "$(PYTHONS)" || { echo "no Python 3.11 or newer was found"; exit 1; }
	@MAKE="$(MAKE)" TESTS="$(TESTS)" sh tests/every_python.sh $(PYTHONS)

VERSION = here
environment: $(VENV)/$(VERSION)/ready

test-here: $(VENV)/$(VERSION)/ready
	$(VENV)/$(VERSION)/bin/python -m pytest -q $(TESTS)

## faults-short: the fault matrix without failovers
faults-short: $(VENV)/$(VERSION)/ready
	$(VENV)/$(VERSION)/bin/python -m pytest -q tests/faults

## faults: the whole fault matrix, in some minutes; writes docs/faults.md. With SERVER=PATH, tests that server and writes nothing
faults: $(VENV)/$(VERSION)/ready
	$(VENV)/$(VERSION)/bin/python -m tests.faults $(if $(SERVER),--server $(SERVER)) $(FAULTS)

## lint, types: ruff, mypy, and pyright for the examples
lint: $(VENV)/lint/ready
	$(VENV)/lint/bin/ruff check .
	$(VENV)/lint/bin/ruff format --check .

types: $(VENV)/lint/ready
	$(VENV)/lint/bin/mypy
	$(VENV)/lint/bin/pyright --pythonpath $(VENV)/lint/bin/python

## docs: the documentation site with an API reference, in .site; warnings are errors
docs: $(VENV)/docs/ready
	$(VENV)/docs/bin/python -m sphinx -q -W --keep-going -b html -d $(VENV)/doctrees docs .site
	@echo "open .site/index.html"

## dist: build and check the wheel and the source distribution, in dist
dist: $(VENV)/release/ready
	rm -rf dist
	$(VENV)/release/bin/python -m build
	$(VENV)/release/bin/python -m twine check --strict dist/*
	$(VENV)/release/bin/check-wheel-contents dist/*.whl

## bench: compare with other clients and the server's limit, in about five minutes; bench-long: with up to a million sessions
bench: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -m benchmarks $(BENCH)

bench-long: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -m benchmarks --long $(BENCH)

## bench-compare: compare two commits, OLD and NEW (by default the working tree)
OLD = HEAD
bench-compare: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -m benchmarks.compare $(OLD) $(NEW) $(BENCH)

## coverage: measure branches; fails if the tests miss too many of the core's
coverage: $(VENV)/proof/ready
	$(VENV)/proof/bin/python -m pytest -q --cov=chuk_sessions --cov-branch --cov-report=term-missing:skip-covered \
		--cov-report=json:$(VENV)/coverage.json $(TESTS)
	$(if $(TESTS),,$(VENV)/proof/bin/python tests/project/branches.py $(VENV)/coverage.json)

## proof: the randomized comparisons at full length, in about two hours. SERVER=PATH takes another server, SEED=N repeats a run
STEPS = 100000
CASES = 100000
HISTORIES = 1000
proof: $(VENV)/proof/ready
	$(VENV)/proof/bin/python -m tests.proof --steps $(STEPS) --cases $(CASES) --histories $(HISTORIES) \
		$(if $(SEED),--seed $(SEED)) $(if $(SERVER),--server $(SERVER))

## mutants: change operations, twins, and the connection in small ways that the tests should detect
mutants: $(VENV)/proof/ready
	nice $(VENV)/proof/bin/mutmut run --max-children 2
	$(VENV)/proof/bin/mutmut results

$(VENV)/proof/ready: EXTRAS = [proof]
$(VENV)/demo/ready: EXTRAS =
$(VENV)/bench/ready: EXTRAS = [bench]
$(VENV)/docs/ready: EXTRAS = [docs]
$(VENV)/release/ready: EXTRAS = [release]
$(VENV)/%/ready: EXTRAS = [dev]
$(VENV)/%/ready: pyproject.toml
	$(PYTHON) -m venv $(@D) || { $(PYTHON) -m pip install -q virtualenv && $(PYTHON) -m virtualenv -q $(@D); }
	$(@D)/bin/python -m pip install -q --disable-pip-version-check -e '.$(EXTRAS)'
	touch $@

clean:
	rm -rf $(VENV) .site mutants build dist *.egg-info
