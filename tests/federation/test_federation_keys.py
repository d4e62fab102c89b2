"""Keys of sandboxes: every documented form is read, malformed ones are refused, and no error shows a key."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import jwt
import pytest

from chuk_sessions.federation import SigningKeys, generate_signing_key, keys_text, public_keys_text
from chuk_sessions.federation.keys import trust_map

KEY = generate_signing_key()
SEED = KEY.private_bytes_raw()
PUBLIC = KEY.public_key().public_bytes_raw()
TEXT = b64encode(SEED).decode()
PUBLIC_TEXT = b64encode(PUBLIC).decode()


@pytest.mark.parametrize(
    "source", [KEY, SEED, TEXT, TEXT.rstrip("="), TEXT.translate({43: "-", 47: "_"})], ids=range(5)
)
def test_private_keys_have_several_forms(source):
    keys = SigningKeys({"k1": source})
    assert keys.public["k1"].raw_value.public_bytes_raw() == PUBLIC


@pytest.mark.parametrize("source", [KEY.public_key(), PUBLIC, PUBLIC_TEXT, PUBLIC_TEXT.rstrip("=")], ids=range(4))
def test_public_keys_have_several_forms(source):
    trust = trust_map({"sandbox-b": {"k1": source}})
    assert trust["sandbox-b"]["k1"].raw_value.public_bytes_raw() == PUBLIC


def test_the_first_key_signs_and_all_are_published():
    new = generate_signing_key()
    keys = SigningKeys(keys_text({"new": new, "old": KEY}))
    assert keys.signing == "new"
    published = jwt.PyJWKSet.from_dict(keys.jwks())
    assert [key.key_id for key in published.keys] == ["new", "old"]
    assert published["old"].key.public_bytes_raw() == PUBLIC
    assert all(set(key) == {"kty", "crv", "x", "use", "alg", "kid"} for key in keys.jwks()["keys"])


def test_trust_is_read_from_a_text():
    first, second = generate_signing_key(), generate_signing_key()
    text = f" sandbox-b = {public_keys_text({'k1': first, 'k2': second})} ;\nsandbox-c=k1:{PUBLIC_TEXT};"
    trust = trust_map(text)
    assert {issuer: list(keys) for issuer, keys in trust.items()} == {"sandbox-b": ["k1", "k2"], "sandbox-c": ["k1"]}
    assert trust["sandbox-c"]["k1"].raw_value.public_bytes_raw() == PUBLIC


BAD_KEYS: list[Any] = [
    {}, "", "k1", None, 5, [], {"k1": ""}, {"k1": b"short"}, {"k1": TEXT[:-4]}, {"k1": "*" * 43}, {"k1": None},
    {"k1": KEY.public_key()}, {"": KEY}, {"k 1": KEY}, {1: KEY}, {TEXT[:43]: KEY}, f"k1:{TEXT},k1:{TEXT}", TEXT,
    f"{TEXT[:43]}:k1",
]  # fmt: skip


@pytest.mark.parametrize("source", BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_malformed_signing_keys_are_refused(source):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        SigningKeys(source)
    assert TEXT[:20] not in str(error.value)


BAD_TRUST: list[Any] = [
    None, 5, [], {"sandbox-b": {}}, {"sandbox-b": None}, {"sandbox-b": {"k1": KEY}}, {"a/b": {"k1": PUBLIC}},
    {"sandbox-b": {"k1": PUBLIC[:31]}}, {"x" * 129: {"k1": PUBLIC}}, PUBLIC_TEXT, f"k1:{PUBLIC_TEXT}", "sandbox-b=",
    f"sandbox-b={PUBLIC_TEXT}", f"sandbox-b=k1:{PUBLIC_TEXT};sandbox-b=k1:{PUBLIC_TEXT}",
    f"sandbox-b=k1:{PUBLIC_TEXT},k1:{PUBLIC_TEXT}",
]  # fmt: skip


@pytest.mark.parametrize("source", BAD_TRUST, ids=range(len(BAD_TRUST)))
def test_malformed_trust_is_refused(source):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        trust_map(source)
    assert PUBLIC_TEXT[:20] not in str(error.value)


@pytest.mark.parametrize("coordinate", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 1 + 2**255])
def test_keys_for_which_anyone_can_sign_are_refused(coordinate):
    with pytest.raises(ValueError, match="anyone can sign"):
        trust_map({"sandbox-b": {"k1": coordinate.to_bytes(32, "little")}})


def test_keys_are_shown_nowhere():
    keys = SigningKeys({"k1": KEY})
    assert repr(keys) == "SigningKeys(k1)"
    assert TEXT[:20] not in repr(vars(keys))
