"""Federation: grants that let another sandbox use one path of a session while the session is alive."""

from __future__ import annotations

try:
    from .app import FederationApp
    from .client import RemoteIssuer
    from .federation import Federation, from_env
    from .keys import SigningKeys, generate_signing_key, keys_text, public_keys_text
    from .proofs import Proof, ProofKey
    from .replays import RecentIds
    from .tokens import Grant
except ImportError as missing:
    raise ImportError("federation needs more packages: pip install 'chuk-sessions[redis,federation]'") from missing

from ..models import ListedGrant, ResolvedGrant

__all__ = [
    "Federation", "FederationApp", "Grant", "ListedGrant", "Proof", "ProofKey", "RecentIds", "RemoteIssuer",
    "ResolvedGrant", "SigningKeys", "from_env", "generate_signing_key", "keys_text", "public_keys_text",
]  # fmt: skip
