"""Updates of metadata with a codec that needs the salt of the session, or its fields for comparisons.

The caller need not know the salt. An update carries the one that its values were encoded under: that of the session, as
far as it is remembered, and otherwise a random one, which a record without a salt adopts. If the record has another
salt, the script writes nothing and replies with it, and the update is encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ..core import operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call
from ..core.values import SALT, new_salt
from ..exceptions import MetadataConflictError, SessionConflictError
from . import results
from .executor import MAX_ATTEMPTS, Executor
from .salts import RecentSalts

_NO_FIELDS: Final[Mapping[bytes, bytes]] = MappingProxyType({})

Update = Callable[[bytes, Mapping[bytes, bytes]], Call | None]
"""Builds the call of an update from a salt and the fields of the record, which only comparisons need."""

Holds = Callable[[Mapping[bytes, bytes]], bool]
"""Returns whether the fields of a record have the values that an update expects."""


class EncryptedUpdates:
    """Sends updates until one has the salt of its session."""

    def __init__(self, executor: Executor, salts: RecentSalts) -> None:
        self._executor = executor
        self._values = executor.values
        self._salts = salts

    async def update(self, target: SessionKeys, update: Update, holds: Holds | None = None) -> bool:
        """Send an update, which with `holds` compares values. Returns whether there is such a session.

        Nearly all updates need one attempt and no other coroutine than this one. Raises MetadataConflictError if the
        values are other ones. If they are only encoded in another way than they were when this read them, it reads them
        again.
        """
        fields = _NO_FIELDS if holds is None else await self._read(target)
        for _ in range(MAX_ATTEMPTS):
            salt = self._salts.get(target.record) or new_salt(self._values) if self._values.needs_salt else b""
            call = update(salt, fields)
            if call is None:
                return False
            reply = await self._executor.submit(call)
            try:
                if reply[0] != s.OK:
                    _, reply = await self._executor.follow_rotation(target, call, reply)
            except MetadataConflictError:
                if holds is None or not holds(fields := await self._read(target)):
                    raise
                continue
            if reply[0] != s.OTHER_SALT:
                self._salts.note(target.record, salt)
                return results.is_ok(reply)
            self._salts.note(target.record, reply[1])
            if holds is not None:
                fields = await self._read(target)
        raise SessionConflictError("the session keeps being replaced; try again")

    async def _read(self, target: SessionKeys) -> Mapping[bytes, bytes]:
        call = operations.read(target)
        fields = await self._executor.execute_following_rotation(target, call, results.fields)
        self._salts.note(target.record, fields.get(SALT))
        return fields
