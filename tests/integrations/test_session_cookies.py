"""The session cookie: names, attributes, and values from clients."""

from __future__ import annotations

import pytest

from chuk_sessions.integrations.cookies import CookieChange, CookieSettings

ID = "sess-alice-1700000000-0f" + "ab" * 16
OTHER = "sess-1700000000-ff" + "00" * 16


def test_the_name_has_the_prefix_where_browsers_allow_it():
    assert CookieSettings().full_name == "__Host-session"
    assert CookieSettings(path="/app").full_name == "session"
    assert CookieSettings(domain="example.com").full_name == "session"
    assert CookieSettings(secure=False).full_name == "session"
    assert CookieSettings(host_prefix=False).full_name == "session"
    assert CookieSettings(name="__Host-id").full_name == "__Host-id"
    assert CookieSettings(name="__Secure-id").full_name == "__Secure-id"


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a=b"},
        {"name": "a\r\nb"},
        {"name": "é"},
        {"path": "/;domain=evil.example"},
        {"path": "/\n"},
        {"domain": "a;b"},
        {"domain": "\x00"},
        {"same_site": "Lax"},
        {"host_prefix": True, "path": "/app"},
        {"host_prefix": True, "secure": False},
        {"name": "__Host-id", "domain": "example.com"},
    ],
)
def test_malformed_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"cookie|same_site"):
        CookieSettings(**bad)


def test_the_header_has_all_attributes():
    assert CookieSettings().header(CookieChange(ID, 60)) == (
        f"__Host-session={ID}; path=/; Max-Age=60; httponly; samesite=lax; secure"
    )
    settings = CookieSettings(
        name="id", path="/app", domain="example.com", secure=False, http_only=False, same_site="strict"
    )
    assert settings.header(CookieChange(ID)) == f"id={ID}; path=/app; samesite=strict; domain=example.com"
    assert settings.header(CookieChange(ID, 0)) == f"id={ID}; path=/app; Max-Age=0; samesite=strict; domain=example.com"


def test_the_header_that_deletes_the_cookie_repeats_all_attributes():
    settings = CookieSettings(name="id", path="/a", domain="a.example", partitioned=True, same_site="none")
    kept = settings.header(CookieChange(ID)).split("; ")[1:]
    deleted = settings.header(CookieChange(None)).split("; ")
    assert deleted == ["id=null", kept[0], "expires=Thu, 01 Jan 1970 00:00:00 GMT", *kept[1:]]
    assert "partitioned" in deleted


@pytest.mark.parametrize(
    "header",
    [
        f"session={ID}",
        f"a=b; session={ID}; c=d",
        f"a=b;session={ID}",
        f'session="{ID}"',
        f" session = {ID} ",
        f"session=forged; session={ID}",
        f"session={ID}; session={OTHER}",
        f"=; ;;session={ID};",
    ],
)
def test_the_id_is_found(header):
    assert CookieSettings(secure=False).find(header) == ID


@pytest.mark.parametrize(
    "header",
    [
        "",
        "session",
        "session=",
        f"other={ID}",
        f"__Host-session={ID}",
        f"Session={ID}",
        f"xsession={ID}",
        f"session={ID}x",
        f"session={ID.upper()}",
        f"session={ID},",
        f"session={ID}\x00",
        "session=chosen-by-the-application",
        "session=eyJhIjogMX0=.ZZZZ.signature",
        f"session={'x' * 70_000}; session={ID}",
    ],
)
def test_anything_else_is_no_session(header):
    assert CookieSettings(secure=False).find(header) is None


def test_an_application_can_accept_other_ids():
    assert CookieSettings(secure=False, accepts=str.isdigit).find("session=7") == "7"


async def test_generated_ids_are_accepted(single):
    manager = single.manager()
    for user in (None, "alice", "é", "a-very-long-name"):
        session_id = await manager.allocate_session(user_id=user)
        assert CookieSettings(secure=False).find(f"session={session_id}") == session_id
