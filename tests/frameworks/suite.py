"""A framework's own tests of sessions, and how they run with this library's class instead of the framework's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Version:
    """A version of a framework.

    Attributes:
        label: `newest`, `oldest`, or a word for one between them.
        requirements: what pip installs for this version only: the framework, and limits on packages that it needs.
        not_applicable: tests that cannot apply to this version only, each with the reason.
        tests: paths of tests that only this version has.
        source: the version of the source distribution that contains the tests, by default the one that is installed.
        python: the oldest Python that it supports, if that is newer than this library's. Without such a Python, the
            version is left out.

    """

    label: str
    requirements: tuple[str, ...]
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    source: str = ""
    python: str = ""


@dataclass(frozen=True)
class Suite:
    """The tests of a package, as its source distribution contains them. They run unmodified.

    Attributes:
        name: the name in commands and in the table of results.
        package: the package on the index whose source distribution contains the tests. The environment must have it, so
            that both have the same version. Empty if no package contains tests.
        versions: the versions to test.
        tests: paths in the source distribution, and further arguments of pytest.
        requirements: further packages that the tests need, in every version.
        plugin: a module in `plugins/` that replaces the framework's class with this library's. pytest loads it first.
        not_applicable: tests that cannot apply, each with the reason. A test is named as pytest prints it. Without its
            parameters, the name stands for all of them. Each test must exist and fail.
        own_tests: paths of this repository's tests of the integration. `make test` runs them with the newest version,
            `make test-frameworks` with the others.

    """

    name: str
    package: str
    versions: tuple[Version, ...]
    tests: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    plugin: str = ""
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    own_tests: tuple[str, ...] = ()
