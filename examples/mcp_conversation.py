"""An MCP conversation: a small JSON-RPC server that keeps its conversations in sessions.

The session id travels in the `Mcp-Session-Id` header, as in MCP's streamable HTTP transport. Any host can answer the
next request, because the store keeps the conversation, not the process.
It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from chuk_sessions import ListFullError, SessionManager, StoreFullError

MAX_TOOL_CALLS = 20
MAX_TRANSCRIPT_BYTES = 65_536


@dataclass(frozen=True)
class Response:
    """An HTTP response: its status, the JSON-RPC result, and the session id for the client to send back."""

    status: int
    result: dict[str, Any]
    session_id: str | None = None


class Server:
    """The server on one host. All hosts use the same sandbox, and therefore share the conversations."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    async def post(self, method: str, params: dict[str, Any], session_id: str | None = None) -> Response:
        """Answer one JSON-RPC request."""
        if method == "initialize":
            return await self._initialize(params)
        if session_id is None:
            return Response(400, {"error": "the header Mcp-Session-Id is missing"})
        if not await self._manager.validate_session(session_id):
            return Response(404, {"error": "no such session: initialize again"})
        if method == "tools/call":
            return await self._call_tool(session_id, params)
        return Response(400, {"error": "unknown method"})

    async def delete(self, session_id: str) -> Response:
        """Delete the conversation. All hosts see that at once."""
        return Response(204 if await self._manager.delete_session(session_id) else 404, {})

    async def _initialize(self, params: dict[str, Any]) -> Response:
        session_id = await self._manager.allocate_session(
            custom_metadata={"client": params["clientInfo"], "tool_calls": 0, "transcript": []}
        )
        return Response(200, {"capabilities": {"tools": {}}}, session_id)

    async def _call_tool(self, session_id: str, params: dict[str, Any]) -> Response:
        counter = await self._manager.increment_session_counter(session_id, "tool_calls", ceiling=MAX_TOOL_CALLS)
        if not counter:
            return Response(429, {"error": "too many tool calls in this conversation"})
        artifact = self._manager.generate_artifact_key(session_id, f"result-{counter.value}")
        entry = {"tool": params["name"], "artifact": artifact}
        try:
            await self._manager.append_session_metadata(session_id, "transcript", entry, max_bytes=MAX_TRANSCRIPT_BYTES)
        except (ListFullError, StoreFullError):
            return Response(507, {"error": "the transcript or the store is full"})
        return Response(200, {"resource": artifact})


async def main() -> None:
    """Hold a conversation with two hosts."""
    async with SessionManager("mcp-server") as first, SessionManager("mcp-server") as second:
        hosts = [Server(first), Server(second)]
        initialized = await hosts[0].post("initialize", {"clientInfo": {"name": "example-client", "version": "1.0"}})
        session_id = initialized.session_id
        if session_id is None:
            raise RuntimeError("initialize must return a session id")

        calls = [hosts[number % 2].post("tools/call", {"name": "search"}, session_id) for number in range(10)]
        responses = await asyncio.gather(*calls)
        session = await first.get_session_metadata(session_id)
        if session is None:
            raise RuntimeError("the conversation expired at once")
        print("tool calls:", [response.status for response in responses].count(200), "on two hosts")
        print("transcript entries:", len(session.custom_metadata["transcript"]))
        print("distinct artifacts:", len({response.result["resource"] for response in responses}))

        print("delete:", (await hosts[0].delete(session_id)).status)
        late = await hosts[1].post("tools/call", {"name": "search"}, session_id)
        print("next call on the other host:", late.status)


if __name__ == "__main__":
    asyncio.run(main())
