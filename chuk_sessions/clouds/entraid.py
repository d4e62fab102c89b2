"""Credentials for Azure Cache for Redis and Azure Managed Redis, with tokens of Entra ID."""

from __future__ import annotations

from typing import Any, Final, Protocol

from .tokens import Token, TokenCredentials

SCOPE: Final = "https://redis.azure.com/.default"
"""The scope of tokens for both services: https://learn.microsoft.com/azure/redis/entra-for-authentication"""


class IdentityProvider(Protocol):
    """A source of tokens, such as the identity providers of the package redis-entraid."""

    def request_token(self, force_refresh: bool = False) -> Any:
        """Return a token with redis-py's TokenInterface. May block."""


def entraid(identity_provider: IdentityProvider | None = None) -> TokenCredentials:
    """Return credentials for a server of Azure. The user name is the object id of the identity.

    The token request of redis-entraid blocks, and its own renewals stop when the first event loop ends. Here, a thread
    requests tokens for all event loops.

    Args:
        identity_provider: from redis-entraid. By default azure-identity's DefaultAzureCredential finds the identity: in
            the environment (AZURE_CLIENT_ID and so on), as a workload or managed identity, or from the Azure CLI.

    Raises:
        ImportError: the packages of the extra `azure` are missing.

    """
    provider = identity_provider or _default_provider()

    def fetch() -> Token:
        token = provider.request_token()
        return Token(token.try_get("oid"), token.get_value(), token.get_expires_at_ms() / 1000)

    return TokenCredentials(fetch)


def _default_provider() -> IdentityProvider:
    try:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  (only Azure needs the packages)
        from redis_entraid.identity_provider import DefaultAzureCredentialProvider  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("entraid() needs more packages: pip install 'chuk-sessions[azure]'") from error
    provider: IdentityProvider = DefaultAzureCredentialProvider(DefaultAzureCredential(), (SCOPE,))
    return provider
