"""Transforms: read a value, let the caller's function compute a new one, and write it if the old one is unchanged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from random import random
from typing import Any, Final

from ..core import data_operations, operation_ids, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.values import ValueCodec, decode_value, salt_of, salted
from ..enums import ABSENT
from ..exceptions import MetadataConflictError
from ..models import Transformed
from . import results
from .executor import Execute
from .key_queues import turn
from .outcomes import unknown_after_lost_reply

MAX_ATTEMPTS: Final = 100
"""Most attempts at a transform, by default."""

_PATIENT: Final = 3
"""Lost attempts up to which the pauses get longer, because other callers are at work. After that they get shorter."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A change of one metadata value by a function.

    Attributes:
        values: the codec of the value.
        key: the metadata key.
        field: its field in the record.
        function: it gets the value and returns a new one, or ABSENT.
        default: the value that the function gets for a missing key.
        operation_id: of the write, so that it is applied once although replies get lost.
        repeatable: the caller may repeat the transform with the same operation id, so it may have been applied before.
        max_bytes: most bytes of the key and its new value.
        session_bytes: most bytes of metadata that the session may have.
        updates: whether the change is an event of a session that emits events.

    """

    values: ValueCodec
    key: str
    field: bytes
    function: Callable[[Any], Any]
    default: Any
    operation_id: bytes
    repeatable: bool
    max_bytes: int
    session_bytes: int
    updates: bool

    async def run(self, execute: Execute, target: SessionKeys, max_attempts: int) -> Transformed | None:
        """Apply the transform, and return its result; None when there is no such session.

        Raises MetadataConflictError when the value was changed during each of `max_attempts` attempts.
        """
        async with turn((target.record, self.field)):
            attempt = 1
            while True:
                begun_at = time.monotonic()
                result = await self._attempt(execute, target, attempt)
                if not isinstance(result, MetadataConflictError):
                    return result
                if attempt >= max_attempts:
                    raise result
                await asyncio.sleep(pause(attempt, time.monotonic() - begun_at))
                attempt += 1

    async def _attempt(
        self, execute: Execute, target: SessionKeys, attempt: int
    ) -> Transformed | MetadataConflictError | None:
        reply = await self._read(execute, target)
        if reply[0] == s.GONE:
            return None
        fields = results.fields(reply)
        if self.repeatable and self.operation_id in reply[3][::2]:
            return Transformed(self._value(fields), 0)
        value = self._new_value(fields)
        call = self._write(target, fields, value)
        if call is None:
            return Transformed(value, attempt)
        try:
            # With an idempotency key, the caller may repeat the transform.
            with nullcontext() if self.repeatable else unknown_after_lost_reply:
                reply = await execute(target, call, _reply)
        except MetadataConflictError as conflict:
            return conflict
        if reply[0] == s.OTHER_SALT:
            # The session was replaced by another one meanwhile.
            return MetadataConflictError((self.key,))
        if reply[0] == s.APPLIED and self.repeatable:
            # Another call with the same key was applied in the meantime, or this one was and its reply got lost.
            reply = await self._read(execute, target)
            value, attempt = self._value(results.fields(reply)), 0
        return None if reply[0] == s.GONE else Transformed(value, attempt)

    def _value(self, fields: Mapping[bytes, bytes]) -> Any:
        """Return the value in the fields of a record; ABSENT for a missing key."""
        return decode_value(self.values, self.field, fields)

    async def _read(self, execute: Execute, target: SessionKeys) -> Reply:
        return await execute(target, operations.read(target, operation_ids=self.repeatable), _reply)

    def _new_value(self, fields: Mapping[bytes, bytes]) -> Any:
        value = self._old_value(fields)
        result = self.function(value)
        if result is None and value != self._old_value(fields):
            raise ValueError("the function changed the value but returned None; it must return the new value")
        return result

    def _old_value(self, fields: Mapping[bytes, bytes]) -> Any:
        """Return an object of its own for each call, because the function may change it."""
        return self._value(fields) if self.field in fields else deepcopy(self.default)

    def _write(self, target: SessionKeys, fields: Mapping[bytes, bytes], value: Any) -> Call | None:
        """Return the call that writes a value, or None if nothing would change."""
        text, salt = fields.get(self.field, b""), salt_of(self.values, fields)
        pairs = [] if value is ABSENT else self.values.encode({self.key: value}, self.max_bytes, salt)
        if not self.repeatable and text == self._unchanged(value, pairs, fields):
            return None
        return data_operations.merge(
            target,
            pairs=salted(pairs, salt),
            removals=() if pairs else (self.field,),
            expected=[self.field, text],
            operation_id=self.operation_id,
            window_ms=operation_ids.ONCE_WINDOW_MS if self.repeatable else operation_ids.TRANSFORM_WINDOW_MS,
            limit=self.session_bytes,
            updates=self.updates,
        )

    def _unchanged(self, value: Any, pairs: Sequence[bytes], fields: Mapping[bytes, bytes]) -> bytes:
        """Return the bytes that the record has in the field if the new value is the old one."""
        if self.values.needs_fields and pairs:
            pairs = self.values.encode_expected({self.key: value}, self.max_bytes, fields)
        return pairs[1] if pairs else b""


def pause(lost: int, attempt_seconds: float) -> float:
    """Return how long to wait after `lost` attempts that took this long each, so that concurrent callers make way.

    The pauses are random. They get longer at first, and then shorter, so that a caller who has lost often comes first.
    """
    steps = 2**lost if lost <= _PATIENT else 2**_PATIENT / (lost - _PATIENT)
    return random() * steps * attempt_seconds


def _reply(reply: Reply) -> Reply:
    return reply
