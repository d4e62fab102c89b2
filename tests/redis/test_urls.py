"""Redis URLs."""

from __future__ import annotations

import pytest

from chuk_sessions.backends.redis.options import Address
from chuk_sessions.backends.redis.url import Kind, parse, without_secrets


def addresses_at(*places: str) -> tuple[Address, ...]:
    return tuple(Address(host, int(port)) for host, _, port in (place.rpartition(":") for place in places))


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "master", "db"),
    [
        ("redis://", Kind.SERVER, addresses_at("localhost:6379"), "", 0),
        ("redis://h", Kind.SERVER, addresses_at("h:6379"), "", 0),
        ("redis://h:1/", Kind.SERVER, addresses_at("h:1"), "", 0),
        ("redis://h:1/4", Kind.SERVER, addresses_at("h:1"), "", 4),
        ("redis://h?db=4", Kind.SERVER, addresses_at("h:6379"), "", 4),
        ("redis://[::1]:7", Kind.SERVER, addresses_at("::1:7"), "", 0),
        ("redis://[fe80::1%25eth0]:7", Kind.SERVER, addresses_at("fe80::1%eth0:7"), "", 0),
        ("unix:///tmp/a%20b?db=2", Kind.SERVER, (Address(path="/tmp/a b"),), "", 2),
        ("redis://a:1,b:2,[::1]:3", Kind.CLUSTER, addresses_at("a:1", "b:2", "::1:3"), "", 0),
        ("redis+cluster://a", Kind.CLUSTER, addresses_at("a:6379"), "", 0),
        ("redis://a,b:2/main", Kind.SENTINEL, addresses_at("a:26379", "b:2"), "main", 0),
        ("redis://a:1/main", Kind.SENTINEL, addresses_at("a:1"), "main", 0),
        ("redis+sentinel://a:1/main/3", Kind.SENTINEL, addresses_at("a:1"), "main", 3),
        ("rediss+sentinel://a:1/7/3", Kind.SENTINEL, addresses_at("a:1"), "7", 3),
    ],
)
def test_kind_and_addresses(url: str, kind: Kind, addresses: tuple[Address, ...], master: str, db: int):
    target = parse(url)
    assert (target.kind, target.addresses, target.master, target.options.db) == (kind, addresses, master, db)
    assert (target.options.tls is not None) == url.startswith("rediss")
    assert target.sentinel_options.db == 0


def test_logins():
    target = parse("redis://us%3Aer:p%40ss%2F@a,b/main?sentinel_username=s&sentinel_password=t")
    assert (target.options.username, target.options.password) == ("us:er", "p@ss/")
    assert (target.sentinel_options.username, target.sentinel_options.password) == ("s", "t")
    assert parse("redis://:pw@h").options.username is None
    nobody = parse("redis://u:p@a,b/main").sentinel_options
    assert (nobody.username, nobody.password) == (None, None)


def test_tls_settings_and_others():
    options = parse("rediss://h?ssl_ca_certs=/a&ssl_check_hostname=no&protocol=2&socket_keepalive=no").options
    assert dict(options.tls or ()) == {"ssl_ca_certs": "/a", "ssl_check_hostname": False}
    assert options.protocol == 2
    assert options.keepalive is False
    assert parse("redis://h?max_connections=10&health_check_interval=3").options == parse("redis://h").options


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "http://h", "redis:/h", "unix://", "redis://h:0", "redis://h:70000", "redis://h:x", "redis://h/1/2",
        "redis+cluster://h/1", "redis+cluster://h?db=1", "redis+cluster://h/main", "redis+sentinel://h", "redis://a b",
        "redis://::1", "redis://h?unknown=1", "redis://h?protocol=4", "redis://h?db=x", "redis://h/main/x",
    ],
)  # fmt: skip
def test_an_invalid_url_is_a_value_error(url: str):
    with pytest.raises(ValueError, match="cannot read the Redis URL"):
        parse(url)


@pytest.mark.parametrize("url", ["http://h", "localhost:6379", "redis:/h"])
def test_the_error_names_the_accepted_schemes(url: str):
    with pytest.raises(
        ValueError, match=r"must begin with redis://, rediss:// \(TLS\) or unix://; .*redis\+sentinel://"
    ):
        parse(url)


@pytest.mark.parametrize("url", ["redis://h/abc", "rediss://h:6379/abc", "redis://me:secret@h/abc/0"])
def test_a_name_after_one_server_is_taken_for_a_mistyped_database(url: str):
    with pytest.raises(
        ValueError, match="'abc' would be the name of a primary that Sentinels monitor: a database is a n"
    ):
        parse(url)
    sentinel = parse(url.replace("://", "+sentinel://"))
    assert (sentinel.kind, sentinel.master) == (Kind.SENTINEL, "abc")


@pytest.mark.parametrize(
    "url", ["redis://me:secret@h:0", "redis://:secret@h?x=secret", "redis://h/1/2?password=secret"]
)
def test_no_message_reveals_a_secret(url: str):
    assert "secret" not in without_secrets(url)
    with pytest.raises(ValueError, match="cannot read") as caught:
        parse(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(parse("redis://me:secret@h"))


def test_a_credential_provider_and_a_login_exclude_each_other():
    with pytest.raises(ValueError, match="either a credential provider"):
        parse("redis://me:secret@h", credentials=object())
