"""Capabilities that the environment turns on. They are imported by name, so that the core imports none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import settings


def encryption(env: settings.Settings | None = None) -> Any:
    """Return the `Encryption` of SESSION_ENCRYPTION_KEYS, or None. `env` are the settings, if they were read before."""
    return _opened("encryption", (env or settings.from_env()).encryption)


def federation(env: settings.Settings) -> Any:
    """Return the `Federation` of SESSION_FEDERATION_KEYS and SESSION_FEDERATION_TRUST, or None."""
    return _opened("federation", env.federation)


def migration(env: settings.Settings) -> Any:
    """Return the `ReadThrough` of SESSION_MIGRATE_FROM, or None."""
    return _opened("migration", bool(env.migrate_from))


def _opened(name: str, is_set: bool) -> Any:
    return import_module(f".{name}", __package__).from_env() if is_set else None
