"""Proofs of possession (RFC 9449), made with PyJWT."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm

from chuk_sessions.federation import Federation, Proof, ProofKey, RecentIds
from chuk_sessions.federation.proofs import prover
from tests.federation.other_side import jwk, proof, thumbprint
from tests.harness import federated
from tests.harness.federated import GIVING

KEY, TOKEN, URL = Ed25519PrivateKey.generate(), "a token", "https://b.example/files/q1"
TRUST = {"test": {"k1": federated.KEY.public_key()}}
P256 = ec.generate_private_key(ec.SECP256R1())


async def proven(text: str, method: str = "GET", url: str = URL, token: str | None = TOKEN) -> str | None:
    return await prover(Proof(text, method, url), token, RecentIds())


def changed(header: dict[str, Any] | None = None, key: Any = KEY, algorithm: str = "EdDSA", **claims: Any) -> str:
    """Return a proof with other headers and claims. None removes one."""
    correct = jwt.decode(proof(KEY, "GET", URL, TOKEN), options={"verify_signature": False})
    payload = {name: value for name, value in {**correct, **claims}.items() if value is not None}
    return jwt.encode(payload, key, algorithm, {"typ": "dpop+jwt", "jwk": jwk(KEY), **(header or {})})


def p256_jwk() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(P256.public_key()))
    return {name: found[name] for name in ("kty", "crv", "x", "y")}


async def test_a_proof_names_its_key():
    assert await proven(proof(KEY, "GET", URL, TOKEN)) == thumbprint(KEY)
    assert await proven(proof(KEY, "POST", URL), "POST", token=None) == thumbprint(KEY)
    own = ProofKey(KEY)
    assert own.thumbprint == thumbprint(KEY)
    assert await proven(own.prove("GET", URL, TOKEN)) == thumbprint(KEY)
    assert repr(own) == f"ProofKey({own.thumbprint})"


async def test_a_key_on_the_curve_p256_proves_too():
    found = await proven(changed({"jwk": p256_jwk()}, P256, "ES256"))
    assert found is not None
    assert found != thumbprint(KEY)


@pytest.mark.parametrize(
    "url", [URL + "?page=2", URL + "#top", "HTTPS://B.EXAMPLE/files/q1", "https://b.example:443/files/q1"]
)
async def test_the_same_url_may_be_written_differently(url):
    assert await proven(proof(KEY, "GET", URL, TOKEN), url=url)
    assert await proven(proof(KEY, "GET", url, TOKEN))


REFUSED: dict[str, Any] = {
    "another method": lambda: proof(KEY, "POST", URL, TOKEN),
    "method in lower case": lambda: proof(KEY, "get", URL, TOKEN),
    "another path": lambda: proof(KEY, "GET", URL + "/", TOKEN),
    "another host": lambda: proof(KEY, "GET", "https://c.example/files/q1", TOKEN),
    "another scheme": lambda: proof(KEY, "GET", "http://b.example/files/q1", TOKEN),
    "another port": lambda: proof(KEY, "GET", "https://b.example:8443/files/q1", TOKEN),
    "a malformed port": lambda: proof(KEY, "GET", "https://b.example:x/files/q1", TOKEN),
    "a user in the URL": lambda: proof(KEY, "GET", "https://u@b.example/files/q1", TOKEN),
    "no URL": lambda: changed(htu=None),
    "a URL that is a list": lambda: changed(htu=[URL]),
    "another token": lambda: proof(KEY, "GET", URL, "another"),
    "no token": lambda: proof(KEY, "GET", URL),
    "too old": lambda: changed(iat=int(time.time()) - 600),
    "in the future": lambda: changed(iat=int(time.time()) + 600),
    "no time": lambda: changed(iat=None),
    "no id": lambda: changed(jti=None),
    "a long id": lambda: changed(jti="x" * 129),
    "typ JWT": lambda: changed({"typ": "JWT"}),
    "an id of a key": lambda: changed({"kid": "k1"}),
    "no key": lambda: changed({"jwk": None}),
    "another key": lambda: changed(key=Ed25519PrivateKey.generate()),
    "a private key": lambda: changed({"jwk": {**jwk(KEY), "d": "A" * 43}}),
    "a further member": lambda: changed({"jwk": {**jwk(KEY), "use": "sig"}}),
    "a short key": lambda: changed({"jwk": {**jwk(KEY), "x": "AAAA"}}),
    "a symmetric key": lambda: changed({"jwk": {"kty": "oct", "k": "A" * 43}}, "A" * 43, "HS256"),
    "a point that is not on the curve": lambda: changed({"jwk": {**p256_jwk(), "x": "A" * 43}}, P256, "ES256"),
    "algorithm and key differ": lambda: changed({"jwk": p256_jwk()}),
    "algorithm and key differ otherwise": lambda: changed(key=P256, algorithm="ES256"),
    "P-384": lambda: changed({"jwk": {**p256_jwk(), "crv": "P-384"}}, ec.generate_private_key(ec.SECP384R1()), "ES384"),
    "no token at all": lambda: "x",
    "empty": lambda: "",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_other_proofs_are_refused(name):
    assert await proven(REFUSED[name]()) is None
    assert await proven(changed()) == thumbprint(KEY)


@pytest.mark.parametrize(("off", "counts"), [(-61, False), (-60, True), (60, True), (61, False)])
async def test_a_proof_counts_for_a_minute_around_its_time(off, counts):
    text, now = changed(iat=1_000_000_000), 1_000_000_000 + off
    found = await prover(Proof(text, "GET", URL), TOKEN, RecentIds(), now=now)
    assert (found is not None) == counts


async def test_proofs_with_foreign_keys_are_not_remembered():
    """Whoever has stolen a bound grant can make any number of them, and would fill the memory."""
    ids, holder = RecentIds(max_remembered=1), thumbprint(KEY)
    for _ in range(3):
        foreign = proof(Ed25519PrivateKey.generate(), "GET", URL, TOKEN)
        assert await prover(Proof(foreign, "GET", URL), TOKEN, ids, thumbprint=holder) is None
    assert await prover(Proof(proof(KEY, "GET", URL, TOKEN), "GET", URL), TOKEN, ids, thumbprint=holder) == holder


async def test_a_proof_counts_once_for_all_processes(world):
    """Each manager stands for a process, because they share nothing but the store."""
    resolving = [world.manager("other", federation=Federation(trust=TRUST)) for _ in range(2)]
    async with world.manager(**GIVING) as giving:
        session_id = await giving.allocate_session()
        token = await giving.grant_session(session_id, to="other", jkt=thumbprint(KEY))
        proof_of_one = Proof(proof(KEY, "GET", URL, token), "GET", URL)
        found = await asyncio.gather(
            *[manager.resolve_grant(token, "q1", proof=proof_of_one) for manager in 5 * resolving]
        )
        assert sorted(map(bool, found)) == [False] * 9 + [True]
    for manager in resolving:
        await manager.aclose()


async def test_processes_may_remember_proofs_by_themselves():
    text, ids = proof(KEY, "GET", URL, TOKEN), RecentIds()
    assert await prover(Proof(text, "GET", URL), TOKEN, ids) == thumbprint(KEY)
    assert await prover(Proof(text, "GET", URL), TOKEN, ids) is None
