"""Starlette's tests of its session middleware."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

TRIO = "the engine runs on asyncio only: on Trio, a session raises an error as soon as it needs the store"
TESTS = "tests/middleware/test_session.py"


def on_trio(*names: str) -> dict[str, str]:
    """Return tests that run on Trio and need the store, as not applicable."""
    return {f"{TESTS}::{name}": TRIO for name in names}


SUITE = Suite(
    name="starlette",
    package="starlette",
    versions=(
        Version(
            "newest",
            ("starlette", "httpx2"),
            on_trio(
                "test_partitioned_session[trio-False]",
                "test_partitioned_session[trio-True]",
                "test_set_cookie_only_on_modification[trio]",
                "test_vary_cookie_on_access[trio]",
                "test_session_persists_mutations[trio-/inplace_update_session-data0-expected0]",
                "test_session_persists_mutations[trio-/popitem_session-None-expected1]",
            ),
        ),
        # Its tests fail on the warnings of later versions of these packages.
        Version("oldest", ("starlette==0.40.0", "anyio<4.7", "httpx<0.28")),
    ),
    # pytest-asyncio is installed for the tests below, and warns about missing settings in Starlette's configuration.
    tests=(TESTS, "-p", "no:asyncio"),
    requirements=("itsdangerous", "trio"),
    plugin="starlette_sessions",
    not_applicable=on_trio(
        "test_session[trio]",
        "test_secure_session[trio]",
        "test_session_cookie_subpath[trio]",
        "test_invalid_session_cookie[trio]",
        "test_session_cookie[trio]",
        "test_domain_cookie[trio]",
    ),
    own_tests=("tests/integrations/test_asgi.py",),
)
