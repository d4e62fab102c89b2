"""The examination of a store: it collects facts, runs all checks, and returns their findings."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from .. import SessionManager, capabilities
from ..backends.base import Backend
from ..backends.memory.backend import MemoryBackend
from ..backends.sharing import SessionFactory, backend_of, count_managers
from ..core import ids
from ..core.inspection import Inspectable, Inspection, Kind, RefusedError, UnansweredError
from ..core.values import CodecFactory, json_codec
from ..models import ValueEncryption
from ..provider_factory import factory_for_env
from . import checks, rights, sweeps, trial, troubles
from .case import Case, ServerCheck
from .facts import BlockedError, Clock, Facts, read
from .finding import Finding, Verdict, ok, unknown, warning
from .keyspace import EmulatorKeyspace, Keyspace, OnProgress, Progress, ServersKeyspace
from .records import Examiner

NO_FILE = (
    "This server has no configuration file, so it refuses `CONFIG REWRITE`. Instead, change the options that it is "
    "started with."
)

_PINGS = 2
"""Queries that must fail before a server counts as down."""

SAMPLE = 2_000
"""Keys that are examined by default."""


async def examine(
    source: SessionManager | SessionFactory | str | None = None,
    *,
    sandbox_id: str | None = None,
    encryption: ValueEncryption | None = None,
    sample: int | None = SAMPLE,
    writes: bool = True,
    on_progress: OnProgress | None = None,
    clock: Clock = time.time,
) -> list[Finding]:
    """Examine a store, and return the findings of all checks, those without anything to do included.

    No user data is written. The doctor creates and deletes a session of its own in the sandbox `chuk-sessions-doctor`,
    unless `writes` is False. What the server does not let it see is reported with the level `unknown`.

    Args:
        source: a SessionManager, the factory of a provider, or a URL. The default is the provider of the environment.
        sandbox_id: name of the only sandbox whose records are examined. The default is all sandboxes or, for a
            manager, that of the manager.
        encryption: a `chuk_sessions.encryption.Encryption` with all keys of the application. The default is that of
            the environment, or that of the manager.
        sample: about how many keys are examined. None examines all keys, with SCAN on each primary.
        writes: whether the doctor may create its own session.
        on_progress: a function that is called with the Progress of the examination of keys.
        clock: a function that returns the local time in seconds since 1970.

    Raises:
        ProviderError: the store does not answer.
        ValueError: an argument is malformed.

    """
    if sample is not None and (type(sample) is not int or sample < 1):
        raise ValueError(f"sample must be a positive whole number or None, not {sample!r}")
    codec = _codec(source, encryption)
    if isinstance(source, SessionManager):
        sandbox_id, source = sandbox_id or source.sandbox_id, source.session_factory
    if sandbox_id is not None:
        ids.check_name(sandbox_id, "sandbox_id")
    backend = backend_of(_factory(source))
    count_managers(backend, 1)
    try:
        doctor = _Doctor(backend, codec, sandbox_id, sample, writes, on_progress or _ignore, clock)
        return await doctor.examine()
    finally:
        if count_managers(backend, -1) == 0:
            await backend.aclose()


class _Doctor:
    """The examination of one backend, with the arguments of `examine`."""

    def __init__(
        self,
        backend: Backend,
        codec: CodecFactory,
        sandbox_id: str | None,
        sample: int | None,
        writes: bool,
        on_progress: OnProgress,
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._codec = codec
        self._sandbox = sandbox_id
        self._sample = sample
        self._writes = writes
        self._on_progress = on_progress
        self._clock = clock

    async def examine(self) -> list[Finding]:
        if not isinstance(self._backend, Inspectable):
            return await self._without_servers()
        inspection = await self._backend.inspect()
        try:
            return await self._with_servers(inspection)
        finally:
            await inspection.aclose()

    async def _without_servers(self) -> list[Finding]:
        """Examine the emulator or a custom provider."""
        health = await self._backend.ping()
        findings = [_kind_of(self._backend, health.server or self._backend.name)]
        result = await trial.run(self._backend, ids.random_bucket(), writes=self._writes)
        findings.append(trial.verdict(result).on("scripts"))
        if isinstance(self._backend, MemoryBackend):
            now = self._backend.clock.now_ms()
            findings += await self._records(EmulatorKeyspace(self._backend), lambda _: now)
        return findings

    async def _with_servers(self, inspection: Inspection) -> list[Finding]:
        case = await self._case(inspection)
        findings = [ok(_description(inspection)).on(checks.STORE)]
        for facts in case.primaries:
            bucket = None if facts.failure else rights.bucket_on(facts, case)
            if bucket is not None:
                case.trials[facts.server.address] = await trial.run(self._backend, bucket, writes=self._writes)
        keyspace = ServersKeyspace(inspection)
        by_server = {facts.server.address: facts for facts in case.primaries}

        def now_ms(key: str) -> int:
            holder = inspection.holder(key)
            return int(1000 * (self._clock() if holder is None else by_server[holder.address].now()))

        records = await self._records(keyspace, now_ms, case)
        await asyncio.gather(*(_notice_loss(facts) for facts in case.all()))
        for each in (checks.REACHABLE, *checks.SERVER_CHECKS):
            findings += await _run(each, case)
        findings += [finding async for finding in sweeps.sweep(case)]
        return findings + records

    async def _case(self, inspection: Inspection) -> Case:
        parts = inspection.primaries, inspection.replicas, inspection.sentinels
        facts = iter(await asyncio.gather(*(read(server, self._clock) for part in parts for server in part)))
        primaries, replicas, sentinels = ([next(facts) for _ in part] for part in parts)
        return Case(self._backend, inspection, primaries, replicas, sentinels, self._codec, self._sandbox, self._clock)

    async def _records(self, keyspace: Keyspace, now_ms: Any, case: Case | None = None) -> list[Finding]:
        """Examine keys. With a case, note how the servers encode some records."""
        examiner = Examiner(keyspace, self._codec, now_ms, complete=self._sample is None)
        await examiner.walk(self._sandbox, self._sample, self._on_progress)
        findings = list(examiner.tally.findings())
        if case is not None and isinstance(keyspace, ServersKeyspace):
            case.encodings |= await _encodings(keyspace, examiner.record_keys)
            if len(keyspace.failures) == len(case.primaries):
                findings = []
            findings += _not_walked(keyspace)
        return findings


async def _notice_loss(facts: Facts) -> None:
    """Note that a server has stopped answering while keys were examined, which can take long."""
    failure = facts.failure
    for _ in range(0 if failure else _PINGS):
        try:
            await facts.server.query("PING")
            return
        except RefusedError:
            return  # it answers
        except UnansweredError as unanswered:
            failure = str(unanswered)  # perhaps only this process or the network was busy
    facts.failure = failure


async def _run(check: ServerCheck, case: Case) -> list[Finding]:
    """Run a check on each server that it is for."""
    if check is checks.CLUSTER and case.inspection.kind is not Kind.CLUSTER:
        return []
    findings: list[Finding] = []
    for facts in case.all():
        if facts.server.part in check.parts and (not facts.failure or check is checks.REACHABLE):
            verdicts: list[Verdict] = []
            await _collect(check, facts, case, verdicts)
            findings += [_advised(facts, verdict).on(check.name, facts.server.address) for verdict in verdicts]
    return findings


def _advised(facts: Facts, verdict: Verdict) -> Verdict:
    """Return a verdict whose advice works on a server that was started without a configuration file."""
    if "`CONFIG REWRITE`" not in verdict.advice or not facts.has("config_file") or facts.text("config_file"):
        return verdict
    return verdict._replace(advice=f"{verdict.advice} {NO_FILE}")


async def _collect(check: ServerCheck, facts: Facts, case: Case, verdicts: list[Verdict]) -> None:
    """Add the verdicts of a check on a server. What the server refuses to tell is unknown."""
    try:
        judged = check.judge(facts, case)
        if isinstance(judged, AsyncIterator):
            async for verdict in judged:
                verdicts.append(verdict)
        else:
            verdicts.extend(judged)
    except BlockedError as blocked:
        verdicts.append(unknown(str(blocked), blocked.advice))
    except RefusedError as refused:
        verdicts.append(unknown(f"the server refuses a query: {refused}", "Run the doctor as an administrator."))
    except UnansweredError as failure:
        verdicts.append(unknown(f"the server stopped answering: {failure}", "Run the doctor again."))


def _not_walked(keyspace: ServersKeyspace) -> list[Finding]:
    return [
        unknown(
            f"keys cannot be examined: {reason}",
            "Add +@read ~chuk1:* to the rights of this user, or run the doctor again once all primaries answer.",
        ).on(check, address)
        for address, reason in keyspace.failures.items()
        for check in troubles.CHECKS
    ]


async def _encodings(keyspace: ServersKeyspace, record_keys: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return how many of the records each server encodes compactly and as hash tables."""
    replies = await asyncio.gather(*(keyspace.encoding(key) for key in record_keys), return_exceptions=True)
    counts = Counter((reply[0], reply[1] == b"hashtable") for reply in replies if isinstance(reply, tuple) and reply[1])
    return {address: (counts[address, False], counts[address, True]) for address, _ in counts}


def _description(inspection: Inspection) -> str:
    names = {Kind.SERVER: "one server", Kind.SENTINEL: "a primary that Sentinels monitor", Kind.CLUSTER: "a cluster"}
    parts = inspection.primaries, inspection.replicas, inspection.sentinels
    words = ("primary", "primaries"), ("replica", "replicas"), ("Sentinel", "Sentinels")
    numbers = [f"{len(part)} {word[len(part) > 1]}" for part, word in zip(parts, words, strict=True) if part]
    return f"{inspection.settings.url} is {names[inspection.kind]}: {', '.join(numbers)}"


def _kind_of(backend: Backend, name: str) -> Finding:
    if isinstance(backend, MemoryBackend):
        return warning(
            "sessions are in the memory of this process: no other process has them, and a restart loses them",
            "For development and tests, this is right. In production, set SESSION_PROVIDER=redis and "
            "SESSION_REDIS_URL.",
        ).on(checks.STORE)
    return unknown(
        f"the store is a provider of your own ({name}), whose servers the doctor does not know",
        "Check it with its own tools.",
    ).on(checks.STORE)


def _factory(source: SessionFactory | str | None) -> SessionFactory:
    if source is None:
        return factory_for_env()
    if isinstance(source, str):
        from ..providers import redis  # noqa: PLC0415  (the emulator needs no package for Redis)

        return redis.factory(source)
    if not callable(source):
        raise ValueError(
            f"the source must be a SessionManager, a session factory, or a URL, not {type(source).__name__}"
        )
    return source


def _codec(source: object, encryption: ValueEncryption | None) -> CodecFactory:
    """Return the codecs of the keys that were given, of the manager, or of the environment."""
    if encryption is None and isinstance(source, SessionManager):
        own, own_sandbox = source._values, source.sandbox_id
        return lambda sandbox_id: own if sandbox_id == own_sandbox else json_codec(sandbox_id)
    if encryption is None:
        encryption = capabilities.encryption()
    return json_codec if encryption is None else encryption.codec


def _ignore(_progress: Progress) -> None:
    """Ignore progress."""


__all__ = ["SAMPLE", "examine"]
