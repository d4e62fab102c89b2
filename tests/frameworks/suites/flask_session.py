"""Flask-Session's tests. Source distributions after version 0.5.0 have none."""

from __future__ import annotations

from tests.frameworks.suite import Suite, Version

SUITE = Suite(
    name="flask-session",
    package="flask-session",
    versions=(
        Version("newest", ("flask-session==0.5.0", "flask")),
        Version("oldest", ("flask-session==0.5.0", "flask==3.0.0", "werkzeug==3.0.0")),
    ),
    # Without a file of settings, pytest would take those of this repository, in which the source is unpacked.
    tests=("test_session.py", "-c", "pyproject.toml"),
    plugin="flask_session_extension",
    not_applicable={
        "test_session.py::FlaskSessionTestCase::test_null_session": (
            "without SESSION_TYPE, the environment names the store, so sessions work"
        ),
    },
)
