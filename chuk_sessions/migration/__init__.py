"""Migration: sessions of chuk-sessions 0.6, or of another store or sandbox. docs/upgrading.md has the steps."""

from .own_format import SandboxSource
from .published import PublishedSource
from .read_through import ReadThrough, from_env

__all__ = ["PublishedSource", "ReadThrough", "SandboxSource", "from_env"]
