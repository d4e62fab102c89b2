"""Shoppers, who check every reply: a load for a shop whose store fails.

Each shopper has a laptop that stays logged in, and uses one phone after the other. Items are unique, so the carts show
what was lost or added twice. A request to which the shop replies with 503 may have been applied or not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

from tests.web_examples.waiting import PAUSE


class Customer:
    """A shopper's device, and what its cart must have.

    Attributes:
        has: items that the shop has acknowledged.
        may_have: items in requests whose outcome is unknown.

    """

    def __init__(self, crowd, user):
        self.device = crowd.device()
        self.user = user
        self.is_logged_in = False
        self.has = set()
        self.may_have = set()

    def check(self, reply):
        """Check a reply to a request that did not ask for a logout. Return whether it succeeded."""
        assert [cookie for cookie in reply.session_cookies if cookie.deletes] == [], reply
        if succeeds(reply) and "user" in reply.body:
            assert reply.body["user"] == (self.user if self.is_logged_in else None), reply
        return reply.status == 200

    async def insist(self, request):
        """Send a request until it succeeds."""
        await repeat(request, self.check)

    async def add(self, item):
        """Add an item to the cart, without a second attempt."""
        self.may_have.add(item)
        if self.check(reply := await self.device.post("/cart", {"item": item})):
            self.may_have.remove(item)
            self.has.add(item)
            assert item in reply.body["items"], reply

    async def look(self):
        """Compare the cart with what was acknowledged before the request."""
        has = set(self.has)
        if self.check(reply := await self.device.get("/cart")):
            items = Counter(reply.body["items"])
            assert has - items.keys() == set(), ("lost", reply)
            assert items.keys() - self.has - self.may_have == set(), ("foreign", reply)
            assert items.total() == len(items), ("twice", reply)

    async def enter(self, item):
        """Fill a guest's cart, and log in, in as many attempts as necessary."""
        await self.insist(self.device.refresh_token)
        await self.add(item)
        await self.insist(self._log_in)
        await self.insist(self.device.refresh_token)
        await self.look()

    async def _log_in(self):
        # The outcome of an attempt before this one may be unknown. A page that is loaded again has a valid token.
        await repeat(self.device.refresh_token)
        reply = await self.device.post("/login", {"user": self.user})
        self.is_logged_in = reply.status == 200
        if not self.is_logged_in:
            # The cookie may be that of a session that the login has not reached to create. No user has lost anything.
            self.may_have |= self.has
            self.has.clear()
        return reply

    async def log_out(self):
        """Log out, in as many attempts as necessary."""
        while not succeeds(reply := await self.device.post("/logout")):
            assert [cookie for cookie in reply.session_cookies if cookie.deletes] == [], reply
            if await is_out(self.device):
                break  # That attempt was applied, so the CSRF token is not valid any more.


def succeeds(reply):
    """Return whether a request got 200 and not 503. Other replies are failures of the shop."""
    assert reply.status in (200, 503), reply
    return reply.status == 200


async def repeat(request, is_done=succeeds):
    """Send a request until a reply is good, and return that reply."""
    while True:
        reply = await request()
        if is_done(reply):
            return reply
        await asyncio.sleep(PAUSE)


async def is_out(device):
    """Return whether a device's cookie is that of nobody."""
    return (await repeat(lambda: device.get("/cart"))).body["user"] is None


class Shopper:
    """A user with a laptop and phones.

    Attributes:
        rounds: how many phones were logged in, used, and logged out.
        revoked: devices whose cookies must never work again.

    """

    def __init__(self, crowd, user):
        self.crowd = crowd
        self.user = user
        self.laptop = Customer(crowd, user)
        self.rounds = 0
        self.revoked = []
        self._names = (f"item {number} of {user}" for number in count())

    async def shop(self, is_over):
        """Shop until the condition is met."""
        await self.laptop.enter(next(self._names))
        while not is_over():
            phone = Customer(self.crowd, self.user)
            await phone.enter(next(self._names))
            customers = [self.laptop, phone]
            await asyncio.gather(*(customer.add(next(self._names)) for customer in customers * 2))
            await asyncio.gather(*(customer.look() for customer in customers))
            copy = phone.device.copy()
            if self.rounds % 2:
                await phone.log_out()
            else:
                await self.laptop.insist(lambda: self.laptop.device.post("/logout-others"))
            assert await is_out(copy), "a phone is still logged in"
            self.revoked.append(copy)
            self.rounds += 1

    async def check(self):
        """Check what must hold after all outages."""
        await self.laptop.insist(lambda: self.laptop.device.get("/cart"))
        await self.laptop.look()
        assert [device for device in self.revoked if not await is_out(device)] == []
