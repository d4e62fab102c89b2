"""`import`: sessions from a file that `export` has written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ...migration import FileSource, Migration, Target
from ..app import command
from ..context import Context
from ..migrating import exit_code, run_phase


@command("import")
async def import_(
    context: Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `export` has written.", exists=True)],
    yes: Annotated[bool, typer.Option("--yes", help="Import. Without this, only compare.")] = False,
) -> int:
    """Write the sessions of a file to the store, with their ids and times. With --sandbox, all go to that sandbox.

    Sessions that have ended since an earlier import stay ended. Without --yes, nothing is changed.
    """
    encryption = context.encryption()
    target = Target(context.factory(), sandbox_id=context.sandbox, encryption=encryption)
    new = partial(Migration, FileSource(file, encryption), target)
    if yes:
        return exit_code(await run_phase(context, "import", new, Migration.copy))
    report = await run_phase(context, "compare", new, Migration.compare)
    context.say("dry run: nothing was changed; --yes imports")
    return exit_code(report, dry_run=True)
