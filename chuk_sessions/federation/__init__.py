"""Federation: grants that let another sandbox use one path of a session while the session is alive."""

from __future__ import annotations

try:
    from .keys import SigningKeys, generate_signing_key, keys_text, public_keys_text
    from .tokens import Grant
except ImportError as missing:
    raise ImportError("federation needs more packages: pip install 'chuk-sessions[redis,federation]'") from missing

__all__ = ["Grant", "SigningKeys", "generate_signing_key", "keys_text", "public_keys_text"]
