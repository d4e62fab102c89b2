"""The SDKs of the clouds, with stand-ins for their token services: what they sign or fetch logs in to a real server."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from chuk_sessions.clouds import elasticache_iam, entraid, from_env, memorystore_iam
from chuk_sessions.providers import redis
from tests.clouds.token_service import USER, TokenService
from tests.harness.servers import Server
from tests.redis.tools import backend_on, works


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path) -> pytest.MonkeyPatch:
    """Hide the identity of whoever runs the tests."""
    for name in ("AWS_PROFILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def signature_of(url: str, secret: str) -> str:
    """Return the signature that AWS would compute for a presigned URL."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    _, _, region, service, _ = query["X-Amz-Credential"].split("/")
    key = Credentials("AKIDEXAMPLE", secret, query.get("X-Amz-Security-Token"))
    auth = SigV4QueryAuth(key, service, region, int(query["X-Amz-Expires"]))
    unsigned = url.split("&X-Amz-Signature=", maxsplit=1)[0]
    request = AWSRequest("GET", unsigned, headers={})
    request.context["timestamp"] = query["X-Amz-Date"]
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


@pytest.mark.parametrize("serverless", [False, True])
def test_elasticache_tokens_are_presigned_requests(bare: pytest.MonkeyPatch, service: TokenService, serverless: bool):
    bare.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/keys")
    credentials = elasticache_iam("app", "My-Cache", region="eu-west-1", serverless=serverless)
    user, token = credentials.get_credentials()
    query = {name: values[0] for name, values in parse_qs(urlsplit(f"https://{token}").query).items()}
    assert user == "app"
    assert token.startswith("my-cache/?")
    assert (query["Action"], query["User"], query["X-Amz-Expires"]) == ("connect", "app", "900")
    assert query.get("ResourceType") == ("ServerlessCache" if serverless else None)
    assert query["X-Amz-Signature"] == signature_of(f"https://{token}", "example-secret")
    assert query["X-Amz-Signature"] != signature_of(f"https://{token}", "another-secret")


def test_elasticache_connections_log_in_again_about_hourly(bare: pytest.MonkeyPatch, service: TokenService):
    bare.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/keys")
    credentials = elasticache_iam("app", "my-cache", region="eu-west-1")
    told: list[object] = []
    credentials.on_next(told.append)
    renewal = credentials._renewal
    credentials.get_credentials()
    token = renewal.current()
    assert token is not None
    for minutes, expected in ((12, 0), (24, 0), (61, 1), (70, 1)):
        renewal._logged_in_at -= 0 if told else minutes * 60
        renewal._accept(token)
        assert len(told) == expected
        renewal._logged_in_at += 0 if told else minutes * 60


async def test_entra_id_tokens_log_in(bare: pytest.MonkeyPatch, own_server: Server, service: TokenService):
    bare.setenv("IDENTITY_ENDPOINT", f"{service.url}/msi")
    bare.setenv("IDENTITY_HEADER", "header")
    async with backend_on(f"redis://127.0.0.1:{own_server.port}", credentials=entraid()) as backend:
        await works(backend)
        assert [one["user"] for one in own_server.client().client_list() if one["name"] == "chuk-sessions"] == [USER]


async def test_memorystore_tokens_log_in(bare: pytest.MonkeyPatch, own_server: Server, service: TokenService):
    service.user = "default"
    host = service.url.removeprefix("http://")
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"):
        bare.setenv(name, host)
    async with backend_on(f"redis://127.0.0.1:{own_server.port}", credentials=memorystore_iam()) as backend:
        await works(backend)
    assert service.issued


def test_the_environment_chooses_credentials(bare: pytest.MonkeyPatch):
    bare.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    bare.setenv("SESSION_REDIS_AUTH", "elasticache-iam")
    with pytest.raises(ValueError, match="SESSION_REDIS_AUTH_CACHE"):
        from_env()
    bare.setenv("SESSION_REDIS_AUTH_USER", "app")
    bare.setenv("SESSION_REDIS_AUTH_CACHE", "my-cache")
    assert from_env() is from_env()
    bare.setenv("SESSION_REDIS_AUTH_SERVERLESS", "true")
    with pytest.raises(ValueError, match="SESSION_REDIS_AUTH_SERVERLESS must be 0 or 1"):
        from_env()
    bare.delenv("SESSION_REDIS_AUTH_SERVERLESS")
    url = "redis://127.0.0.1:6379"
    assert redis.factory(url).backend is redis.factory(url).backend
    with pytest.raises(ValueError, match="either a credential provider or user and password"):
        redis.factory("redis://app:secret@127.0.0.1:6379")
    bare.setenv("SESSION_REDIS_AUTH", "kerberos")
    with pytest.raises(ValueError, match="entraid, elasticache-iam, memorystore-iam"):
        redis.factory(url)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="name of the cache"):
        elasticache_iam("app", "")


def test_a_region_is_needed(bare: pytest.MonkeyPatch):
    bare.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ValueError, match="region"):
        elasticache_iam("app", "my-cache")


def test_keys_that_are_missing_are_an_error_that_says_so(bare: pytest.MonkeyPatch):
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="no keys of AWS"):
        elasticache_iam("app", "my-cache", region="eu-west-1").get_credentials()
    assert time.monotonic() - began < 30
