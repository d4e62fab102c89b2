"""Flask's own tests, all of them: many use sessions without being about sessions."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

NO_SECRET = "sessions are on the server, so they need no secret key"

SUITE = Suite(
    name="flask",
    package="flask",
    versions=(
        Version(
            "newest",
            ("flask[async,dotenv]",),
            {"tests/test_basic.py::test_session_secret_key_fallbacks": "cookies are not signed, so keys do not matter"},
        ),
        # Tests of the command line fail with later versions of Click.
        Version("oldest", ("flask[async,dotenv]==3.0.0", "werkzeug==3.0.0", "click<8.2")),
    ),
    # The second option: Flask's settings for pytest turn a warning of pytest-asyncio into an error. The third: later
    # versions of Werkzeug refuse the host in this test in another way, which fails with Flask's own sessions, too.
    tests=("tests", "-p", "no:asyncio", "--deselect=tests/test_reqctx.py::test_bad_environ_raises_bad_request"),
    requirements=("greenlet", "pytest<9.1"),
    plugin="flask_sessions",
    not_applicable={
        "tests/test_basic.py::test_missing_session": NO_SECRET,
        "tests/test_testing.py::test_session_transactions_no_null_sessions": NO_SECRET,
        "tests/test_basic.py::test_session_refresh_vary": (
            "a request that does not use the session makes no call, so it does not know that the session is permanent"
        ),
    },
    own_tests=("tests/integrations/test_flask.py", "tests/integrations/test_flask_config.py"),
)
