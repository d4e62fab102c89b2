"""`keys`: the keys of encryption, and the records under each."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ..app import command, group
from ..context import Context
from ..exits import ExitCode

group("keys", "List, create, and rotate the keys that encrypt sessions.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of the new key, such as 2026-11.")]


@command("list", group="keys")
async def list_(context: Context) -> int:
    """Count the records of the sandbox under each key, with the keys of SESSION_ENCRYPTION_KEYS.

    The exit code is 1 if records are under keys that are not available.
    """
    encryption = _encryption()
    configured = encryption.from_env()
    counts = await encryption.count_keys(context.factory(), context.sandbox_id(), configured)
    rows = [
        {
            "key": key_id,
            "records": counts[key_id],
            "primary": key_id == configured.primary,
            "available": key_id in configured.key_ids or key_id == "plain",
        }
        for key_id in dict.fromkeys([*configured.key_ids, *sorted(counts)])
    ]
    context.output.rows(("key", "records", "primary", "available"), rows)
    return ExitCode.SUCCESS if all(row["available"] for row in rows) else ExitCode.FINDINGS


@command("generate", group="keys")
def generate(context: Context, key_id: KeyId) -> None:
    """Print the text of a new keyset for SESSION_ENCRYPTION_KEYS. It is secret."""
    keyset = import_module("....encryption.keyset", __name__)
    text = keyset.text_of({keyset.check_id(key_id): keyset.generate_key(), keyset.INDEX: keyset.generate_key()})
    context.output.line(text, {"keys": text})


@command("rotate", group="keys")
def rotate(context: Context, key_id: KeyId) -> None:
    """Print the keysets of each step of a key rotation, in the order in which to deploy them. They are secret."""
    keyset = import_module("....encryption.keyset", __name__)
    current = import_module("....encryption.configuration", __name__).keys_text_from_env()
    for comment, text in keyset.rotation(current, key_id):
        if not context.output.json:
            context.output.line(f"# {comment}", {})
        context.output.line(text, {"step": comment, "keys": text})


@command("reencrypt", group="keys")
async def reencrypt(
    context: Context,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the progress here; a repeated command resumes there.")
    ] = None,
) -> int:
    """Bring all records of the sandbox under the primary key, or decrypt them if there is none.

    Sessions can be used meanwhile. The exit code is 1 if records are under keys that are not available.
    """
    encryption, sandbox = _encryption(), context.sandbox_id()
    files = import_module("....encryption.state", __name__)
    configured = encryption.from_env()
    job = f"{sandbox} {configured.primary}"
    latest: Any = encryption.Progress(0 if state is None else files.load(state, job))
    context.so_far = lambda: f"{latest.bucket} of 256 buckets are complete, {latest.rewritten} records were rewritten"
    with context.progress("buckets", 256) as progress:

        def report(reached: Any) -> None:
            nonlocal latest
            progress.advance(reached.bucket - latest.bucket)
            latest = reached
            if state is not None:
                files.save(state, job, reached.bucket)

        latest = await encryption.reencrypt(
            context.factory(), sandbox, configured, start=latest.bucket, on_progress=report
        )
    if state is not None:
        state.unlink(missing_ok=True)
    figures = {name: getattr(latest, name) for name in ("rewritten", "unavailable", "damaged")}
    context.output.line(", ".join(f"{number} {name}" for name, number in figures.items()), figures)
    return ExitCode.SUCCESS if latest.is_complete else ExitCode.FINDINGS


def _encryption() -> Any:
    # Encryption needs the package cryptography, which other commands do without.
    return import_module("....encryption", __name__)
