"""One twin per script, with the same steps. `include` has the steps that several scripts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from ....core.operation import Reply
from ....core.operations import ALL
from ..keyspace import Keyspace

Twin = Callable[[Keyspace, Sequence[str], Sequence[Any]], Reply]
"""A function of KEYS and ARGV as `core.operations` builds them: each ARGV element is bytes or int."""

TWINS: dict[str, Twin] = {name: cast(Twin, import_module(f"{__name__}.{name}").run) for name in ALL}
