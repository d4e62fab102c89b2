"""FastMCP's tests of what it keeps in a store: sessions, the state and visibility of sessions, events, and caches."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

SUITE = Suite(
    name="fastmcp",
    package="fastmcp",
    versions=(
        Version(
            "newest", ("fastmcp",), tests=("tests/server/test_sessions.py", "tests/server/test_session_provider.py")
        ),
        Version("oldest", ("fastmcp==3.0.0", "py-key-value-aio==0.4.4")),
    ),
    tests=(
        "tests/server/test_context.py",
        "tests/server/test_event_store.py",
        "tests/server/test_session_visibility.py",
        "tests/server/middleware/test_caching.py",
    ),
    requirements=(
        "dirty-equals",
        "inline-snapshot",
        "opentelemetry-sdk",
        "pytest-asyncio",
        "pytest-env",
        "pytest-timeout",
    ),
    plugin="fastmcp_store",
    own_tests=("tests/integrations/test_key_value.py",),
)
