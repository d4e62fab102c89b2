"""Keys that sign security events, and their rotation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from joserfc import jwk, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

TYPE: Final = "secevent+jwt"

_ALGORITHMS: Final[dict[str, Callable[[], ECKey | RSAKey]]] = {
    "ES256": lambda: ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True),
    "RS256": lambda: RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True),
}


class SigningKeys:
    """A set of keys. All are published, and one of them signs. The set itself does not change.

    To rotate the keys, publish another key with `with_new_key`. Once all receivers have had the time to fetch it, let
    it sign with `signing_with`. When no message signed with the old key can still arrive, remove that key with
    `without`.

    Attributes:
        signing: the id of the key that signs.

    """

    def __init__(self, keys: Sequence[Mapping[str, Any]], signing: str | None = None) -> None:
        """Take private keys in the form of JSON Web Keys, each with `kid` and `alg`; by default the first one signs.

        Raises:
            ValueError: a key is malformed, public, or of another algorithm than ES256 and RS256; or `signing` is not
                the id of one of them.

        """
        self._keys = {key.kid: key for key in map(_import, keys)}
        if not self._keys or len(self._keys) < len(keys):
            raise ValueError("there must be a key, and each must have an id of its own")
        self.signing = next(iter(self._keys)) if signing is None else signing
        if self.signing not in self._keys:
            raise ValueError(f"there is no key with the id {signing!r}")

    def __repr__(self) -> str:
        return f"SigningKeys(ids={list(self.ids)}, signing={self.signing!r})"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys."""
        return tuple(self._keys)

    @classmethod
    def generate(cls, algorithm: str = "ES256") -> Self:
        """Return a set with one new key, for ES256 or RS256."""
        return cls([_generate(algorithm)])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the set that `to_json` has written. Raises ValueError for other text."""
        try:
            found = json.loads(text)
            return cls(found["keys"], found.get("signing"))
        except (KeyError, TypeError, AttributeError):
            raise ValueError("this is not a set of signing keys") from None

    def to_json(self) -> str:
        """Return all keys with their private parts, as a JSON Web Key Set. Keep it as secret as a password."""
        return json.dumps({"keys": self._exported(), "signing": self.signing})

    def with_new_key(self, algorithm: str = "ES256") -> Self:
        """Return a set with another key, which is published and does not sign yet."""
        return type(self)([*self._exported(), _generate(algorithm)], self.signing)

    def signing_with(self, key_id: str) -> Self:
        """Return a set in which another key signs. Raises ValueError if there is no such key."""
        return type(self)(self._exported(), key_id)

    def without(self, key_id: str) -> Self:
        """Return a set without a key. Raises ValueError for the key that signs."""
        if key_id == self.signing:
            raise ValueError("the key that signs cannot be removed")
        return type(self)([key for key in self._exported() if key["kid"] != key_id], self.signing)

    def jwks(self) -> dict[str, Any]:
        """Return the public parts of all keys, as a JSON Web Key Set."""
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a Security Event Token with these claims."""
        return _sign(self._keys[self.signing], claims)

    def _exported(self) -> list[dict[str, Any]]:
        return [key.as_dict(private=True) for key in self._keys.values()]


def _generate(algorithm: str) -> dict[str, Any]:
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"algorithm must be one of {', '.join(_ALGORITHMS)}")
    return _ALGORITHMS[algorithm]().as_dict(private=True)


def _import(key: Mapping[str, Any]) -> Any:
    try:
        found = jwk.import_key(dict(key))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("a key is not a JSON Web Key") from None
    if found.alg not in _ALGORITHMS or not found.kid or not found.is_private:
        raise ValueError("a key must be private, with `kid`, and with `alg` ES256 or RS256")
    try:
        _sign(found, {})
    except (JoseError, ValueError, TypeError, AttributeError):
        raise ValueError("a key cannot sign with its own `alg`") from None
    return found


def _sign(key: Any, claims: Mapping[str, Any]) -> str:
    header = {"alg": key.alg, "typ": TYPE, "kid": key.kid}
    return jwt.encode(header, dict(claims), key, algorithms=[str(key.alg)])
