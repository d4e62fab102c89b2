"""Make `python -m chuk_sessions` the same as `chuk-sessions`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
