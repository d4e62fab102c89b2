"""The methods of SessionManager that change a session's data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core import codec, data_operations, operation_ids, validation
from ..core.keys import SessionKeys
from ..models import Increment
from . import results
from .executor import Execute
from .policy import SessionPolicy


class SessionData:
    """The metadata of a session: updating it and counting in it."""

    _find: Callable[[str | None], SessionKeys | None]
    _execute: Execute
    _policy: SessionPolicy
    _max_metadata_bytes: int

    async def update_session_metadata(
        self,
        session_id: str,
        custom_metadata: dict[str, Any],
        merge: bool = True,
        *,
        remove: Iterable[str] = (),
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        """Change metadata in one atomic step. Returns False when there is no such session.

        Args:
            session_id: the session's id.
            custom_metadata: top-level keys to set.
            merge: keep the other keys; False replaces all metadata by `custom_metadata`.
            remove: keys to remove; missing ones are ignored.
            expected_version: the required `SessionMetadata.version`, for optimistic concurrency control.
            idempotency_key: apply only the first of the calls for this session with this key within ten minutes.

        Raises:
            ValueError: an argument is malformed, InvalidMetadataError and MetadataTooLargeError included.
            VersionConflictError: the session has another version; nothing was changed.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was changed.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        pairs = codec.encode(custom_metadata, self._max_metadata_bytes)
        removals = validation.removals(remove)
        if expected_version is not None:
            validation.check_whole(expected_version, "expected_version")
        operation_id = b"" if idempotency_key is None else operation_ids.operation_id(idempotency_key, kind="merge")
        target = self._find(session_id)
        if target is None:
            return False
        call = data_operations.merge(
            target,
            pairs=pairs,
            removals=removals,
            replace=not merge,
            version=expected_version,
            operation_id=operation_id,
            limit=self._policy.session_bytes,
        )
        return await self._execute(target, call, results.is_ok)

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
        field = codec.field_of(key)
        validation.check_whole(amount, "amount")
        if ceiling is not None:
            validation.check_whole(ceiling, "ceiling")
        operation_id = b"" if idempotency_key is None else operation_ids.operation_id(idempotency_key, kind="increment")
        target = self._find(session_id)
        if target is None:
            return None
        limit = self._policy.session_bytes
        call = data_operations.increment(
            target, field=field, amount=amount, ceiling=ceiling, operation_id=operation_id, limit=limit
        )
        return await self._execute(target, call, results.increment)
