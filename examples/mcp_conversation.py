"""An MCP conversation: a small JSON-RPC server that keeps its conversations in sessions.

The session id travels in the `Mcp-Session-Id` header, as in MCP's streamable HTTP transport. Any host can answer the
next request, because the conversation is in the store and not in the process.
Runs on the emulator. Set SESSION_PROVIDER=redis and SESSION_REDIS_URL to run it on a server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from chuk_sessions import SessionManager, StoreFullError, VersionConflictError

MOST_TOOL_CALLS = 20


@dataclass(frozen=True)
class Response:
    """An HTTP response: its status, the JSON-RPC result, and the session id for the client to send back."""

    status: int
    result: dict[str, Any]
    session_id: str | None = None


class Server:
    """One host. All hosts share the sandbox, and so the conversations."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    async def post(self, method: str, params: dict[str, Any], session_id: str | None = None) -> Response:
        """Answer one JSON-RPC request."""
        if method == "initialize":
            return await self._initialize(params)
        if session_id is None:
            return Response(400, {"error": "the header Mcp-Session-Id is missing"})
        if not await self._manager.validate_session(session_id):
            return Response(404, {"error": "the session has ended: initialize again"})
        if method == "tools/call":
            return await self._call_tool(session_id, params)
        return Response(400, {"error": "unknown method"})

    async def delete(self, session_id: str) -> Response:
        """End the conversation, on all hosts at once."""
        return Response(204 if await self._manager.delete_session(session_id) else 404, {})

    async def _initialize(self, params: dict[str, Any]) -> Response:
        session_id = await self._manager.allocate_session(
            custom_metadata={"client": params["clientInfo"], "tool_calls": 0, "transcript": []}
        )
        return Response(200, {"capabilities": {"tools": {}}}, session_id)

    async def _call_tool(self, session_id: str, params: dict[str, Any]) -> Response:
        counted = await self._manager.increment_session_counter(session_id, "tool_calls", ceiling=MOST_TOOL_CALLS)
        if not counted:
            return Response(429, {"error": "too many tool calls in this conversation"})
        artifact = self._manager.generate_artifact_key(session_id, f"result-{counted.value}")
        try:
            await self._append(session_id, {"tool": params["name"], "artifact": artifact})
        except StoreFullError:
            return Response(507, {"error": "the store is full"})
        return Response(200, {"resource": artifact})

    async def _append(self, session_id: str, entry: dict[str, Any]) -> None:
        """Append to the transcript with optimistic concurrency control: read, change, retry if somebody else wrote."""
        while (session := await self._manager.get_session_metadata(session_id)) is not None:
            transcript = [*session.custom_metadata["transcript"], entry]
            try:
                await self._manager.update_session_metadata(
                    session_id, {"transcript": transcript}, expected_version=session.version
                )
            except VersionConflictError:
                continue
            return


async def main() -> None:
    """Hold a conversation with two hosts."""
    async with SessionManager("mcp-server") as here, SessionManager("mcp-server") as there:
        hosts = [Server(here), Server(there)]
        opened = await hosts[0].post("initialize", {"clientInfo": {"name": "example-client", "version": "1.0"}})
        session_id = opened.session_id
        if session_id is None:
            raise RuntimeError("initialize must return a session id")

        calls = [hosts[number % 2].post("tools/call", {"name": "search"}, session_id) for number in range(10)]
        answers = await asyncio.gather(*calls)
        session = await here.get_session_metadata(session_id)
        if session is None:
            raise RuntimeError("the conversation expired at once")
        print("tool calls:", [answer.status for answer in answers].count(200), "on two hosts")
        print("transcript entries:", len(session.custom_metadata["transcript"]))
        print("distinct artifacts:", len({answer.result["resource"] for answer in answers}))

        print("ended:", (await hosts[0].delete(session_id)).status)
        late = await hosts[1].post("tools/call", {"name": "search"}, session_id)
        print("next call on the other host:", late.status)


if __name__ == "__main__":
    asyncio.run(main())
