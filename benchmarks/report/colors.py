"""The colors of the charts. They are legible on white and on dark pages, because the charts have no background."""

from __future__ import annotations

BACKGROUNDS = ("#ffffff", "#0d1117")
"""Pages of GitHub in its light and in its dark theme."""

TEXT = "#7a7f87"
OURS_COLOR = "#2f81f7"
PEER_COLOR = "#868b93"
LIMIT_COLOR = "#b07a1e"
SERIES = (OURS_COLOR, "#c2621a", "#2b9348", "#a05fd0", "#d0457b", "#808a2a", "#2596a8", "#b07a1e", "#868b93")
ALL = (TEXT, PEER_COLOR, LIMIT_COLOR, *SERIES)
LEAST_CONTRAST = 3.0
"""The least contrast of charts and large text in the Web Content Accessibility Guidelines (WCAG 2.2, 1.4.11)."""


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colors such as `#0d1117`, from 1 to 21."""
    darker, lighter = sorted(map(_luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
