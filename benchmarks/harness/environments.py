"""Virtual environments of the peers, under `.peers/`. Each is created at its first use."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
PEERS = BENCHMARKS / ".peers"
PUBLISHED = "0.6.3"
OLDEST = "0.1.1"

_UVLOOP = "uvloop>=0.22; sys_platform != 'win32'"
_REDIS = ("redis>=8.1,<9", "hiredis>=3.2,<4", _UVLOOP)
WEB = "web"
PACKAGES = {
    f"chuk-sessions-{PUBLISHED}": (f"chuk-sessions=={PUBLISHED}", *_REDIS),
    f"chuk-sessions-{OLDEST}": (f"chuk-sessions=={OLDEST}", *_REDIS),
    "redis-py": _REDIS,
    "coredis": ("coredis>=6.9,<7", _UVLOOP),
    "valkey-glide": ("valkey-glide>=2.5,<3", _UVLOOP),
    "starsessions": ("starsessions>=2.2,<3", *_REDIS),
    WEB: (
        "django>=5.2",
        "flask-session>=0.8,<1",
        "flask>=3.1",
        "gunicorn>=27",
        "httptools>=0.7",
        "starlette>=1.0",
        "starsessions>=2.2,<3",
        "uvicorn>=0.38",
        *_REDIS,
    ),
}


def interpreter(peer: str) -> Path:
    """Return the Python of a peer's environment. Peers that PACKAGES does not name share the current environment."""
    if peer not in PACKAGES:
        return Path(sys.executable)
    home = PEERS / peer
    ready = home / "ready"
    packages = "\n".join(PACKAGES[peer])
    if not ready.exists() or ready.read_text(encoding="utf-8") != packages:
        print(f"creating an environment for {peer}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES[peer]], check=True)
        ready.write_text(packages, encoding="utf-8")
    return home / "bin" / "python"


def environment_variables(tree: Path | None) -> dict[str, str]:
    """Return the environment variables of a peer's process.

    `tree` is the folder that contains its chuk_sessions; None selects the installed package. The programs of the peers
    must then come from a folder that contains nothing else: a link to this package in an empty folder.
    """
    programs = PEERS / "alone"
    programs.mkdir(parents=True, exist_ok=True)
    link = programs / BENCHMARKS.name
    if not link.is_symlink():
        link.symlink_to(BENCHMARKS)
    paths = [str(programs), str(tree)] if tree else [str(programs)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSION_", "REDIS_", "CHUK_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"}
