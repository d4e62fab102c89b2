"""FastAPI has no tests of sessions. This repository's tests of the integration run with its oldest version."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

SUITE = Suite(
    name="fastapi",
    package="",
    versions=(Version("newest", ("fastapi",)), Version("oldest", ("fastapi==0.115.3", "starlette==0.40.0"))),
    own_tests=("tests/integrations/test_fastapi.py", "tests/integrations/test_starlette.py"),
)
