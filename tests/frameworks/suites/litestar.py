"""Litestar's tests of its stores and session backends.

The source distributions after 2.13.0 contain no tests, so these run on the newest version, too.
"""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

STORES = "tests/unit/test_stores.py"
SESSIONS = "tests/unit/test_middleware/test_session"
WITH_TESTS = "2.13.0"

REDIS = "it tests how a RedisStore creates and closes its redis-py client, or builds names of keys"
FILES = "it tests the files of a FileStore"
LATE_ID = "a session gets its id when the response begins, so that requests that write nothing store nothing"


def stores(reason: str, *names: str) -> dict[str, str]:
    """Return tests of stores as not applicable."""
    return {f"{STORES}::{name}": reason for name in names}


SUITE = Suite(
    name="litestar",
    package="litestar",
    versions=(
        Version("newest", ("litestar",), source=WITH_TESTS),
        Version("oldest", (f"litestar=={WITH_TESTS}",)),
    ),
    tests=(STORES, f"{SESSIONS}/test_middleware.py", f"{SESSIONS}/test_server_side_backend.py"),
    requirements=(
        "asyncpg",
        "cryptography",
        "httpx",
        "pytest-asyncio",
        "pytest-lazy-fixtures",
        "pytest-mock",
        "pytest-rerunfailures",
        "pytest-xdist",
        "sniffio",
        "time-machine<3",
    ),
    plugin="litestar_stores",
    not_applicable={
        **stores(
            REDIS,
            "test_redis_with_client_default",
            "test_redis_with_non_default",
            "test_redis_namespaced_key",
            "test_redis_with_namespace",
            "test_redis_namespace_explicit_none",
            "test_redis_store_with_client_shutdown",
        ),
        **stores(
            "each store has a sandbox of its own, so there is no store whose delete_all would delete foreign keys",
            "test_redis_delete_all_no_namespace_raises",
        ),
        **stores(
            FILES,
            "test_file_init_directory",
            "test_file_init_subdirectory_negative",
            "test_file_path",
            "test_file_with_namespace",
            "test_file_store_handle_rename_fail",
        ),
        **stores(
            "a FileStore refuses names that are invalid as names of folders; here a namespace may have any name",
            "test_file_with_namespace_invalid_namespace_char",
        ),
        f"{SESSIONS}/test_middleware.py::test_session_id_correctness[server-side]": LATE_ID,
        f"{SESSIONS}/test_middleware.py::test_keep_session_id[server-side]": LATE_ID,
    },
    own_tests=("tests/integrations/test_litestar.py", "tests/integrations/test_litestar_store.py"),
)
