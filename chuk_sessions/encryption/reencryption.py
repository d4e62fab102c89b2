"""Reencryption: rewrites all records of a sandbox in the current encoding, and counts records by key.

It switches encryption on, moves records to a new primary key, and, with `primary=None`, switches encryption off. Other
processes can use the sessions in the meantime. Each record is rewritten in one atomic step. If it has changed since it
was read, it is read again. Neither its version nor its deadline changes, because its data does not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ..backends.base import Backend
from ..core import data_operations, ids, keys, note_operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.owners import TEXT
from ..engine.executor import MAX_ATTEMPTS, Executor
from ..exceptions import CorruptRecordError, KeyUnavailableError, NotSupportedError, SessionConflictError
from .configuration import Encryption
from .values import EncryptedValues, Rewriting
from .walk import Stored, stored_sessions

_CONCURRENT_BUCKETS: Final = 16

PLAIN: Final = "plain"
"""The name under which `count_keys` counts records with values that are not encrypted."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a reencryption.

    Attributes:
        bucket: the number of buckets that are complete, 0 to 256. To resume, pass it as `start`.
        rewritten: records that were rewritten.
        unavailable: records under keys that are not available; they were left as they are.
        damaged: records that cannot be decrypted; they were left as they are.

    """

    bucket: int = 0
    rewritten: int = 0
    unavailable: int = 0
    damaged: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all records that can be read are in the current encoding."""
        return self.bucket == ids.BUCKETS and not self.unavailable


async def reencrypt(
    factory: Any,
    sandbox_id: str,
    encryption: Encryption,
    *,
    start: int = 0,
    on_progress: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Bring the records of a sandbox into the encoding that `encryption` writes. Safe to repeat and to interrupt.

    Args:
        factory: the factory of a provider with an index, as a SessionManager gets it.
        sandbox_id: the sandbox.
        encryption: its primary key encrypts. With `primary=None`, records are decrypted.
        start: the bucket to begin with: `bucket` of an earlier `Progress`.
        on_progress: called each time another 16 of the 256 buckets are complete.

    Raises:
        NotSupportedError: the provider has no index.
        SessionUnavailableError: the store cannot be reached; resume later.
        SessionConflictError: records change so often that they cannot be rewritten; resume later.

    """
    progress, job = Progress(bucket=start), _Job(factory, sandbox_id, encryption)
    while progress.bucket < ids.BUCKETS:
        buckets = range(progress.bucket, min(progress.bucket + _CONCURRENT_BUCKETS, ids.BUCKETS))
        parts = await asyncio.gather(*map(job.bucket, buckets))
        progress = Progress(
            buckets.stop,
            progress.rewritten + sum(part.rewritten for part in parts),
            progress.unavailable + sum(part.unavailable for part in parts),
            progress.damaged + sum(part.damaged for part in parts),
        )
        on_progress(progress)
    return progress


async def count_keys(factory: Any, sandbox_id: str, encryption: Encryption) -> Counter[str]:
    """Count the records of a sandbox by the ids of the keys that their values are encrypted under.

    A record counts once for each of its keys. A record with plain text that should be encrypted counts as `plain`, and
    one under a key that is not available as `unavailable:HASH`. Records without values or owner are not counted.

    Raises NotSupportedError if the provider has no index.
    """
    job, counts = _Job(factory, sandbox_id, encryption), Counter[bytes | None]()
    for first in range(0, ids.BUCKETS, _CONCURRENT_BUCKETS):
        for used in await asyncio.gather(*map(job.keys_in, range(first, first + _CONCURRENT_BUCKETS))):
            counts.update(used)
    return Counter({PLAIN if key is None else encryption.name_of(key): number for key, number in counts.items()})


class _Job:
    """The sessions of a sandbox, and the encoding that they should have."""

    def __init__(self, factory: Any, sandbox_id: str, encryption: Encryption) -> None:
        backend: Backend | None = getattr(factory, "backend", None)
        if backend is None:
            raise NotSupportedError("a custom provider has no index, so its records are rewritten by updates only")
        self.values: EncryptedValues = encryption.codec(sandbox_id)
        self.executor = Executor(backend, sandbox_id, self.values)

    async def keys_in(self, bucket: int) -> Counter[bytes | None]:
        """Count the records of a bucket by the hash of the key; None stands for text."""
        counts = Counter[bytes | None]()
        async for group in stored_sessions(self.executor, bucket):
            for _, fields in group:
                counts.update(set(self.values.keys_in(fields)))
        return counts

    async def bucket(self, bucket: int) -> Progress:
        """Rewrite the records of a bucket until a walk finds nothing to do: rotations hide sessions from a walk."""
        progress = Progress(bucket)
        for _ in range(MAX_ATTEMPTS):
            tried, progress = 0, replace(progress, unavailable=0, damaged=0)
            async for group in stored_sessions(self.executor, bucket):
                progress, number = await self._rewrite(group, progress)
                tried += number
            if not tried:
                return progress
        raise SessionConflictError("records keep changing before they are rewritten; resume later")

    async def _rewrite(self, group: list[Stored], progress: Progress) -> tuple[Progress, int]:
        """Rewrite the given records where needed. Return how many of them the next walk must look at again.

        These are the records that have changed in the meantime.
        """
        rewritten, unavailable, damaged, calls = progress.rewritten, progress.unavailable, progress.damaged, []
        for target, fields in group:
            try:
                rewriting = self.values.rewriting(fields)
            except KeyUnavailableError:
                unavailable += 1
            except CorruptRecordError:
                damaged += 1
            else:
                if rewriting is not None and fields:
                    await self._note_stray(target, fields, rewriting)
                    calls.append(_call(target, fields, rewriting))
        replies = await self.executor.execute_all(calls, accepted=(s.CONFLICT, s.OTHER_SALT, s.CORRUPT))
        numbers = Counter(reply[0] for reply in replies)
        rewritten, damaged = rewritten + numbers[s.OK], damaged + numbers[s.CORRUPT]
        again = len(replies) - numbers[s.CORRUPT]
        return replace(progress, rewritten=rewritten, unavailable=unavailable, damaged=damaged), again

    async def _note_stray(self, target: SessionKeys, fields: dict[bytes, bytes], rewriting: Rewriting) -> None:
        """Write the note about a stray under its owner's new number, before the index has that number."""
        bucket = target.index_keys.bucket
        if rewriting.score is None or TEXT not in fields:
            return
        owner = self.values.owner_in(fields)
        home = ids.home_bucket(self.executor.sandbox_id, owner)
        if home != bucket:
            index = keys.index(self.executor.sandbox_id, home)
            await self.executor.execute(note_operations.note(index, self.executor.sandbox_id, rewriting.score, bucket))


def _call(target: SessionKeys, fields: dict[bytes, bytes], rewriting: Rewriting) -> Any:
    return data_operations.rewrite(
        target,
        created=fields.get(b"c", b""),
        version=fields.get(b"v", b""),
        pairs=rewriting.pairs,
        removals=rewriting.removals,
        user=rewriting.score,
    )
