"""A pytest plugin for Django's tests: it configures Django as `tests/runtests.py` does, with this library's sessions.

Tests of sessions name stores and the middleware by their modules. There, this library's classes replace Django's.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import django
from django.conf import settings

ENGINE = "chuk_sessions.integrations.django"
TESTS = Path.cwd() / "tests"
PROCESSORS = [
    *(f"django.template.context_processors.{name}" for name in ("debug", "request")),
    *(f"django.contrib.{name}.context_processors.{name}" for name in ("auth", "messages")),
]

sys.path.insert(0, str(TESTS))
settings.configure(
    DATABASES={name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        *(
            f"django.contrib.{name}"
            for name in ("contenttypes", "auth", "sites", "sessions", "messages", "staticfiles")
        ),
        "django.contrib.admin.apps.SimpleAdminConfig",
        "auth_tests",
        "messages_tests",
        "sessions_tests",
    ],
    LANGUAGE_CODE="en",
    MIDDLEWARE=[
        f"{ENGINE}.ChukSessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    MIGRATION_MODULES={"auth": None, "contenttypes": None, "sessions": None},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="urls",
    SECRET_KEY="django_tests_secret_key",
    SESSION_ENGINE=ENGINE,
    SITE_ID=1,
    STATIC_URL="static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [str(TESTS / "templates")],
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": PROCESSORS},
        }
    ],
    USE_TZ=False,
)

# This store is a subclass of the one in `db`, and stays as it is.
import_module("django.contrib.sessions.backends.cached_db")
integration = import_module(ENGINE)
for name in ("backends.cache", "backends.db"):
    vars(import_module(f"django.contrib.sessions.{name}"))["SessionStore"] = integration.SessionStore
vars(import_module("django.contrib.sessions.middleware"))["SessionMiddleware"] = integration.ChukSessionMiddleware
django.setup()


def pytest_sessionstart() -> None:
    """Create the databases of the tests, in memory."""
    from django.test.utils import setup_databases, setup_test_environment

    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
