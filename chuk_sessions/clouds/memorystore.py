"""Credentials for Google Cloud Memorystore with IAM tokens."""

from __future__ import annotations

import time
from datetime import UTC
from typing import Any, Final

from .tokens import Token, TokenCredentials

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
USER: Final = "default"
"""The user of all IAM logins: https://cloud.google.com/memorystore/docs/valkey/about-iam-auth"""


def memorystore_iam(credentials: Any = None) -> TokenCredentials:
    """Return credentials for an instance of Memorystore with IAM authentication.

    Args:
        credentials: from google-auth; by default the application default credentials.

    Raises:
        ImportError: the packages of the extra `gcp` are missing.

    """
    try:
        import google.auth  # noqa: PLC0415  (only Google Cloud needs the package)
        from google.auth.transport.requests import Request  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("memorystore_iam() needs more packages: pip install 'chuk-sessions[gcp]'") from error
    found = [credentials] if credentials is not None else []

    def fetch() -> Token:
        # Finding the default credentials may take a request to the metadata server, so that is done here, too.
        if not found:
            found.append(google.auth.default(scopes=[SCOPE])[0])
        source = found[0]
        source.refresh(Request())
        expiry = source.expiry.replace(tzinfo=UTC).timestamp() if source.expiry else time.time() + 3600
        return Token(USER, source.token, expiry)

    return TokenCredentials(fetch)
