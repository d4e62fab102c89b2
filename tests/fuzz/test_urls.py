"""Whatever is given as a URL is read or refused with a ValueError, and its password is never shown."""

from __future__ import annotations

from traceback import format_exception_only

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chuk_sessions.backends.redis.url import parse, without_secrets
from tests.fuzz.cases import FUZZ

SECRET = "pa5w0rd"
SCHEMES = st.sampled_from(["redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+cluster://", "http://", ""])
NOISE = st.text(st.sampled_from("a1:/?#[]%&=,;. é\x00\n"), max_size=5)
PLACES = st.one_of(
    NOISE,
    st.sampled_from(
        ["h", "h:1", "h:1/0", "[::1]:7", "a,b", "a:1,b/main", "/path", "h?db=1", "h?protocol=3", "h:99999999"]
    ),
)
QUERIES = st.sampled_from(["", "?password=", "?sentinel_password=", "?x=", "?ssl_keyfile="])


@FUZZ
@given(st.one_of(st.text(), st.builds("{}{}{}".format, SCHEMES, st.text(), PLACES)))
@example("redis://h:" + "9" * 5000)
@example("redis://h/" + "9" * 5000)
@example("redis://h?db=" + "9" * 5000)
def test_a_url_is_read_or_a_value_error(url):
    assert parsed_or_refusal(url).startswith(("StoreURL(", "cannot read the Redis URL"))


def parsed_or_refusal(url):
    try:
        return repr(parse(url))
    except ValueError as error:
        return "".join(format_exception_only(error)).removeprefix("ValueError: ")


@FUZZ
@given(SCHEMES, NOISE, NOISE, NOISE, PLACES)
@example("redis://", "me", "s/", "", "h")
@example("redis://", "me", "1?", "", "h")
@example("redis://", "me", "99999/", "", "h")
@example("redis://", "me", "s?client_name=", "", "h")
def test_a_password_in_the_login_is_not_shown(scheme, user, before, after, place):
    refuse_to_show(f"{scheme}{user}:{before}{SECRET}{after}@{place}")


@FUZZ
@given(SCHEMES, PLACES.filter(lambda place: "?" not in place), QUERIES.filter(bool), NOISE)
@example("redis://", "h:1/0/1", "?password=", "@")
def test_a_password_in_the_query_is_not_shown(scheme, place, query, noise):
    refuse_to_show(f"{scheme}{place}{query}{noise.replace('&', '').replace(';', '')}{SECRET}")


def refuse_to_show(url):
    assert SECRET not in without_secrets(url)
    assert SECRET not in parsed_or_refusal(url)


@pytest.mark.parametrize("url", ["redis://me:a/b@h", "redis://me:a?b@h", "redis://h?password=a@b", "unix:///a@b"])
def test_what_could_be_part_of_a_password_is_refused_where_places_stand(url):
    with pytest.raises(ValueError, match="percent-encoded"):
        parse(url)
