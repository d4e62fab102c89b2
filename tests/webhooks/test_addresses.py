"""URLs and addresses that webhooks must not reach."""

from __future__ import annotations

import pytest

from chuk_sessions.events.webhooks.addresses import check_url, refusal

PRIVATE = ["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1"]
NEVER = [
    "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "not an address", "",
    "::ffff:0:127.0.0.1", "fec0::1", "100::1", "4000::1", "5f00::1", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_permission(address):
    assert refusal(address, allow_private=False) == "private"
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_no_permission_covers_these(address):
    assert refusal(address, allow_private=False) is not None
    assert refusal(address, allow_private=True) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address):
    assert refusal(address, allow_private=False) is None


@pytest.mark.parametrize("url", ["https://hooks.example/x", "https://hooks.example:8443/", "https://8.8.8.8/x"])
def test_public_https_is_allowed(url):
    assert check_url(url, allow_private=False) == url


BAD_URLS = [
    "http://hooks.example/x", "ftp://hooks.example/", "hooks.example", "", "https://", "https://user:pw@hooks.example/",
    "https://@hooks.example/", "https://hooks.example/#part", "https://hooks.example:0/", "https://hooks.example:99999/",
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/",
    "https://127.0.0.1./", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/",
    "https://hooks.example\\@127.0.0.1/", "https://hooks.example/ x", "https://h\u00f6ks.example/",
    "https://" + "x" * 2048, None, 7,
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS, ids=range(len(BAD_URLS)))
def test_other_urls_are_refused(url):
    with pytest.raises(ValueError, match="URL"):
        check_url(url, allow_private=False)


def test_permission_for_private_addresses_allows_http():
    for url in ("http://127.0.0.1:8000/hook", "http://localhost/", "http://[::1]:80/x"):
        assert check_url(url, allow_private=True) == url
    with pytest.raises(ValueError, match="refused"):
        check_url("http://169.254.169.254/", allow_private=True)
    with pytest.raises(ValueError, match="refused"):
        check_url("http://127.1/", allow_private=True)


def test_a_named_host_has_the_permission():
    assert check_url("http://internal/x", allow_private=False, allow_hosts={"internal"})
    with pytest.raises(ValueError, match="https"):
        check_url("http://internal.example/x", allow_private=False, allow_hosts={"internal"})


def test_the_case_of_a_named_host_does_not_matter():
    assert check_url("http://INTERNAL/x", allow_private=False, allow_hosts={"Internal"})
