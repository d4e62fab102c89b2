"""Signatures: the library of the specification and that of Svix accept them."""

from __future__ import annotations

import json
import time

import pytest
import standardwebhooks
import svix.webhooks

from chuk_sessions.events.webhooks import signing

LIBRARIES = [
    (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
    (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
]
BODY = json.dumps({"type": "session.ended", "data": {"user_id": "zoë"}}, ensure_ascii=False).encode()


def signed(*secrets, body=BODY):
    return signing.headers(secrets, "msg_1", int(time.time()), body)


@pytest.mark.parametrize(("webhook", "error"), LIBRARIES)
def test_a_signature_is_accepted(webhook, error):
    secret = signing.new_secret()
    webhook(secret).verify(BODY, signed(secret))
    with pytest.raises(error):
        webhook(signing.new_secret()).verify(BODY, signed(secret))
    with pytest.raises(error):
        webhook(secret).verify(BODY + b" ", signed(secret))


@pytest.mark.parametrize(("webhook", "error"), LIBRARIES)
def test_each_of_several_signatures_is_accepted(webhook, error):
    old, new = signing.new_secret(), signing.new_secret()
    headers = signed(new, old)
    for secret in (old, new):
        webhook(secret).verify(BODY, headers)
    with pytest.raises(error):
        webhook(signing.new_secret()).verify(BODY, headers)


def test_secrets_are_random():
    assert len({signing.new_secret() for _ in range(100)}) == 100
    assert signing.new_secret().startswith("whsec_")
