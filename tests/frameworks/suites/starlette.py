"""Starlette's tests of its session middleware."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

SUITE = Suite(
    name="starlette",
    package="starlette",
    versions=(
        Version("newest", ("starlette", "httpx2")),
        # Its tests fail on the warnings of later versions of these packages.
        Version("oldest", ("starlette==0.40.0", "anyio<4.7", "httpx<0.28")),
    ),
    tests=("tests/middleware/test_session.py",),
    requirements=("itsdangerous", "trio"),
)
