"""Commands for keys and records: `python -m chuk_sessions.encryption --help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from .. import settings
from ..core import ids, validation
from ..exceptions import SessionError
from ..provider_factory import factory_for_env
from . import keyset, state
from .configuration import Encryption, from_env, keys_text_from_env
from .reencryption import Progress, count_keys, reencrypt

_ENV = """The store and keys are those of the environment: SESSION_PROVIDER, SESSION_REDIS_URL, and
SESSION_ENCRYPTION_KEYS or SESSION_ENCRYPTION_KEYS_FILE. docs/encryption.md has the procedures."""


def _print(text: str, file: TextIO | None = None) -> None:
    (file or sys.stdout).write(f"{text}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0; 1 if records remain under keys that are not available; or 2 after an error."""
    options = _parser().parse_args(arguments)
    try:
        result: int = options.run(options)
    except (SessionError, ValueError, OSError) as error:
        _print(f"error: {error}", file=sys.stderr)
        return 2
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chuk_sessions.encryption", description=_ENV)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    generate = commands.add_parser("generate", help="print a keyset with a new key and a key of the index")
    rotate = commands.add_parser("rotate", help="print the keysets of each step of a key rotation")
    for command in (generate, rotate):
        command.add_argument("id", help="id of the new key, such as 2026-11")
    generate.set_defaults(run=_generate)
    rotate.set_defaults(run=_rotate)
    listing = commands.add_parser("list", help="list the keys, with the number of records under each")
    rewriting = commands.add_parser("reencrypt", help="bring all records under the primary key; decrypt without one")
    for command in (listing, rewriting):
        command.add_argument("--sandbox", default=None, help="name of the sandbox; by default CHUK_SANDBOX_ID")
    listing.set_defaults(run=_list)
    rewriting.add_argument("--state", type=Path, help="file for the progress; a repeated command resumes there")
    rewriting.set_defaults(run=_reencrypt)
    return parser


def _generate(options: argparse.Namespace) -> int:
    _print(keyset.text_of({options.id: keyset.generate_key(), keyset.INDEX: keyset.generate_key()}))
    return 0


def _rotate(options: argparse.Namespace) -> int:
    """Print the texts for SESSION_ENCRYPTION_KEYS, in the order in which they must be deployed."""
    for comment, text in keyset.rotation(keys_text_from_env(), options.id):
        _print(f"# {comment}\n{text}")
    return 0


def _list(options: argparse.Namespace) -> int:
    encryption, sandbox = from_env(), _sandbox(options)
    counts = asyncio.run(count_keys(factory_for_env(), sandbox, encryption))
    for key_id in dict.fromkeys([*encryption.key_ids, *sorted(counts)]):
        role = "primary" if key_id == encryption.primary else ""
        _print(f"{key_id:24}{counts[key_id]:>12}  {role}".rstrip())
    return 0


def _reencrypt(options: argparse.Namespace) -> int:
    encryption, sandbox = from_env(), _sandbox(options)
    progress = asyncio.run(_run(sandbox, encryption, options.state))
    if options.state is not None:
        options.state.unlink(missing_ok=True)
    _print(
        f"{progress.rewritten} records rewritten, {progress.unavailable} under unavailable keys, "
        f"{progress.damaged} damaged"
    )
    return 0 if progress.is_complete else 1


async def _run(sandbox: str, encryption: Encryption, path: Path | None) -> Progress:
    job = f"{sandbox} {encryption.primary}"

    def report(progress: Progress) -> None:
        if path is not None:
            state.save(path, job, progress.bucket)
        _print(f"{progress.bucket}/{ids.BUCKETS} buckets, {progress.rewritten} rewritten", file=sys.stderr)

    start = 0 if path is None else state.load(path, job)
    return await reencrypt(factory_for_env(), sandbox, encryption, start=start, on_progress=report)


def _sandbox(options: argparse.Namespace) -> str:
    name = options.sandbox or settings.from_env().sandbox_id
    if name is None:
        raise ValueError("name a sandbox with --sandbox or CHUK_SANDBOX_ID")
    return ids.check_name(name, "sandbox", validation.MAX_SANDBOX_LENGTH)


if __name__ == "__main__":
    sys.exit(main())
