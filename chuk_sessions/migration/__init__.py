"""Migration: sessions of chuk-sessions 0.6, or of another store or sandbox. docs/upgrading.md has the steps."""

from .bulk import Migration
from .files import FileSource, export_lines
from .outcomes import Outcome, Problem, Report
from .own_format import SandboxSource
from .published import PublishedSource
from .read_through import ReadThrough, from_env
from .state import State
from .target import Target

__all__ = [
    "FileSource", "Migration", "Outcome", "Problem", "PublishedSource", "ReadThrough", "Report", "SandboxSource",
    "State", "Target", "export_lines", "from_env",
]  # fmt: skip
