"""The methods of SessionManager that change a session's data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from ..core import codec, data_operations, operation_ids, validation
from ..core.durations import ms_from_seconds
from ..core.keys import SessionKeys
from ..core.operation import Call
from ..core.values import ValueCodec, salted
from ..models import Increment, Transformed
from . import results
from .encrypted_updates import EncryptedUpdates
from .executor import Execute
from .policy import SessionPolicy
from .transform import MAX_ATTEMPTS, Transform

_NO_FIELDS: Mapping[bytes, bytes] = MappingProxyType({})
_NO_PAIRS: Sequence[bytes] = ()


class SessionData:
    """The metadata of a session: updating it, changing single values, and counting."""

    _find: Callable[[str | None], SessionKeys | None]
    _execute: Execute
    _policy: SessionPolicy
    _values: ValueCodec
    _encrypted: EncryptedUpdates
    _max_metadata_bytes: int

    async def update_session_metadata(
        self,
        session_id: str,
        custom_metadata: dict[str, Any],
        merge: bool = True,
        *,
        remove: Iterable[str] = (),
        expected_version: int | None = None,
        expected: Mapping[str, Any] | None = None,
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        """Change metadata in one atomic step. Returns False when there is no such session.

        Args:
            session_id: the session's id.
            custom_metadata: top-level keys to set.
            merge: keep the other keys; False replaces all metadata by `custom_metadata`.
            remove: keys to remove; missing ones are ignored.
            expected_version: the required `SessionMetadata.version`, for optimistic concurrency control.
            expected: values that keys must have, or ABSENT for keys that must not exist. Their JSON texts are compared,
                so the order of the keys in a dict matters.
            ttl_seconds: seconds from now until the new deadline of the session, which may be earlier than the present
                one; by default the deadline stays.
            idempotency_key: apply only the first of the calls for this session with this key within ten minutes.

        Raises:
            ValueError: an argument is malformed, InvalidMetadataError and MetadataTooLargeError included.
            VersionConflictError: the session has another version; nothing was changed.
            MetadataConflictError: keys have other values than `expected`; nothing was changed.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was changed.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        target, limit = self._find(session_id), self._max_metadata_bytes
        removals = validation.removals(remove)
        if expected_version is not None:
            validation.check_whole(expected_version, "expected_version")
        ttl_ms = None if ttl_seconds is None else ms_from_seconds(ttl_seconds, "ttl_seconds")
        operation_id = b"" if idempotency_key is None else operation_ids.operation_id(idempotency_key, kind="merge")

        def update(salt: bytes = b"", fields: Mapping[bytes, bytes] = _NO_FIELDS) -> Call | None:
            pairs = self._values.encode(custom_metadata, limit, salt)
            compared = _NO_PAIRS if expected is None else self._values.encode_expected(expected, limit, fields)
            return target and data_operations.merge(
                target,
                pairs=salted(pairs, salt) if salt else pairs,
                removals=removals,
                replace=not merge,
                version=expected_version,
                expected=compared,
                operation_id=operation_id,
                ttl_ms=ttl_ms,
                retention_ms=self._policy.retention_ms,
                limit=self._policy.session_bytes,
                updates=self._policy.updates,
            )

        if target is not None and self._values.needs_fields:
            holds = None if expected is None else partial(self._holds, expected, limit)
            return await self._encrypted.update(target, update, holds)
        call = update()
        return target is not None and call is not None and await self._execute(target, call, results.is_ok)

    def _holds(self, expected: Mapping[str, Any], limit: int, fields: Mapping[bytes, bytes]) -> bool:
        """Return whether the fields of a record have the expected values."""
        compared = iter(self._values.encode_expected(expected, limit, fields))
        return all(fields.get(field, b"") == value for field, value in zip(compared, compared, strict=True))

    async def increment_session_counter(
        self,
        session_id: str,
        key: str,
        amount: int = 1,
        *,
        ceiling: int | None = None,
        idempotency_key: str | None = None,
    ) -> Increment | None:
        """Add to a metadata value that is a whole number, unless the result is above the ceiling; a missing one is 0.

        The result is truthy when the addition was applied: `if await manager.increment_session_counter(sid, "requests",
        ceiling=100)` is a quota for the session's lifetime, and `rate_limit_session` limits requests over time. Returns
        None when there is no such session. With an `idempotency_key` that was used in the last ten minutes nothing is
        added, and the result has the current value.

        Raises:
            NotACounterError: the value is not a whole number within ±(2^53 − 1), or would leave that range.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was added.
            ValueError: an argument is malformed.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        field = self._values.plain_field(key)
        validation.check_whole(amount, "amount")
        if ceiling is not None:
            validation.check_whole(ceiling, "ceiling")
        operation_id = b"" if idempotency_key is None else operation_ids.operation_id(idempotency_key, kind="increment")
        target = self._find(session_id)
        if target is None:
            return None
        limit = self._policy.session_bytes
        call = data_operations.increment(
            target,
            field=field,
            amount=amount,
            ceiling=ceiling,
            operation_id=operation_id,
            limit=limit,
            updates=self._policy.updates,
        )
        return await self._execute(target, call, results.increment)

    async def append_session_metadata(
        self,
        session_id: str,
        key: str,
        *items: Any,
        max_bytes: int | None = None,
        idempotency_key: str | None = None,
    ) -> int | None:
        """Append to a metadata value that is a list, in one atomic step; a missing one is an empty list.

        The store does not decode the list, so that an append costs little, however many items there are. Returns the
        size of the list in bytes, as JSON, and None when there is no such session. With an `idempotency_key` that was
        used in the last ten minutes nothing is appended.

        Raises:
            NotAListError: the value is not a list.
            ListFullError: the list would have more than `max_bytes`; nothing was appended.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was appended.
            ValueError: an argument is malformed, InvalidMetadataError and MetadataTooLargeError included.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        self._values.plain_field(key)
        field, texts = codec.encode_items(key, items, self._max_metadata_bytes)
        if max_bytes is not None:
            validation.positive(max_bytes, "max_bytes")
        operation_id = b"" if idempotency_key is None else operation_ids.operation_id(idempotency_key, kind="append")
        target = self._find(session_id)
        if target is None:
            return None
        limit = self._policy.session_bytes
        call = data_operations.append(
            target,
            field=field,
            items=texts,
            most=max_bytes,
            operation_id=operation_id,
            limit=limit,
            updates=self._policy.updates,
        )
        return await self._execute(target, call, results.size)

    async def transform_session_metadata(
        self,
        session_id: str,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        max_attempts: int = MAX_ATTEMPTS,
        idempotency_key: str | None = None,
    ) -> Transformed | None:
        """Replace a metadata value by `function(value)`, unless it changes meanwhile: then read it and try again.

        No concurrent change is lost. Calls for the same key wait for each other in this event loop, so that conflicts
        only arise with other ones and other processes. A lost reply is retried, and the new value is written once.

        Args:
            session_id: the session's id.
            key: the metadata key.
            function: it gets the present value and returns the new one, or ABSENT to remove the key. It runs once for
                each attempt, so it should do nothing else. It may change the object that it gets, and must return it.
                It is not a coroutine function. If it raises an error, nothing is changed, and the error propagates.
            default: the value that the function gets if there is no such key; a copy, if it is mutable.
            max_attempts: most calls of the function.
            idempotency_key: apply only the first of the calls for this session with this key within ten minutes. The
                later ones return the current value, and do not call the function.

        Returns:
            The new value with the number of attempts, or None when there is no such session.

        Raises:
            MetadataConflictError: the value was changed during each of the attempts; nothing was changed by this call.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was changed.
            ValueError: an argument or the new value is malformed, InvalidMetadataError and MetadataTooLargeError
                included.
            OutcomeUnknownError: the reply to the write was lost, and the store did not answer the retries. With an
                idempotency key, this is a SessionUnavailableError, because the call can be repeated.

        """
        validation.plain_function(function, "function")
        transform = Transform(
            values=self._values,
            key=key,
            field=codec.field_of(key),
            function=function,
            default=default,
            operation_id=operation_ids.operation_id(idempotency_key, kind="transform"),
            repeatable=idempotency_key is not None,
            max_bytes=self._max_metadata_bytes,
            session_bytes=self._policy.session_bytes,
            updates=self._policy.updates,
        )
        validation.positive(max_attempts, "max_attempts")
        target = self._find(session_id)
        return None if target is None else await transform.run(self._execute, target, max_attempts)
