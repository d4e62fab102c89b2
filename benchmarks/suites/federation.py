"""The suite federation: resolving a grant within one store, compared with validating a session.

All run in this process, on the same sessions. The peers `resolve, seen` and `resolve, new` differ in whether the token
was verified before: the first has few tokens, and the second more than are remembered. The peer `validate and verify`
shows what a new token must cost: a validation, and one verification of a signature by the package `cryptography`.
"""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import cycle
from typing import Any, Self

import uvloop

from benchmarks.harness import cores
from benchmarks.harness.cores import running_server
from benchmarks.harness.process import Sample
from benchmarks.harness.rounds import Measurable, RunSettings, Task, measure_rounds
from benchmarks.report.results import Results
from chuk_sessions import SessionManager
from chuk_sessions.federation import Federation, generate_signing_key, tokens
from chuk_sessions.providers import redis
from tests.harness.servers import Server

SECTION = "federation"
VALIDATE, SEEN, NEW, GRANT = "validate", "resolve, seen", "resolve, new", "grant and revoke"
VALIDATE_AND_VERIFY = "validate and verify"
SIGN, VERIFY = "sign", "verify"
SESSIONS = 1024
SEEN_TOKENS = 32
NEW_TOKENS = 4 * tokens.MAX_CACHED
PATH = "reports/2026.txt"


class Sandboxes:
    """Two sandboxes on one store. Each use in `uses` is one call, whose number it gets."""

    def __init__(self, server: Server) -> None:
        key = generate_signing_key()
        self._key = key.public_key()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._giving = SessionManager("giving", redis.factory(server.url), federation=Federation(keys={"k1": key}))
        trust = {"giving": {"k1": key.public_key()}}
        self._resolving = SessionManager("resolving", redis.factory(server.url), federation=Federation(trust=trust))
        self._federation: Federation = self._giving.federation
        self._trust = {"giving": self._federation.keys.public} if self._federation.keys else {}

    def __enter__(self) -> Self:
        self._runner.run(self._prepare())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _prepare(self) -> None:
        ids = [await self._giving.allocate_session(user_id=f"user{number}") for number in range(SESSIONS)]
        self._session_ids = cycle(ids)
        given = [await self._grant(session_id) for session_id in ids for _ in range(NEW_TOKENS // SESSIONS)]
        self._seen, self._new = cycle(given[:: NEW_TOKENS // SEEN_TOKENS]), cycle(given)
        self._signed = cycle(given)

    async def _grant(self, session_id: str) -> str:
        token = await self._giving.grant_session(session_id, to="resolving", path="reports", ttl_seconds=86_400)
        assert token is not None
        return token

    async def _close(self) -> None:
        await self._giving.aclose()
        await self._resolving.aclose()

    def uses(self) -> dict[str, Callable[[], Awaitable[object]]]:
        """Return the calls to compare, by the name of the peer."""

        async def resolve(given: Iterator[str]) -> None:
            assert await self._resolving.resolve_grant(next(given), PATH)

        async def validate_and_verify() -> None:
            signed, _, signature = next(self._signed).rpartition(".")
            self._key.verify(urlsafe_b64decode(f"{signature}=="), signed.encode())
            assert await self._giving.validate_session(next(self._session_ids))

        async def grant_and_revoke() -> None:
            assert await self._giving.revoke_grant(await self._grant(next(self._session_ids)))

        return {
            VALIDATE: lambda: self._giving.validate_session(next(self._session_ids)),
            SEEN: lambda: resolve(self._seen),
            VALIDATE_AND_VERIFY: validate_and_verify,
            NEW: lambda: resolve(self._new),
            GRANT: grant_and_revoke,
        }

    def signatures(self) -> dict[str, Callable[[], object]]:
        """Return the functions that need no store, by the name of the peer."""
        keys = self._federation.keys
        assert keys is not None
        grant = tokens.signed_grant(next(self._signed), audience="resolving", trust=self._trust)
        assert grant is not None
        return {
            SIGN: lambda: tokens.mint(grant, keys.signing_key, keys.signing),
            VERIFY: lambda: tokens.signed_grant(next(self._signed), audience="resolving", trust=self._trust),
        }

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the event loop of the managers."""
        self._runner.run(coroutine)


class Calls:
    """One call, repeated by a number of concurrent callers."""

    def __init__(self, sandboxes: Sandboxes, use: Callable[[], Awaitable[object]]) -> None:
        self._sandboxes = sandboxes
        self._use = use

    def supports(self, operation: str) -> bool:
        """Return whether the operation is a call."""
        return operation == "call"

    def measure(self, _operation: str, callers: int, seconds: float) -> Sample:
        """Call for some seconds."""
        times: list[float] = []
        clock = time.perf_counter

        async def caller(ends_at: float) -> None:
            while (started := clock()) < ends_at:
                await self._use()
                times.append(clock() - started)

        async def run() -> None:
            await asyncio.gather(*(caller(clock() + seconds) for _ in range(max(1, callers))))

        started, cpu = clock(), time.process_time()
        self._sandboxes.run(run())
        return sample(times, clock() - started, time.process_time() - cpu)


class Signatures:
    """A function, repeated without any waiting."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function

    def supports(self, operation: str) -> bool:
        """Return whether the operation is a function."""
        return operation == "signature"

    def measure(self, _operation: str, _callers: int, seconds: float) -> Sample:
        """Call for some seconds."""
        times: list[float] = []
        clock = time.perf_counter
        begun, cpu = clock(), time.process_time()
        while (started := clock()) < begun + seconds:
            assert self._function()
            times.append(clock() - started)
        return sample(times, clock() - begun, time.process_time() - cpu)


def sample(times: list[float], seconds: float, cpu: float) -> Sample:
    """Return the sample of calls that took these times, in seconds."""
    times.sort()
    p50, p99, p999 = (times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99, 0.999))
    return Sample(len(times), seconds, cpu, p50, p99, p999)


def measure(settings: RunSettings, results: Results) -> None:
    """Measure 1 and 100 callers, and signatures alone."""
    with running_server(settings.server) as server, cores.on_client_cores("federation"), Sandboxes(server) as sandboxes:
        calls: dict[str, Measurable] = {name: Calls(sandboxes, use) for name, use in sandboxes.uses().items()}
        signatures: dict[str, Measurable] = {name: Signatures(use) for name, use in sandboxes.signatures().items()}
        for callers in (1, 100):
            results.rows.append(measure_rounds(settings, Task(SECTION, "call", callers), calls))
        results.rows.append(measure_rounds(settings, Task(SECTION, "signature", 1), signatures))
