"""A lane: the place of one link at a node. It opens the link when one is wanted, and opens it again when it is lost."""

from __future__ import annotations

import asyncio
import random
from functools import partial

from .gate import Gate
from .link import Link
from .options import Options
from .policy import ask_policy
from .probe import answers
from .takeover import Opener
from .wire import NotSentError, pack

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


class Lane:
    """Belongs to one event loop.

    Attributes:
        link: the present link, which may have been lost; None before the first.
        opened: how many links it has opened.
        last_error: why the last link was lost, or could not be opened.

    """

    def __init__(self, opener: Opener, options: Options, gate: Gate) -> None:
        self._opener = opener
        self._options = options
        self._gate = gate
        self._opening: asyncio.Task[Link] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closed = False
        self._error: BaseException | None = None
        self.link: Link | None = None
        self.opened = 0

    @property
    def last_error(self) -> BaseException | None:
        """See above."""
        return (self.link.lost if self.link else None) or self._error

    async def ready(self, deadline: float) -> Link:
        """Return a usable link, where there is none in `link`, or one that has been silent for long. A silent one is
        probed first. Raises NotSentError when there is none to be had by the deadline, ReplyError when the server
        refuses it. Callers that come meanwhile wait for the same attempt.
        """
        if self._closed:
            raise NotSentError("closed")
        if self._opening is None:
            if self.link is not None and self.link.has_callers:
                return self.link  # their deadlines will tell; to end it now could cost them their outcomes
            self._opening = asyncio.get_running_loop().create_task(self._usable())
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        # Not shield(): when the lane is closed meanwhile, that would cancel the caller, too.
        await asyncio.wait((opening,), timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not opening.done():
            raise NotSentError("no connection in time")
        if opening.cancelled():
            raise NotSentError("closed")
        return opening.result()

    async def aclose(self) -> None:
        """Let calls under way have their replies, then close."""
        self._closed = True
        try:
            if self._opening is not None:
                self._opening.cancel()
                await asyncio.wait([self._opening])
            if self.link is not None:
                await self.link.drain()
        finally:
            self.abort()
        if self.link is not None:
            await self.link.gone()

    def abort(self) -> None:
        """Close at once; calls under way fail."""
        self._closed = True
        if self._opening is not None and not self._opening.get_loop().is_closed():
            self._opening.cancel()
        if self.link is not None:
            self.link.end(ConnectionAbortedError("closed"))

    async def _usable(self) -> Link:
        if self.link is not None and await answers(self.link):
            return self.link
        return await self._open()

    async def _open(self) -> Link:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        if self.link is not None and self.link.lost is not None:
            self._error = self.link.lost
        link = Link(self._gate, self._options.call_timeout)
        try:
            await self._opener.open(link)
        except Exception as failure:
            self._failed(failure, loop.time())
            raise
        if link.lost is None:
            self._greet(link, loop.time() + self._options.call_timeout)
        self._failures = 0
        self.opened += 1
        self.link = link
        return link

    def _greet(self, link: Link, deadline: float) -> None:
        """Ahead of the first call goes what is of use, and no loss where a user's rights do not reach so far."""
        if self._options.client_name:
            link.send_ahead(pack((b"CLIENT", b"SETNAME", self._options.client_name)), deadline)
        for text in self._options.scripts:
            link.send_ahead(pack((b"SCRIPT", b"LOAD", text)), deadline)
        if self._options.policy_seen is not None:
            ask_policy(link, partial(self._options.policy_seen, self._opener.address), deadline)

    def _failed(self, failure: Exception, now: float) -> None:
        self._error = failure
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._not_before = now + pause * random.uniform(0.5, 1)

    def _opened(self, task: asyncio.Task[Link]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; nobody may have
