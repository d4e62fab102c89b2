"""The devices page: users see and revoke their own sessions, and nobody else's."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from chuk_sessions import SessionUnavailableError, session_hash
from chuk_sessions.devices import DevicesApp, names, remember_device, tokens
from chuk_sessions.devices.page import MESSAGES
from chuk_sessions.integrations.asgi import SessionMiddleware
from tests.integrations.asgi_client import Client

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


class Service:
    """A service with a login, the devices page, and some browsers.

    Attributes:
        manager: of its sessions.
        proof: where the page sends users who must prove their identity again, or None.

    """

    def __init__(self, world, **options):
        self.manager = world.manager()
        self.proof = None
        self.options = options

    def browser(self, user_agent=FIREFOX):
        page = DevicesApp(self.manager, reauthenticate=lambda scope: self.proof, **self.options)

        async def app(scope, receive, send):
            scope["headers"].append((b"user-agent", user_agent.encode("latin-1")))
            if scope["path"].startswith("/devices"):
                await page({**scope, "root_path": "/devices"}, receive, send)
                return
            await scope["session"].login(scope["path"].removeprefix("/login/"))
            remember_device(scope, scope["session"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return Client(SessionMiddleware(app, manager=self.manager))

    async def signed_in(self, user, user_agent=FIREFOX):
        browser = self.browser(user_agent)
        await browser.get(f"/login/{user}")
        return browser


@pytest.fixture
async def service(world):
    return Service(world)


async def page_of(browser, query=""):
    response = await browser.get(f"/devices/{query}")
    assert response.status == 200
    return response.body.decode()


def token_in(page):
    return re.findall(r'name="token" value="([^"]+)"', page)[0]


async def send_form(browser, path, *, headers=None, **fields):
    form = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
    return await browser.request("POST", f"/devices{path}", body=urlencode(fields).encode(), headers=form)


async def alive(service, browser):
    return await service.manager.validate_session(browser.session_id)


async def test_the_page_shows_the_users_devices(service):
    laptop, phone = await service.signed_in("alice"), await service.signed_in("alice", IPHONE)
    await service.signed_in("bob", "curl/8.5.0")
    page = await page_of(phone)
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", page) == ["Mobile Safari on iPhone (iOS)", "Firefox on Linux"]
    assert page.count("This device") == 1
    assert session_hash(laptop.session_id) in page
    assert session_hash(phone.session_id) not in page
    for browser in (laptop, phone):
        assert browser.session_id not in page


async def test_one_device_is_signed_out(service):
    laptop, phone = await service.signed_in("alice"), await service.signed_in("alice", IPHONE)
    page = await page_of(laptop)
    response = await send_form(laptop, "/revoke", token=token_in(page), reference=session_hash(phone.session_id))
    assert (response.status, response.header("location")) == (303, "/devices/?done=one")
    assert await alive(service, laptop)
    assert not await alive(service, phone)
    assert MESSAGES["one"] in await page_of(laptop, "?done=one")
    again = await send_form(laptop, "/revoke", token=token_in(page), reference=session_hash(phone.session_id))
    assert again.header("location") == "/devices/?done=gone"


async def test_all_other_devices_are_signed_out(service):
    browsers = [await service.signed_in("alice") for _ in range(4)]
    other = await service.signed_in("bob")
    response = await send_form(browsers[0], "/revoke-others", token=token_in(await page_of(browsers[0])))
    assert response.header("location") == "/devices/?done=others"
    assert [await alive(service, browser) for browser in [*browsers, other]] == [True, False, False, False, True]
    assert "revoke-others" not in await page_of(browsers[0])


async def test_sessions_of_other_users_cannot_be_revoked(service):
    alice, bob = await service.signed_in("alice"), await service.signed_in("bob")
    await service.signed_in("alice")
    token = token_in(await page_of(alice))
    for reference in (session_hash(bob.session_id), bob.session_id, "", "x" * 24, "../" * 8):
        response = await send_form(alice, "/revoke", token=token, reference=reference)
        assert response.header("location") == "/devices/?done=gone"
    assert await alive(service, bob)


async def test_the_current_session_stays(service):
    alice = await service.signed_in("alice")
    await service.signed_in("alice")
    reference = session_hash(alice.session_id)
    response = await send_form(alice, "/revoke", token=token_in(await page_of(alice)), reference=reference)
    assert response.header("location") == "/devices/?done=this"
    assert await alive(service, alice)


async def test_forms_need_a_token_of_the_session(service):
    alice, bob, victim = [await service.signed_in(user) for user in ("alice", "bob", "alice")]
    await service.signed_in("bob")
    reference = session_hash(victim.session_id)
    foreign = token_in(await page_of(bob))
    for token in ("", "x", "x" * 86, "é" * 86, "=" * 86, foreign, tokens.token(victim.session_id)):
        for path in ("/revoke", "/revoke-others"):
            assert (await send_form(alice, path, token=token, reference=reference)).status == 403
    assert (await send_form(alice, "/revoke", reference=reference)).status == 403
    assert await alive(service, victim)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_forms_of_other_sites_are_refused(service, headers):
    alice, victim = await service.signed_in("alice"), await service.signed_in("alice")
    response = await send_form(alice, "/revoke-others", token=token_in(await page_of(alice)), headers=headers)
    assert response.status == 403
    assert await alive(service, victim)


async def test_large_and_malformed_forms_are_refused(service):
    alice = await service.signed_in("alice")
    for body in (b"x=" + b"y" * 5000, b"&".join(b"a%d=1" % n for n in range(50)), b"\xff\xfe", b"%ff=%00"):
        assert (await alice.request("POST", "/devices/revoke", body=body)).status == 403


async def test_users_prove_their_identity_before_they_revoke(service):
    alice, victim = await service.signed_in("alice"), await service.signed_in("alice")
    token = token_in(await page_of(alice))
    service.proof = "/confirm?next=/devices/"
    response = await send_form(alice, "/revoke-others", token=token)
    assert (response.status, response.header("location")) == (303, "/confirm?next=/devices/")
    assert await alive(service, victim)
    service.proof = None
    assert (await send_form(alice, "/revoke-others", token=token)).status == 303
    assert not await alive(service, victim)


async def test_strangers_see_nothing(service, world):
    assert (await service.browser().get("/devices/")).status == 401
    elsewhere = Service(world, sign_in_url="/sign-in")
    response = await elsewhere.browser().get("/devices/")
    assert (response.status, response.header("location")) == (303, "/sign-in")
    assert (await send_form(elsewhere.browser(), "/revoke-others", token="x")).header("location") == "/sign-in"


async def test_responses_forbid_scripts_frames_and_caches(service):
    alice = await service.signed_in("alice")
    for path in ("/devices/", "/devices", "/devices/nothing"):
        response = await alice.get(path)
        policy = response.header("content-security-policy")
        assert policy.startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "no-store" in response.all("cache-control")[0]
        assert response.header("x-content-type-options") == "nosniff"
    head = await alice.request("HEAD", "/devices/")
    assert (head.status, head.body) == (200, b"")
    assert (await alice.get("/devices/nothing")).status == 404
    assert (await alice.get("/devices/revoke")).status == 405
    assert (await alice.request("POST", "/devices/")).status == 405


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Mozilla/5.0 (<b>; ' onmouseover='x) Firefox/<i>",
    "\x00\x01\x7f\x85" * 20,
    "(" * 5000,
    "Mozilla/5.0 " + "a;" * 5000,
    "\xe9\xff" * 100,
    "",
]


class Elements(HTMLParser):
    """The names of all elements and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attrs):
        self.found |= {tag, *(name for name, _ in attrs)}


def elements_of(page):
    parser = Elements()
    parser.feed(page)
    return parser.found


@pytest.mark.parametrize("user_agent", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_user_agents_change_nothing(service, user_agent):
    alice = await service.signed_in("alice")
    await service.signed_in("alice", IPHONE)
    expected = elements_of(await page_of(alice))
    mallory = await service.signed_in("alice", user_agent)
    await service.signed_in("alice", user_agent)
    for browser in (alice, mallory):
        page = await page_of(browser)
        assert elements_of(page) <= expected
        assert len(page) < 12_000


async def test_other_values_in_metadata_are_no_device(service):
    alice = await service.signed_in("alice")
    for value in (None, 7, ["x"], {"a": 1}):
        await service.manager.allocate_session(user_id="alice", custom_metadata={names.USER_AGENT_KEY: value})
    assert (await page_of(alice)).count(names.UNKNOWN) == 4


async def test_an_outage_is_a_503(world):
    failing = set()

    async def fail(call):
        if call.operation.name in failing:
            raise SessionUnavailableError("the store is down")

    service = Service(world)
    service.manager = world.intercepted(fail)
    alice, victim = await service.signed_in("alice"), await service.signed_in("alice")
    token = token_in(await page_of(alice))
    failing.update(("find", "fetch", "delete"))
    assert (await alice.get("/devices/")).status == 503
    assert (await send_form(alice, "/revoke-others", token=token)).status == 503
    failing.clear()
    assert await alive(service, alice)
    assert await alive(service, victim)


def test_tokens_differ_and_do_not_reveal_the_id():
    session_id = "sess-alice-1-0123456789abcdef"
    made = {tokens.token(session_id) for _ in range(50)}
    assert len(made) == 50
    assert all(tokens.is_valid(session_id, token) for token in made)
    assert not any(tokens.is_valid(f"{session_id}0", token) for token in made)
    assert not any(session_id in token for token in made)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (IPHONE, "Mobile Safari on iPhone (iOS)"),
        ("curl/8.5.0", "curl"),
        ("", names.UNKNOWN),
        ("nonsense", names.UNKNOWN),
    ],
)
def test_names_of_devices(user_agent, name):
    assert names.device_name(user_agent) == name
