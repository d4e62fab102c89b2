"""The examples of web frameworks, over HTTP: all shops make the same promises, with any of their two workers."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.web_examples.shops import MCP_SHOP, SHOPS, WORKERS
from tests.web_examples.waiting import TIMEOUT

EXAMPLES = Path(__file__).parents[2] / "examples" / "web"
TESTED_ELSEWHERE = {"devices_app"}  # in tests/devices, with a browser
LIMIT = 3
"""Checkouts that a session may have per minute."""
REFUSED = (400, 403)
"""Statuses of requests without a valid CSRF token."""
REQUESTS_TO_MEET_EACH_WORKER = 16


async def ask_each_worker(site, device):
    """Return who a device is, according to each worker."""
    users, workers = set(), set()
    async with asyncio.timeout(TIMEOUT):
        while workers < site.workers:
            for reply in await asyncio.gather(*(device.get("/cart") for _ in range(REQUESTS_TO_MEET_EACH_WORKER))):
                assert reply.status == 200
                users.add(reply.body["user"])
                workers.add(reply.body["worker"])
    assert len(workers) == WORKERS
    return users


async def logged_in(crowd, user):
    device = crowd.device()
    await device.log_in(user)
    return device


def items(reply):
    assert reply.status == 200, reply
    return reply.body["items"]


def owner_and_items(reply):
    return reply.body["user"], items(reply)


async def test_all_workers_know_who_is_logged_in(site, crowd):
    alice, bob, visitor = await logged_in(crowd, "alice"), await logged_in(crowd, "bob"), crowd.device()
    assert await ask_each_worker(site, alice) == {"alice"}
    assert await ask_each_worker(site, bob) == {"bob"}
    assert await ask_each_worker(site, visitor) == {None}


async def test_cookies_have_all_flags(crowd):
    device = crowd.device()
    await device.log_in("alice")
    await device.post("/logout")
    *issued, deleted = [cookie for reply in device.replies for cookie in reply.session_cookies]
    assert deleted.deletes
    for cookie in issued:
        assert not cookie.deletes
        assert cookie.attributes.keys() & {"max-age", "expires"}
    for cookie in [*issued, deleted]:
        assert cookie.name.startswith("__Host-")
        assert {"secure", "httponly"} <= cookie.attributes.keys()
        assert "domain" not in cookie.attributes
        assert cookie.attributes["path"] == "/"
        assert cookie.attributes["samesite"].lower() == "lax"


async def test_a_visitor_who_only_reads_gets_no_session(crowd):
    device = crowd.device()
    assert owner_and_items(await device.get("/cart")) == (None, [])
    assert [cookie for reply in device.replies for cookie in reply.session_cookies] == []


async def test_what_depends_on_a_session_is_not_cached(crowd):
    device = await logged_in(crowd, "alice")
    headers = (await device.get("/cart")).headers
    assert "cookie" in headers["vary"].lower()
    assert re.search("private|no-store", headers["cache-control"])


async def test_a_login_gives_the_guest_a_new_id_and_keeps_the_cart(crowd):
    guest = crowd.device()
    await guest.refresh_token()
    await guest.post("/cart", {"item": "book"})
    planted = guest.copy()
    await guest.log_in("alice")
    assert guest.session_id != planted.session_id
    assert items(await guest.get("/cart")) == ["book"]
    assert owner_and_items(await planted.get("/cart")) == (None, [])


async def test_a_login_of_another_user_gives_an_empty_cart(crowd):
    device = await logged_in(crowd, "alice")
    await device.post("/cart", {"item": "book"})
    await device.log_in("bob")
    assert owner_and_items(await device.get("/cart")) == ("bob", [])


async def test_a_logout_makes_the_cookie_worthless(site, crowd):
    device = await logged_in(crowd, "alice")
    thief = device.copy()
    assert await ask_each_worker(site, thief) == {"alice"}
    assert (await device.post("/logout")).status == 200
    assert device.session_id is None
    assert await ask_each_worker(site, thief) == {None}


async def test_log_out_my_other_devices(site, crowd):
    laptop, phone, tablet = [await logged_in(crowd, "carol") for _ in range(3)]
    other = await logged_in(crowd, "alice")
    reply = await laptop.post("/logout-others")
    assert (reply.status, reply.body) == (200, {"revoked": 2})
    assert [await ask_each_worker(site, device) for device in (phone, tablet)] == [{None}] * 2
    assert await ask_each_worker(site, laptop) == {"carol"}
    assert await ask_each_worker(site, other) == {"alice"}


async def test_guests_can_neither_check_out_nor_log_out_devices(crowd):
    guest = crowd.device()
    await guest.refresh_token()
    assert (await guest.post("/checkout")).status in (401, 403)
    assert (await guest.post("/logout-others")).status in (401, 403)


async def test_concurrent_additions_lose_no_item(crowd):
    device = await logged_in(crowd, "alice")
    added = [f"item {number}" for number in range(20)]
    replies = await asyncio.gather(*(device.post("/cart", {"item": item}) for item in added))
    assert [item in items(reply) for item, reply in zip(added, replies, strict=True)] == [True] * len(added)
    assert sorted(items(await device.get("/cart"))) == sorted(added)


async def test_the_rate_limit_holds_for_all_workers_together(crowd):
    device, other = await logged_in(crowd, "alice"), await logged_in(crowd, "alice")
    replies = await asyncio.gather(*(device.post("/checkout") for _ in range(4 * LIMIT)))
    assert sorted(reply.body["remaining"] for reply in replies if reply.status == 200) == [*range(LIMIT)]
    refused = [reply for reply in replies if reply.status != 200]
    assert {reply.status for reply in refused} == {429}
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in refused)
    assert (await other.post("/checkout")).status == 200


async def test_requests_need_the_csrf_token_of_their_session(crowd):
    victim, attacker = await logged_in(crowd, "alice"), await logged_in(crowd, "mallory")
    for token in ("", "wrong", attacker.token):
        assert (await victim.post("/cart", {"item": "unwanted"}, token=token)).status in REFUSED
        assert (await victim.post("/logout", token=token)).status in REFUSED
    assert owner_and_items(await victim.get("/cart")) == ("alice", [])
    assert items(await victim.post("/cart", {"item": "book"})) == ["book"]


@pytest.mark.parametrize("value", ["", "null", "sess-1-0", "../../x", "%00", '"a b"', "a" * 4000, "sess-" + "0" * 40])
async def test_malformed_cookies_are_no_session(site, crowd, value):
    device = crowd.device()
    device.cookies["__Host-session"] = value
    assert owner_and_items(await device.get("/cart")) == (None, [])
    if len(value) > 4:
        site.secrets.add(value)


def test_every_example_is_tested_and_has_less_than_60_lines():
    lengths = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES.rglob("*.py")}
    assert lengths.keys() == {f"{shop.name}_app" for shop in (*SHOPS, MCP_SHOP)} | TESTED_ELSEWHERE
    assert {name: length for name, length in lengths.items() if length >= 60} == {}
