"""Owners: the forms in which records and indexes have a user.

A record has its owner as text in the field `u`. With encryption, `u` is encrypted, and the field `h` has a keyed hash
of the user, which scripts compare instead. While encryption is being switched on or off, records of both kinds exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ..exceptions import KeyUnavailableError

TEXT: Final = b"u"
"""The field of the owner, as text or encrypted."""

HASH: Final = b"h"
"""The field of the keyed hash of the owner."""

KEYED: Final = b"\xff"
"""The first byte of each keyed hash. No text in UTF-8 has it."""

HASHED: Final = b"\xfe"
"""The first byte of the SHA-1 of a text. Scripts compare it with texts, so that a call need not contain the text."""


class Form(NamedTuple):
    """One form of a user.

    Attributes:
        identity: the bytes that scripts compare: the user id as text, its SHA-1, or its keyed hash.
        score: the number under which the index has sessions whose records have this form.

    """

    identity: bytes
    score: int

    @property
    def is_keyed(self) -> bool:
        """Whether it is a keyed hash."""
        return self.identity.startswith(KEYED)

    def matches(self, fields: Mapping[bytes, bytes]) -> bool:
        """Return whether a record has this user in this form."""
        text = fields.get(TEXT)
        if HASH in fields or text is None or not self.identity.startswith(HASHED):
            return identity_of(fields) == self.identity
        return hashed(text) == self.identity


class Owner(NamedTuple):
    """A user, or nobody.

    Attributes:
        form: the form for new records; an empty identity for nobody.
        other: another form, which records may have; None if there is only one.

    """

    form: Form
    other: Form | None = None

    def forms(self) -> tuple[Form, ...]:
        """Return all forms."""
        return (self.form,) if self.other is None else (self.form, self.other)

    def search_order(self) -> Iterator[int]:
        """Yield the scores to look up one after the other. A session whose form changes meanwhile is then found.

        It may change in either direction, so one score comes twice.
        """
        yield self.form.score
        if self.other is not None:
            yield self.other.score
            yield self.form.score

    def identity_in(self, fields: Mapping[bytes, bytes]) -> bytes | None:
        """Return the identity of the form that a record has, or None if it has another user or none.

        Raises KeyUnavailableError if nobody can tell, because the record has a form that this user lacks.
        """
        for form in self.forms():
            if form.matches(fields):
                return form.identity
        if identity_of(fields) is not None and all(form.is_keyed != (HASH in fields) for form in self.forms()):
            raise KeyUnavailableError("the owner of a stored session is encrypted under a key that is not available")
        return None


NOBODY: Final = Owner(Form(b"", 0))
"""The owner of a guest's session."""


def identity_of(fields: Mapping[bytes, bytes]) -> bytes | None:
    """Return the bytes in a record that scripts compare with an identity; None without an owner."""
    return fields.get(HASH, fields.get(TEXT))


def hashed(text: bytes) -> bytes:
    """Return the SHA-1 of a text, as scripts compute it."""
    return HASHED + hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def field_of(identity: bytes) -> bytes:
    """Return the field in which a record has an identity."""
    return HASH if identity.startswith(KEYED) else TEXT
