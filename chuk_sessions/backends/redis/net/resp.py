"""Commands on the wire, and the three ways in which one ends without a reply of use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis

Command = tuple[str | bytes | int, ...] | bytes
"""The parts of a command; or all of it, packed already."""

Group = Sequence[Command]
"""Commands that travel with nothing between them; the reply of the last one counts."""

NEED_DATA = object()
"""What a reader gives when it needs more bytes: no reply is this object."""


class ReplyError(Exception):
    """The server answered with an error.

    Attributes:
        message: all of it, its code first.
        server: the server, if a connection was refused.

    """

    server = ""

    @property
    def message(self) -> str:
        """See above."""
        return str(self.args[0])

    @property
    def code(self) -> str:
        """The first word: MOVED, NOSCRIPT, ERR..."""
        return self.message.partition(" ")[0]


class NotSentError(Exception):
    """Nothing of the call has left this process."""


class ReplyLostError(Exception):
    """The call was sent, and its reply will not come: it may or may not have been applied."""


class ProtocolError(Exception):
    """The server sent what is not the Redis protocol."""


def pack(command: Command) -> bytes:
    """A command as it is sent. Raises UnicodeEncodeError for text with lone surrogates."""
    if isinstance(command, bytes):
        return command
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


def reader() -> Any:
    """A parser that gives error replies as values and bytes as they are."""
    return hiredis.Reader(protocolError=ProtocolError, replyError=ReplyError, notEnoughData=NEED_DATA)
