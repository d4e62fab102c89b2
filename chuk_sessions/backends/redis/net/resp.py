"""RESP, the Redis protocol: packed commands, the parser of replies, and the errors of a call without a usable reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis

Command = tuple[str | bytes | int, ...] | bytes
"""The parts of a command, or the whole command, already packed."""

Group = Sequence[Command]
"""Commands that are sent with nothing between them. Only the reply to the last one counts."""

NEED_DATA = object()
"""The parser returns this object, which is never a reply, when it needs more bytes."""


class ReplyError(Exception):
    """The server's error reply to a command or to a login.

    Attributes:
        message: the whole text, which begins with the error code.
        server: the address of the server if it refused a connection, else empty.

    """

    server = ""

    @property
    def message(self) -> str:
        """The whole text, which begins with the error code."""
        return str(self.args[0])

    @property
    def code(self) -> str:
        """The first word: MOVED, NOSCRIPT, ERR..."""
        return self.message.partition(" ")[0]


class NotSentError(Exception):
    """The error of a call of which nothing has left this process."""


class ReplyLostError(Exception):
    """The error of a call that was sent, but will get no reply. The server may or may not have applied it."""


class ProtocolError(Exception):
    """The error for received bytes that are not RESP."""


def pack(command: Command) -> bytes:
    """Return the bytes of a command. Raises UnicodeEncodeError for text with lone surrogates."""
    if isinstance(command, bytes):
        return command
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


def new_parser() -> Any:
    """Return a parser that returns error replies as values and leaves bytes undecoded."""
    return hiredis.Reader(protocolError=ProtocolError, replyError=ReplyError, notEnoughData=NEED_DATA)
