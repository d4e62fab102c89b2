"""The format: published vectors, a second decryptor, hostile headers, and values in places where they do not belong."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from itertools import product

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions.core import ids, index_operations, keys
from chuk_sessions.encryption import Encryption
from chuk_sessions.encryption.keyset import derive, load
from chuk_sessions.encryption.nonces import NONCES
from chuk_sessions.encryption.sealing import Sealer
from chuk_sessions.exceptions import CorruptRecordError, KeyUnavailableError, SessionError
from tests.conftest import missing
from tests.encryption.stored import KEYS, encryption, store, stored

DATA = {"cart": [1, {"a": "ü"}], "n": 1}


class SecondDecryptor:
    """A decryptor of records, written from docs/encryption.md with the package cryptography alone."""

    def __init__(self, keys_by_id: dict[str, bytes], sandbox: str) -> None:
        self.keys = {hashlib.sha256(key_id.encode()).digest()[:3]: key for key_id, key in keys_by_id.items()}
        self.index = keys_by_id["index"]
        self.sandbox = sandbox.encode("ascii")

    def value(self, record: dict[bytes, bytes], field: bytes) -> bytes:
        value, salt = record[field], record[b"s"]
        assert value[:2] == b"\x45\x01"
        hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=b"chuk-sessions E1")
        key = hkdf.derive(self.keys[value[2:5]])
        associated = b"\x45\x01" + self.sandbox + b"/" + salt + field
        return AESGCM(key).decrypt(value[5:17], value[17:], associated)

    def metadata(self, record):
        return {field[2:].decode(): json.loads(self.value(record, field)) for field in record if field[:2] == b"m:"}

    def owner_hash(self, user_id):
        digest = hmac.new(self.index, self.sandbox + b"/" + user_id.encode(), hashlib.sha256).digest()
        return b"\xff" + digest[:15], int.from_bytes(digest[16:24], "big") >> 12


async def test_a_decryptor_written_from_the_documentation_opens_records(world):
    manager = world.manager(encryption=encryption())
    session_id = await manager.allocate_session(user_id="alice", custom_metadata=DATA)
    await manager.update_session_metadata(session_id, {"more": "x"})
    record, decryptor = await stored(world, await manager.rotate_session(session_id)), SecondDecryptor(KEYS, "test")
    assert decryptor.metadata(record) == {**DATA, "more": "x"}
    assert decryptor.value(record, b"u") == b"alice"
    identity, score = decryptor.owner_hash("alice")
    assert record[b"h"] == identity
    home = keys.index("test", ids.home_bucket("test", "alice"))
    assert len((await world.backend.run(index_operations.find(home, score)))[1]) == 1


def test_the_key_of_the_index_comes_from_a_single_key():
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"", info=b"chuk-sessions index")
    assert load({"a": KEYS["old"]}).index == hkdf.derive(KEYS["old"])


def vectors(name):
    """Return the NIST vectors of a file with nonces of 96 bits and tags of 128 bits, as dicts of bytes."""
    try:
        from cryptography_vectors import open_vector_file
    except ImportError:
        missing("the package cryptography-vectors is not installed")
    found: list[dict[str, bytes]] = []
    lengths: dict[str, str] = {}
    with open_vector_file(f"ciphers/AES/GCM/{name}.rsp", "r") as file:
        for line in map(str.strip, file):
            word, equals, text = [part.strip() for part in line.strip("[]").partition("=")]
            if line.startswith("["):
                lengths[word] = text
            elif lengths.get("IVlen") != "96" or lengths.get("Taglen") != "128":
                continue
            elif word == "Count":
                found.append({})
            elif equals:
                found[-1][word] = bytes.fromhex(text)
            elif line == "FAIL":
                found[-1][word] = b""
    return found


def sealer_of(vector):
    """Return a sealer that uses the key of a vector, and takes associated data as the salt."""
    sealer = Sealer(load(KEYS), b"new", "test")
    cipher = AESGCM(vector["Key"])
    sealer._cipher = lambda _key, _salt: cipher
    sealer._bound_to = b""
    return sealer


def test_published_vectors_decrypt_or_fail_as_they_should():
    numbers = {"good": 0, "bad": 0}
    for vector in vectors("gcmDecrypt256"):
        value = b"E\x01new" + vector["IV"] + vector["CT"] + vector["Tag"]
        if "FAIL" in vector:
            numbers["bad"] += 1
            with pytest.raises(CorruptRecordError):
                sealer_of(vector).open(vector["AAD"], b"", value)
        else:
            numbers["good"] += 1
            assert sealer_of(vector).open(vector["AAD"], b"", value) == vector["PT"]
    assert min(numbers.values()) > 100


def test_published_vectors_encrypt_as_they_should(monkeypatch):
    found = vectors("gcmEncryptExtIV256")
    for vector in found:
        monkeypatch.setattr(NONCES, "_left", [vector["IV"]])
        _, value = sealer_of(vector).seal(vector["AAD"], [b"", vector["PT"]])
        assert value == b"E\x01new" + vector["IV"] + vector["CT"] + vector["Tag"]
    monkeypatch.undo()
    NONCES.clear()
    assert len(found) > 300


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), st.binary(max_size=40))
def test_keys_are_derived_by_hkdf(master, salt, info):
    assert derive(master, salt, info) == HKDF(hashes.SHA256(), 32, salt, info).derive(master)


def test_keys_are_derived_as_rfc_5869_says():
    # The first test case; its output is longer, but begins with the same block.
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    derived = derive(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert derived.hex() == expected


def record(values=None):
    """Return the fields of an encrypted record, and its codec."""
    codec, salt = encryption().codec("test"), b"s" * 16
    pairs = codec.encode(values or {"a": 1}, 1000, salt) + codec.owner_pairs("alice", salt)
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return codec, {b"s": salt, b"h": codec.owner("alice").form.identity, **fields}


@given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=60).map(lambda tail: b"E" + tail),
        st.binary(max_size=60).map(lambda tail: b"E\x01" + tail),
        st.binary(max_size=60).map(lambda tail: record()[1][b"m:a"][:5] + tail),
        st.tuples(st.integers(0, 33), st.integers(1, 255)).map(lambda flip: flipped(record()[1][b"m:a"], *flip)),
    ),
    st.sampled_from([b"m:a", b"u", b"s"]),
)
def test_hostile_values_raise_typed_errors(value, field):
    codec, fields = record()
    fields[field] = value
    for decode in (codec.decode, codec.decode_owner, codec.rewriting):
        try:
            found = decode(fields)
        except (CorruptRecordError, KeyUnavailableError):
            continue
        assert decode != codec.decode or found == {"a": 1} or not value.startswith(b"E")
    if field != b"s" and value[:1] == b"E":
        with pytest.raises(SessionError):
            (codec.decode if field == b"m:a" else codec.decode_owner)(fields)


def flipped(value, place, bits):
    place %= len(value)
    return value[:place] + bytes([value[place] ^ bits]) + value[place + 1 :]


def test_a_format_and_a_key_that_are_unknown_are_not_damage():
    codec, fields = record()
    with pytest.raises(KeyUnavailableError):
        codec.decode({**fields, b"m:a": b"E\x02" + fields[b"m:a"][2:]})
    with pytest.raises(KeyUnavailableError, match="787878"):
        codec.decode({**fields, b"m:a": b"E\x01xxx" + fields[b"m:a"][5:]})


PLACES = ("field", "session", "sandbox", "owner", "clone", "old version")


@pytest.mark.parametrize("place", PLACES)
async def test_a_value_that_is_moved_is_refused_except_as_documented(single, place):
    manager, elsewhere = [single.manager(sandbox, encryption=encryption()) for sandbox in ("test", "other")]
    source = await manager.allocate_session(user_id="alice", custom_metadata={"a": 1, "b": 2})
    fields = await stored(single, source)
    target, sandbox = source, "test"
    if place == "field":
        await store(single, source, {b"m:b": fields[b"m:a"]})
    elif place == "owner":
        await store(single, source, {b"m:a": fields[b"u"]})
    elif place == "session":
        target = await manager.allocate_session(user_id="bob", custom_metadata={"a": 3})
        await store(single, target, {b"m:a": fields[b"m:a"]})
    elif place == "sandbox":
        target, sandbox = await elsewhere.allocate_session(user_id="bob"), "other"
        await store(single, target, {name: fields[name] for name in (b"s", b"m:a", b"m:b", b"u", b"h")}, sandbox)
    elif place == "clone":
        target = await manager.allocate_session()
        await store(single, target, {name: fields[name] for name in (b"s", b"m:a", b"m:b", b"u", b"h")})
    else:
        await manager.update_session_metadata(source, {"a": 9})
        await store(single, source, {b"m:a": fields[b"m:a"]})
    reader = elsewhere if sandbox == "other" else manager
    if place in ("clone", "old version"):
        session = await reader.get_session_metadata(target)
        assert (session.user_id, session.custom_metadata) == ("alice", {"a": 1, "b": 2})
        return
    with pytest.raises(CorruptRecordError):
        await reader.get_session_metadata(target)


def test_no_key_or_context_but_the_right_one_decrypts():
    _, fields = record()
    sealed = fields[b"m:a"]
    for key_id, sandbox in product(("old", "new"), ("test", "other")):
        sealer = Sealer(load({"new": KEYS[key_id], "index": KEYS["index"]}), b"new", sandbox)
        if (key_id, sandbox) == ("new", "test"):
            assert sealer.open(fields[b"s"], b"m:a", sealed) == b"1"
        else:
            with pytest.raises(CorruptRecordError) as caught:
                sealer.open(fields[b"s"], b"m:a", sealed)
            assert not isinstance(caught.value.__context__, InvalidTag) or caught.value.__suppress_context__


def test_no_nonce_repeats_in_a_forked_process():
    code = (
        "import os\nfrom chuk_sessions.encryption.nonces import NONCES\nNONCES.next()\n"
        "r, w = os.pipe()\nif os.fork() == 0:\n    os.write(w, NONCES.next()); os._exit(0)\n"
        "ours = {NONCES.next() for _ in range(63)}\nassert os.read(r, 12) not in ours and len(ours) == 63\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nonces_do_not_repeat():
    assert len({NONCES.next() for _ in range(10_000)}) == 10_000


def test_the_repr_and_errors_contain_no_key():
    secret = "c2VjcmV0" * 4
    for build in (lambda: Encryption({"a": secret}, primary="a"), lambda: Encryption(f"a:{secret},b", primary="a")):
        with pytest.raises(ValueError, match="key") as caught:
            build()
        assert secret not in str(caught.value)
    assert "oooo" not in repr(encryption()) + repr(load(KEYS))


def test_no_nonce_repeats_in_a_process_that_was_forked_without_hooks():
    """Servers that fork in C, such as uWSGI, do not run them."""
    code = (
        "import os\nos.register_at_fork = lambda **_: None\nfrom chuk_sessions.encryption.nonces import NONCES\n"
        "NONCES.supply()()\nr, w = os.pipe()\n"
        "if os.fork() == 0:\n    os.write(w, NONCES.supply()()); os._exit(0)\n"
        "next_nonce = NONCES.supply()\nours = {next_nonce() for _ in range(63)}\nassert os.read(r, 12) not in ours\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_expected_values_that_are_not_there_are_not_sent_as_text():
    codec, fields = record({"a": "secret"})
    for expected in ({"a": "guess"}, {"b": "guess"}):
        assert b"guess" not in b"".join(codec.encode_expected(expected, 100, fields))
    assert codec.encode_expected({"a": "guess"}, 100, {b"m:a": b'"plain"'})[1] != b'"guess"'
    assert codec.encode_expected({"a": "plain"}, 100, {b"m:a": b'"plain"'}) == [b"m:a", b'"plain"']
    assert codec.encode_expected({"a": "secret"}, 100, fields) == [b"m:a", fields[b"m:a"]]
