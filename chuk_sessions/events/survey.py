"""Survey: asks the store at intervals how many sessions are alive, what is unswept, and how far readers are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Final, Self

from ..backends.sharing import SessionFactory
from ..core import ids, index_operations, keys, reader_operations, validation
from ..core.durations import ms_from_seconds
from ..core.figures import REPORTERS, Figure
from ..core.operation import Reply
from ..core.values import json_codec
from ..engine.executor import Executor
from ..exceptions import SessionError
from .names import parse
from .source import Source

logger = logging.getLogger("chuk_sessions.events")

WEBHOOKS: Final = "webhooks"
"""The label of the readers of all endpoints. Endpoints come and go, so they must not be labels."""

_ENDPOINT_READER: Final = "webhook-"
_ALL: Final = range(ids.BUCKETS)


class Survey:
    """Figures about a whole store, for `chuk_sessions.telemetry`. It runs until its context ends.

        async with Survey(url, sandboxes=["shop"]):
            ...

    One process for each store is enough, so run it next to the relay. Each round takes 512 small calls, and 256 more
    for each sandbox. They read indexes with ZCOUNT, and never scan.
    """

    def __init__(
        self,
        source: SessionFactory | str,
        *,
        sandboxes: Collection[str] = (),
        interval_seconds: float = 15,
    ) -> None:
        """Prepare the survey. Nothing is sent.

        Args:
            source: a session factory, or the URL of the store.
            sandboxes: names of the sandboxes whose live sessions are counted.
            interval_seconds: time between two rounds.

        Raises:
            ValueError: an argument is malformed.
            NotSupportedError: `source` is the factory of a custom provider.

        """
        if isinstance(sandboxes, str):
            raise ValueError("sandboxes must be a list of names, not a single string")
        self._sandboxes = [
            ids.check_name(name, "sandbox", validation.MAX_SANDBOX_LENGTH) for name in dict.fromkeys(sandboxes)
        ]
        self._interval = ms_from_seconds(interval_seconds, "interval_seconds") / 1000
        self._source = Source(source)
        self.backend = self._source.backend
        self._executor = Executor(self.backend, "", json_codec(""))
        self._figures: list[Figure] = []
        self._is_failing = False

    async def __aenter__(self) -> Self:
        """Start the rounds. An outage only delays them."""
        self._task = asyncio.get_running_loop().create_task(self._repeat())
        REPORTERS.add(self)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._figures = []
        await self._source.aclose()

    def figures(self) -> list[Figure]:
        """Return the figures of the latest round that succeeded."""
        return self._figures

    async def look(self) -> None:
        """Ask the store now. Raises a subclass of ProviderError if the store does not answer."""
        progress = await self._executor.execute_all([reader_operations.progress(bucket) for bucket in _ALL])
        due = await self._executor.execute_all([index_operations.due(keys.sandboxes(bucket), 1) for bucket in _ALL])
        now = max(int(reply[1]) for reply in progress)
        live = [Figure("live_sessions", await self._count(name), (name,)) for name in self._sandboxes]
        oldest = min((int(float(reply[2])) for reply in due if len(reply) > 2), default=now)
        self._figures = [
            *live,
            *_readers(progress),
            Figure("oldest_unswept_seconds", max(0, now - oldest) / 1000),
            Figure("survey_timestamp_seconds", now / 1000),
        ]

    async def round(self) -> None:
        """Make a round now. Log its failure, unless the round before has failed, too."""
        try:
            await self.look()
            self._is_failing = False
        except SessionError as error:
            if not self._is_failing:
                logger.warning("the survey of the store failed, and is repeated: %s", error)
            self._is_failing = True

    async def _count(self, sandbox_id: str) -> int:
        calls = [index_operations.count(keys.index(sandbox_id, bucket), user=None) for bucket in _ALL]
        return sum(int(reply[1]) for reply in await self._executor.execute_all(calls))

    async def _repeat(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(self._interval)


def _readers(replies: Sequence[Reply]) -> list[Figure]:
    """Return how far readers are. Readers of one name in several sandboxes, and those of webhooks, count together."""
    unread: dict[str, int] = {}
    lost: dict[str, int] = {}
    behind: dict[str, float] = {}
    for reply in replies:
        for one in reader_operations.progress_of(reply):
            name = parse(one.reader)[0]
            name = WEBHOOKS if name.startswith(_ENDPOINT_READER) else name
            unread[name] = unread.get(name, 0) + one.unread
            lost[name] = lost.get(name, 0) + one.lost
            behind[name] = max(behind.get(name, 0.0), one.behind_ms(reply[1]) / 1000)
    return [
        *[Figure("event_lag_events", value, (name,)) for name, value in unread.items()],
        *[Figure("event_lag_seconds", value, (name,)) for name, value in behind.items()],
        *[Figure("events_lost", value, (name,)) for name, value in lost.items()],
    ]
