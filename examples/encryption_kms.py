"""Encryption with keys that a key management service unwraps when the process starts.

    SESSION_PROVIDER=redis python examples/encryption_kms.py

`LocalKms` takes the place of the service. With AWS KMS, Google Cloud KMS, or Vault Transit, `unwrap` calls their
`decrypt`, and the wrapped keys are part of the deployment's configuration: nobody can use them without the service.
"""

import asyncio

from cryptography.fernet import Fernet

from chuk_sessions import CorruptRecordError, KeyUnavailableError, SessionManager
from chuk_sessions.encryption import Encryption, count_keys, generate_key, reencrypt


class LocalKms:
    """A stand-in for a key management service. Its own key never leaves it."""

    def __init__(self) -> None:
        self._own = Fernet(Fernet.generate_key())

    def wrap(self, key: bytes) -> bytes:
        """Return a key as it may be stored in a configuration."""
        return self._own.encrypt(key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the key, for a caller that may have it."""
        return self._own.decrypt(wrapped)


async def main() -> None:
    """Use a session, and rotate the key."""
    kms = LocalKms()
    wrapped = {key_id: kms.wrap(generate_key()) for key_id in ("2026-11", "index")}

    def unwrapped_keys() -> dict[str, bytes]:
        return {key_id: kms.unwrap(key) for key_id, key in wrapped.items()}

    manager = SessionManager("kms-example", encryption=Encryption(unwrapped_keys, primary="2026-11"))
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"token": "secret"})
    factory = manager.session_factory

    wrapped["2027-02"] = kms.wrap(generate_key())
    rotated = Encryption(unwrapped_keys, primary="2027-02")
    print("before:", dict(await count_keys(factory, "kms-example", rotated)))
    await reencrypt(factory, "kms-example", rotated)
    print("after:", dict(await count_keys(factory, "kms-example", rotated)))

    del wrapped["2026-11"]
    current = SessionManager("kms-example", encryption=Encryption(unwrapped_keys, primary="2027-02", require=True))
    session = await current.get_session_metadata(session_id)
    assert session is not None
    print("with the new key alone:", session.user_id, session.custom_metadata)
    try:
        await SessionManager("kms-example").get_session_metadata(session_id)
    except (KeyUnavailableError, CorruptRecordError) as error:
        print("without keys:", type(error).__name__)
    await current.delete_session(session_id)


if __name__ == "__main__":
    asyncio.run(main())
