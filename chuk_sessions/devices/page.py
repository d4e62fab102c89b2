"""The HTML of the page. It needs no JavaScript and loads nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Final

MESSAGES: Final = {
    "one": "The device was signed out.",
    "gone": "That device was signed out already.",
    "this": "This is the device that you are using. Sign out of it as usual.",
    "others": "All other devices were signed out.",
}
"""What the page reports after a form was sent, by the value of `done` in its query."""


@dataclass(frozen=True, slots=True)
class Device:
    """A row of the page.

    Attributes:
        reference: the reference of the session.
        name: the name of the device.
        created_at, last_accessed: ISO 8601 texts in UTC with a final `Z`.
        is_current: whether the request belongs to this session.

    """

    reference: str
    name: str
    created_at: str
    last_accessed: str
    is_current: bool


_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
ul { list-style: none; padding: 0; }
li { border: 1px solid #767676; border-radius: .5rem; padding: 1rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .25rem 0; }
button { font: inherit; padding: .5rem 1rem; margin-top: .5rem; min-height: 2.75rem; }
[role=status] { border-left: .25rem solid #176b2c; padding-left: .75rem; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #121212; } }
"""

POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The Content-Security-Policy: no script, no foreign content, no frames."""


def devices_page(title: str, devices: Sequence[Device], path: str, token: str, message: str | None) -> str:
    """Return the page with a user's devices.

    Args:
        title: the title of the page.
        devices: the rows, in this order.
        path: the path of the application, to which forms are sent.
        token: the token against request forgery in the forms.
        message: a key of MESSAGES, or None. Other texts are ignored.

    """
    status = f'<p role="status">{escape(MESSAGES[message])}</p>' if message in MESSAGES else ""
    rows = "\n".join(_row(number, device, path, token) for number, device in enumerate(devices, 1))
    others = ""
    if any(not device.is_current for device in devices):
        others = f"""<form method="post" action="{escape(path)}/revoke-others">
<input type="hidden" name="token" value="{token}">
<button>Sign out all other devices</button>
</form>"""
    return _document(title, f"{status}\n<ul>\n{rows}\n</ul>\n{others}")


def notice_page(title: str, text: str, link: tuple[str, str] | None = None) -> str:
    """Return a page with a text and a link. The link is given as address and text."""
    anchor = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>' if link else ""
    return _document(title, f"<p>{escape(text)}</p>\n{anchor}")


def _document(title: str, content: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""


def _row(number: int, device: Device, path: str, token: str) -> str:
    name = f'<h2 id="device-{number}">{escape(device.name)}</h2>'
    times = f"<p>Signed in {_time(device.created_at)}. Last seen {_time(device.last_accessed)}.</p>"
    if device.is_current:
        return f"<li>\n{name}\n<p><strong>This device</strong></p>\n{times}\n</li>"
    return f"""<li>
{name}
{times}
<form method="post" action="{escape(path)}/revoke">
<input type="hidden" name="token" value="{token}">
<input type="hidden" name="reference" value="{escape(device.reference)}">
<button aria-describedby="device-{number}">Sign out</button>
</form>
</li>"""


def _time(text: str) -> str:
    shown = f"{text[:10]} {text[11:16]} UTC"
    return f'<time datetime="{escape(text)}">{escape(shown)}</time>'
