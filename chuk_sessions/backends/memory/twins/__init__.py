"""One twin for each script, in the same steps; `include` has those that the scripts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from ....core.operation import Reply
from ....core.operations import ALL
from ..keyspace import Keyspace

Twin = Callable[[Keyspace, Sequence[str], Sequence[Any]], Reply]
"""Takes KEYS and ARGV as `operations` builds them: there each element of ARGV has its type, bytes or int."""

TWINS: dict[str, Twin] = {name: cast(Twin, import_module(f"{__name__}.{name}").run) for name in ALL}
