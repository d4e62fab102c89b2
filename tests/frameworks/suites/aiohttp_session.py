"""aiohttp_session's tests of RedisStorage, of responses, and of exceptions.

Its other tests are about the session class, or about storages that keep the values in the cookie.
"""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

REDIS = "tests/test_redis_storage.py"
CLIENT = "it tests which redis-py clients RedisStorage accepts"

# Of redis-py, and of aiohttp about aiohttp_session itself.
WARNINGS = ("-W", "ignore::DeprecationWarning", "-W", "ignore::UserWarning")

SUITE = Suite(
    name="aiohttp-session",
    package="aiohttp-session",
    versions=(
        Version("newest", ("aiohttp-session", "aiohttp")),
        Version("oldest", ("aiohttp-session==2.12.0", "aiohttp==3.10.11")),
    ),
    tests=(REDIS, "tests/test_http_exception.py", "tests/test_response_types.py", "-o", "asyncio_mode=auto", *WARNINGS),
    requirements=("aiomcache", "docker", "pytest-aiohttp", "pytest-mock"),
    plugin="aiohttp_storage",
    not_applicable={
        f"{REDIS}::test_not_redis_provided_to_storage": CLIENT,
        f"{REDIS}::test_no_aioredis_installed": CLIENT,
        f"{REDIS}::test_old_aioredis_version": CLIENT,
        f"{REDIS}::test_create_storage_with_custom_key_factory": "ids are generated, so that none can be guessed",
        f"{REDIS}::test_clear_cookie_on_session_invalidation": (
            "an invalidated session is deleted; RedisStorage keeps an empty one"
        ),
        f"{REDIS}::test_change_session": "the cookie is sent when its value or lifetime changes, not more often",
    },
    own_tests=("tests/integrations/test_aiohttp.py",),
)
