"""An environment for each peer under `.peers/`, made when it is first asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
PEERS = HERE / ".peers"
PUBLISHED = "0.6.3"
OLDEST = "0.1.1"

_REDIS = ("redis>=8.1,<9", "hiredis>=3.2,<4", "uvloop>=0.22; sys_platform != 'win32'")
PACKAGES = {
    f"chuk-sessions-{PUBLISHED}": (f"chuk-sessions=={PUBLISHED}", *_REDIS),
    f"chuk-sessions-{OLDEST}": (f"chuk-sessions=={OLDEST}", *_REDIS),
    "redis-py": _REDIS,
    "coredis": ("coredis>=6.9,<7", _REDIS[-1]),
    "valkey-glide": ("valkey-glide>=2.5,<3", _REDIS[-1]),
    "starsessions": ("starsessions>=2.2,<3", *_REDIS),
}


def python(peer: str) -> Path:
    """The Python of a peer's environment. What `PACKAGES` does not name runs in this one."""
    if peer not in PACKAGES:
        return Path(sys.executable)
    home = PEERS / peer
    ready = home / "ready"
    wanted = "\n".join(PACKAGES[peer])
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        print(f"making an environment for {peer}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        words = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*words, *PACKAGES[peer]], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return home / "bin" / "python"


def variables(tree: Path | None) -> dict[str, str]:
    """The environment variables of a peer's process. `tree` is where its chuk_sessions lies; None takes the installed
    one, so that the programs must be found in a folder that has nothing else.
    """
    alone = PEERS / "alone"
    alone.mkdir(parents=True, exist_ok=True)
    link = alone / HERE.name
    if not link.is_symlink():
        link.symlink_to(HERE)
    paths = [str(alone), str(tree)] if tree else [str(alone)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSION_", "REDIS_", "CHUK_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"}
