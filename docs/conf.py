"""Configuration of the documentation site: `make docs` builds it."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path

project = "chuk-sessions"
copyright = "the chuk-sessions maintainers"
version = release = version_of("chuk-sessions")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = False
# A signature that names `SessionManager` may mean the asynchronous or the synchronous one. Sphinx links the first.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"chuk-sessions {release}"
html_show_sourcelink = False

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False

ROOT = Path(__file__).parent.parent
FROM_ROOT = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md", "security": "SECURITY.md"}
PAGES = {"docs/": ""} | {file: f"{page}.md" for page, file in FROM_ROOT.items()}

_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def use_markdown_code(app, what, name, obj, options, lines):
    """Turn the `code` of docstrings into reStructuredText's ``code``."""
    lines[:] = _CODE.sub(r"``\1``", "\n".join(lines)).split("\n")


def show_file_from_root(app, docname, source):
    """Show the text of a file in the root of the repository, with links that lead to pages."""
    if docname in FROM_ROOT:
        app.env.note_dependency(str(ROOT / FROM_ROOT[docname]))
        text = (ROOT / FROM_ROOT[docname]).read_text(encoding="utf-8")
        for file, page in PAGES.items():
            text = text.replace(f"]({file}", f"]({page}")
        source[0] = text


def setup(app):
    """Register the hooks, the one for docstrings ahead of napoleon, which reads their sections."""
    app.connect("autodoc-process-docstring", use_markdown_code, priority=100)
    app.connect("source-read", show_file_from_root)
