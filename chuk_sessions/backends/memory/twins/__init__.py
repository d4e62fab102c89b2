"""One twin for each script, in the same steps; `include` has those that the scripts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from ....operations import ALL
from ...base import Arg, Reply
from ..keyspace import Keyspace

Twin = Callable[[Keyspace, Sequence[str], Sequence[Arg]], Reply]

TWINS: dict[str, Twin] = {name: cast(Twin, import_module(f"{__name__}.{name}").run) for name in ALL}
