"""The session cookie: its settings, its value in requests, and its headers in responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

SameSite = Literal["lax", "strict", "none"]

_GENERATED: Final = re.compile(r"sess-(?:[A-Za-z0-9]{1,8}-)?[1-9][0-9]{9,11}-[0-9a-f]{34}", re.ASCII).fullmatch
_SEPARATOR: Final = "."
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII).fullmatch
_ATTRIBUTE: Final = re.compile(r"[ -:<-~]*", re.ASCII).fullmatch
_HOST_PREFIX: Final = "__Host-"
_MAX_HEADER: Final = 65_536
"""Longest Cookie header that is searched, in characters. Servers usually allow less."""
_EXPIRED: Final = "expires=Thu, 01 Jan 1970 00:00:00 GMT"


def is_generated(value: str) -> bool:
    """Return whether a cookie's value has the form of ids that the library generates.

    No other ids are accepted from cookies, because ids that an application has chosen may be easy to guess.
    """
    return _GENERATED(value) is not None


def is_acceptable(value: str) -> bool:
    """Return whether a cookie's value is an id that the library generates, or two of them: see `value_of`."""
    session_id, separator, successor = value.partition(_SEPARATOR)
    return is_generated(session_id) and (not separator or is_generated(successor))


def value_of(session_id: str, successor: str | None) -> str:
    """Return the cookie's value for a session.

    If a reply was lost, it is unknown whether the session has a new id. The cookie then has both the old id and the new
    one, its possible successor, so that the client keeps its session in either case.
    """
    return session_id if successor is None else f"{session_id}{_SEPARATOR}{successor}"


def ids_in(value: str) -> tuple[str, str | None]:
    """Return the id in a cookie's value, and its possible successor."""
    session_id, separator, successor = value.partition(_SEPARATOR)
    return (session_id, successor) if separator and is_acceptable(value) else (value, None)


class CookieChange(NamedTuple):
    """A cookie to send.

    Attributes:
        value: the session's id, or two: see `value_of`; None deletes the cookie.
        max_age: seconds until the browser deletes it; None keeps it until the browser closes.

    """

    value: str | None
    max_age: int | None = None


@dataclass(frozen=True)
class CookieSettings:
    """The settings of the session cookie.

    Attributes:
        name: its name, without the prefix `__Host-`.
        path, domain: where browsers send it.
        secure: whether they send it over HTTPS only. Some browsers make an exception for localhost.
        http_only: whether scripts on the page cannot read it.
        same_site: `lax`, `strict` or `none`; `none` needs `secure`.
        partitioned: whether it is kept apart for each site that embeds this one (CHIPS). Needs `secure`.
        host_prefix: whether the name begins with `__Host-`, so that browsers accept it from this host only and
            over HTTPS only. None adds the prefix where it is allowed: with `secure`, the path `/`, and no domain.
        accepts: a function that tells whether a value may be the id of a session, before the store is asked.

    """

    name: str = "session"
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    http_only: bool = True
    same_site: SameSite = "lax"
    partitioned: bool = False
    host_prefix: bool | None = None
    accepts: Callable[[str], bool] = is_acceptable

    def __post_init__(self) -> None:
        """Raise ValueError for a malformed setting."""
        if not isinstance(self.name, str) or not _TOKEN(self.name):
            raise ValueError("the name of the cookie must be letters, digits, or any of !#$%&'*+-.^_`|~")
        for text in (self.path, self.domain or ""):
            if not isinstance(text, str) or not _ATTRIBUTE(text):
                raise ValueError("path and domain of the cookie must be visible ASCII characters without a semicolon")
        if self.same_site not in ("lax", "strict", "none"):
            raise ValueError(f"same_site must be 'lax', 'strict' or 'none', not {self.same_site!r}")
        if (self.host_prefix or self.name.lower().startswith(_HOST_PREFIX.lower())) and not self._may_have_prefix:
            raise ValueError("a cookie with the prefix __Host- must be secure, with the path / and without a domain")

    @property
    def _may_have_prefix(self) -> bool:
        return self.secure and self.path == "/" and not self.domain

    @cached_property
    def full_name(self) -> str:
        """The name in headers."""
        wanted = self._may_have_prefix if self.host_prefix is None else self.host_prefix
        is_prefixed = self.name.lower().startswith(("__host-", "__secure-"))
        return f"{_HOST_PREFIX}{self.name}" if wanted and not is_prefixed else self.name

    def find(self, header: str) -> str | None:
        """Return the session id in a Cookie header, or None.

        Malformed headers and foreign values count as no cookie; they are neither logged nor errors. Of several cookies
        with this name, the first one whose value may be an id counts, because browsers send the most specific first.
        """
        return next(filter(self.accepts, _values(header, self.full_name)), None)

    def header(self, change: CookieChange) -> str:
        """Return the value of a Set-Cookie header. The one that deletes the cookie repeats all attributes."""
        parts = [f"{self.full_name}={change.value or 'null'}", f"path={self.path}"]
        if change.max_age is not None:
            parts.append(f"Max-Age={change.max_age}")
        elif change.value is None:
            parts.append(_EXPIRED)
        return "; ".join([*parts, *self._attributes()])

    def _attributes(self) -> Iterator[str]:
        if self.http_only:
            yield "httponly"
        yield f"samesite={self.same_site}"
        if self.secure:
            yield "secure"
        if self.domain:
            yield f"domain={self.domain}"
        if self.partitioned:
            yield "partitioned"


def _values(header: str, name: str) -> Iterator[str]:
    if len(header) <= _MAX_HEADER and name in header:
        for part in header.split(";"):
            key, _, value = part.partition("=")
            if key.strip() == name:
                yield value.strip(' \t"')
