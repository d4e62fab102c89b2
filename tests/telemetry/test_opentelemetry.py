"""OpenTelemetry: spans only within recorded spans, by its conventions, and metrics of all stores."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.attributes import db_attributes, error_attributes, server_attributes
from opentelemetry.trace import SpanKind, StatusCode

from chuk_sessions import SessionManager
from chuk_sessions.exceptions import ProviderError
from chuk_sessions.providers import redis
from chuk_sessions.telemetry import instrument, uninstrument
from chuk_sessions.telemetry.families import FAMILIES
from tests.harness.servers import Server
from tests.harness.worlds import World
from tests.telemetry.tools import instrumented


async def test_a_call_within_a_recorded_span_is_its_child(server: Server):
    with instrumented() as exported:
        async with SessionManager("test", redis.factory(server.url)) as manager:
            session_id = await manager.allocate_session(user_id="alice", custom_metadata={"word": "secret"})
            assert exported.spans() == []
            with exported.tracer.start_as_current_span("request") as parent:
                assert await manager.validate_session(session_id)
            (span,) = exported.spans()
            assert span.name == "EVALSHA validate"
            assert span.kind is SpanKind.CLIENT
            assert span.parent.span_id == parent.get_span_context().span_id
            assert span.attributes == {
                db_attributes.DB_SYSTEM_NAME: "redis",
                db_attributes.DB_NAMESPACE: "0",
                db_attributes.DB_OPERATION_NAME: "EVALSHA",
                db_attributes.DB_STORED_PROCEDURE_NAME: "validate",
                server_attributes.SERVER_ADDRESS: "127.0.0.1",
                server_attributes.SERVER_PORT: server.port,
            }


async def test_a_plain_command_has_its_own_name(server: Server):
    with instrumented() as exported:
        async with SessionManager("test", redis.factory(server.url)) as manager:
            await manager.allocate_session(user_id="alice")
            with exported.tracer.start_as_current_span("request"):
                assert len(await manager.list_user_sessions("alice")) >= 1
            spans = [span for span in exported.spans() if span.name == "HGETALL"]
            assert spans
            assert all("db.stored_procedure.name" not in span.attributes for span in spans)


async def test_concurrent_calls_have_the_right_parents(world: World):
    with instrumented() as exported:
        async with world.manager() as manager:

            async def request(name: str) -> None:
                with exported.tracer.start_as_current_span(name) as parent:
                    session_id = await manager.allocate_session(custom_metadata={"name": name})
                    await asyncio.gather(*[manager.validate_session(session_id) for _ in range(3)])
                    expected.add(parent.get_span_context().span_id)

            expected: set[int] = set()
            await asyncio.gather(*[request(f"request {number}") for number in range(5)])
            spans = exported.spans()
            assert len(spans) == 20
            assert {span.parent.span_id for span in spans} == expected


async def test_no_span_within_a_span_that_is_not_recorded(world: World):
    with instrumented() as exported:
        tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")
        async with world.manager() as manager:
            with tracer.start_as_current_span("request"):
                await manager.allocate_session()
        assert exported.spans() == []


async def test_spans_and_metrics_have_no_ids_or_values(world: World):
    with instrumented() as exported:
        async with world.manager() as manager:
            with exported.tracer.start_as_current_span("request"):
                session_id = await manager.allocate_session(user_id="alice", custom_metadata={"word": "secret"})
                await manager.update_session_metadata(session_id, {"other": "secret"})
                await manager.rotate_session(session_id)
        text = "".join(span.to_json() for span in exported.spans()) + str(exported.reader.get_metrics_data())
        assert not any(word in text for word in (session_id, session_id[3:12], "alice", "secret", "chuk1"))


async def test_an_error_is_in_the_span(own_server: Server):
    with instrumented() as exported:
        async with SessionManager("test", redis.factory(own_server.url, call_timeout=1.0)) as manager:
            session_id = await manager.allocate_session()
            own_server.kill()
            with exported.tracer.start_as_current_span("request"), pytest.raises(ProviderError) as failed:
                await manager.validate_session(session_id)
            (span,) = exported.spans()
            assert span.status.status_code is StatusCode.ERROR
            assert span.attributes[error_attributes.ERROR_TYPE] == type(failed.value).__name__
            assert span.events == ()
            outcome = "timeout" if "Timeout" in type(failed.value).__name__ else "unavailable"
            assert exported.points("calls")["validate", outcome] == 1


async def test_metrics_cover_all_stores_and_those_to_come(world: World):
    async with world.manager() as before:
        with instrumented() as exported:
            await before.allocate_session()
            async with world.manager("other") as after:
                session_id = await after.allocate_session()
                await after.validate_session(session_id)
            assert exported.points("calls")["allocate", "created"] == 2
            assert exported.points("calls")["validate", "ok"] == 1
            buckets = exported.points("call_duration.bucket")
            assert buckets["validate", "+Inf"] == 1
            assert exported.points("call_duration.sum")["validate",] > 0


async def test_uninstrument_ends_spans_and_metrics(world: World):
    async with world.manager() as manager:
        with instrumented() as exported:
            await manager.allocate_session()
            uninstrument()
            assert exported._points("calls") == {}
            with exported.tracer.start_as_current_span("request"):
                await manager.allocate_session()
            assert exported.spans() == []
            instrument(exported.tracers, exported.meters)
            exported.remember("calls")
            await manager.allocate_session()
            assert exported.points("calls")["allocate", "created"] == 1


def test_each_family_has_a_name_of_its_own():
    names = {family.opentelemetry_name for family in FAMILIES.values()}
    assert len(names) == len(FAMILIES)
    assert not any(name.endswith(("_total", "_seconds")) for name in names)
