"""Django's tests of its session stores and middleware, and of logins, CSRF tokens, and messages in sessions."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

SESSIONS = "tests/sessions_tests/tests.py"
_DATABASE_TESTS = (
    "test_aclear_expired",
    "test_clearsessions_command",
    "test_session_get_decoded",
    "test_session_str",
    "test_sessionmanager_save",
)
_OF_DATABASE = "it asks the database table of Django's own store"
_OF_CACHE = "it asks the cache of Django's own store"

SUITE = Suite(
    name="django",
    package="django",
    versions=(
        Version(
            "newest",
            ("django",),
            python="3.12",
            not_applicable={
                "tests/auth_tests/test_middleware.py::TestLoginRequiredMiddleware::"
                "test_protected_view_logged_in_performance": "it counts the database queries of Django's own store",
            },
        ),
        Version("long-term", ("django>=5.2,<5.3",)),
        Version("oldest", ("django==5.2",)),
    ),
    tests=(
        # The file has no settings of pytest, and keeps those of this repository away.
        "--config-file=tox.ini",
        *(
            f"{SESSIONS}::{name}"
            for name in (
                "CacheSessionTests",
                "DatabaseSessionTests",
                "DatabaseSessionWithTimeZoneTests",
                "CustomDatabaseSessionTests",
                "SessionMiddlewareTests",
                "ClearSessionsCommandTests",
                "SessionBaseTests",
            )
        ),
        *(
            f"tests/auth_tests/test_{name}.py"
            for name in ("basic", "login", "middleware", "remote_user", "signals", "views")
        ),
        "tests/csrf_tests/tests.py",
        "tests/messages_tests/test_session.py",
    ),
    plugin="django_sessions",
    not_applicable={
        **{
            f"{SESSIONS}::{name}::{test}": _OF_DATABASE
            for name in ("DatabaseSessionTests", "DatabaseSessionWithTimeZoneTests", "CustomDatabaseSessionTests")
            for test in _DATABASE_TESTS
        },
        f"{SESSIONS}::CustomDatabaseSessionTests::test_extra_session_field": _OF_DATABASE,
        f"{SESSIONS}::SessionMiddlewareTests::test_empty_session_saved": _OF_DATABASE,
        **{
            f"{SESSIONS}::CacheSessionTests::{test}": _OF_CACHE
            for test in (
                "test_create_and_save",
                "test_create_and_save_async",
                "test_default_cache",
                "test_non_default_cache",
            )
        },
        "tests/auth_tests/test_views.py::LoginTest::test_session_key_flushed_on_login_after_password_change": (
            "it expects that a login by the same user keeps the session's key; here, each login changes it"
        ),
    },
    own_tests=("tests/integrations/test_django.py", "tests/integrations/test_django_requests.py"),
)
