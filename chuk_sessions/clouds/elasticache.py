"""Credentials for AWS ElastiCache with IAM tokens, which are presigned requests that are never sent as requests."""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlencode

from .tokens import Token, TokenCredentials

EXPIRES_IN: Final = 900
"""Seconds for which a token is valid: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html"""
LOGIN_SECONDS: Final = 3600.0
"""A connection logs in again after this time. The service closes it 12 hours after its last login (same page)."""


def elasticache_iam(
    user: str, cache: str, *, region: str | None = None, serverless: bool = False, session: Any = None
) -> TokenCredentials:
    """Return credentials for a cache of ElastiCache with IAM authentication. The cache needs TLS.

    A thread signs the tokens, because botocore may first have to fetch the keys of a role, and that blocks.

    Args:
        user: the user id, which must equal the user name.
        cache: the name of the replication group or of the serverless cache.
        region: for example `eu-west-1`; by default that of the session, for example from AWS_DEFAULT_REGION.
        serverless: whether it is a serverless cache.
        session: a botocore session; by default a new one, which looks for keys in the usual places.

    Raises:
        ValueError: user or cache is empty, or no region is known.
        ImportError: the packages of the extra `aws` are missing.

    """
    if not user or not cache:
        raise ValueError("elasticache_iam() needs the user and the name of the cache")
    try:
        from botocore.model import ServiceId  # noqa: PLC0415  (only AWS needs the package)
        from botocore.session import get_session  # noqa: PLC0415
        from botocore.signers import RequestSigner  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("elasticache_iam() needs more packages: pip install 'chuk-sessions[aws]'") from error
    session = session or get_session()
    region = region or session.get_config_variable("region")
    if not region:
        raise ValueError("elasticache_iam() needs a region, for example in AWS_DEFAULT_REGION")
    request = _request(user, cache, serverless)

    def fetch() -> Token:
        keys = session.get_credentials()
        if keys is None:
            raise RuntimeError("botocore found no keys of AWS")
        events = session.get_component("event_emitter")
        signer = RequestSigner(ServiceId("elasticache"), region, "elasticache", "v4", keys, events)
        signed_at = time.time()
        url = signer.generate_presigned_url(
            request, operation_name="connect", expires_in=EXPIRES_IN, region_name=region
        )
        return Token(user, url.removeprefix("https://"), signed_at + EXPIRES_IN, LOGIN_SECONDS)

    return TokenCredentials(fetch)


def _request(user: str, cache: str, serverless: bool) -> dict[str, Any]:
    query = {"Action": "connect", "User": user} | ({"ResourceType": "ServerlessCache"} if serverless else {})
    url = f"https://{cache.lower()}/?{urlencode(query)}"
    return {"method": "GET", "url": url, "body": {}, "headers": {}, "context": {}}
