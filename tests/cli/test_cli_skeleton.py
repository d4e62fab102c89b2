"""The skeleton of the command line: options, output, exit codes, and the way a command ends."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from importlib import import_module

import pytest

from chuk_sessions import OutcomeUnknownError, ProviderError, RevocationIncompleteError, SessionUnavailableError, cli
from chuk_sessions.cli.app import load_commands
from chuk_sessions.cli.context import Context
from chuk_sessions.cli.exits import ExitCode, UsageError, code_for
from chuk_sessions.cli.output import visible
from chuk_sessions.cli.progress import Progress, duration
from chuk_sessions.cli.running import run_command
from tests.harness import children

MISSING = "there is no such session in the sandbox cli\n"
MEMORY = ("--url", "memory://", "--sandbox", "cli")


@pytest.mark.parametrize("words", [(*MEMORY, "--json", "count"), ("count", *MEMORY, "--json")])
def test_global_options_are_accepted_before_and_after_the_command(words, capsys):
    assert cli.main(words) == ExitCode.SUCCESS
    assert json.loads(capsys.readouterr().out) == {"sandbox": "cli", "user": None, "sessions": 0}


def test_the_environment_names_sandbox_and_store(capsys, monkeypatch):
    monkeypatch.setenv("CHUK_SANDBOX_ID", "from-env")
    monkeypatch.setenv("SESSION_PROVIDER", "memory")
    assert cli.main(["count", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sandbox"] == "from-env"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["count", "--url", "memory://"], "--sandbox or CHUK_SANDBOX_ID"),
        ([*MEMORY, "count", "--bad"], "No such option"),
        ([*MEMORY, "cuont"], "No such command"),
        ([*MEMORY, "cuont"], "Did you mean 'count'?"),
        ([*MEMORY, "keys", "sess-s3cret"], "No such command"),
        ([*MEMORY, "sess-s3cret"], "No such command"),
        (["redis://:s3cret@host", "count"], "No such command"),
        ([*MEMORY, "revoke", "sess-s3cret", "--yes"], "Got 1 unexpected argument"),
        ([*MEMORY, "show", "sess-1", "sess-s3cret", "s3cret"], "Got 2 unexpected arguments"),
        ([*MEMORY, "count", "--url"], "requires an argument"),
        (["count", "--url", "foo://:s3cret@host", "--sandbox", "cli"], "it must begin with redis://"),
        (["count", "--url", "memory://", "--sandbox", "a/b"], "sandbox_id must be"),
    ],
)
def test_usage_errors_have_their_exit_code_and_a_message(words, message, capsys):
    assert cli.main(words) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert message in printed.err
    assert "s3cret" not in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_stream_does_not_matter(stream, capsys, monkeypatch):
    monkeypatch.setattr(sys, stream, None)
    assert cli.main([*MEMORY, "show", "a"]) == ExitCode.FINDINGS
    assert cli.main([*MEMORY, "count"]) == ExitCode.SUCCESS
    getattr(sys, stream).close()
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (("", MISSING) if stream == "stdout" else ("0\n", ""))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@host/1", "redis://host/1"),
        ("redis://host/0?db=2&password=s3cret", "redis://host/0?db=2"),
        ("redis://a,b/name?sentinel_password=s3cret", "redis://a,b/name"),
    ],
)
def test_checkpoints_of_a_migration_have_no_passwords(url, shown):
    load_commands()
    assert import_module("chuk_sessions.cli.commands.migrate")._redacted(url) == shown


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['typer'] = None; from chuk_sessions.cli import main; sys.exit(main(['count']))"
    done = children.python(code)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "pip install 'chuk-sessions[cli,redis]'" in done.stderr


def test_errors_have_exit_codes():
    missing = ProviderError("needs more packages")
    missing.__cause__ = ImportError("redis")
    assert code_for(SessionUnavailableError("x")) == code_for(OutcomeUnknownError("x")) == ExitCode.UNAVAILABLE
    assert code_for(RevocationIncompleteError("x", 1, (2,))) == ExitCode.FINDINGS
    assert code_for(UsageError("x")) == code_for(ValueError("x")) == code_for(missing) == ExitCode.USAGE
    assert code_for(RuntimeError("x")) is None


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted; 3 of 10 were moved\n"),
        (SessionUnavailableError("gone"), ExitCode.UNAVAILABLE, "error: gone; 3 of 10 were moved\n"),
    ],
)
def test_a_command_that_ends_early_says_what_was_done_so_far(error, code, message, capsys):
    async def work(context):
        context.so_far = lambda: "3 of 10 were moved"
        raise error

    assert run_command(Context(), work, {}) == code
    assert capsys.readouterr() == ("", message)


def test_a_defect_is_not_hidden():
    def work(context):
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        run_command(Context(), work, {})


def test_control_characters_cannot_reach_a_terminal(capsys):
    hostile = "\x1b]0;title\x07[red]\x9b31m\nä"
    assert visible(hostile) == "\\x1b]0;title\\x07[red]\\x9b31m\\nä"
    Context().output.rows(["user_id"], [{"user_id": hostile}])
    Context(as_json=True).output.rows(["user_id"], [{"user_id": hostile}])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x9b" not in printed
    assert "[red]" in printed
    assert json.loads(printed.splitlines()[-1]) == {"user_id": hostile}


def test_tables_off_a_terminal_are_never_cut(capsys):
    Context().output.rows(["reference", "number"], [{"reference": "r" * 300, "number": 12345}])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["r" * 300, "12,345"]


def test_tables_off_a_terminal_need_little_memory(capsys):
    rows = [{"user": "\u5bb6" * 3, "number": number} for number in range(5000)]
    tracemalloc.start()
    try:
        Context().output.rows(["user", "number"], rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["user    number", "\u5bb6" * 3 + "       0"]
    assert peak / len(rows) < 2000


def test_progress_has_rate_and_time_left(capsys):
    now = 0.0
    with Progress("sessions", 1000, clock=lambda: now) as progress:
        now = 2.0
        progress.advance(100)
        assert progress.figures() == "100 of 1,000 sessions, 50/s, 18 s left"
        now = 12.0
        progress.advance(20)
    assert capsys.readouterr() == ("", "120 of 1,000 sessions, 10/s, 1 min 28 s left\n")


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_the_module_runs_as_the_command_does_with_any_encoding():
    done = subprocess.run(
        [sys.executable, "-m", "chuk_sessions", *MEMORY, "show", "a", "--sandbox", "\u00e9"],
        cwd=children.ROOT, env=children.environment(PYTHONIOENCODING="ascii"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.startswith("error: sandbox_id must be")


def test_a_bar_is_shown_on_a_terminal_after_a_second(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    now = 0.0
    with Progress("sessions", 10, clock=lambda: now) as progress:
        progress.advance()
        assert capsys.readouterr().err == ""
        now = 1.5
        progress.advance(4)
    assert "5 of 10 sessions, 3.3/s, 2 s left" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell, capsys, monkeypatch):
    monkeypatch.setenv("_CHUK_SESSIONS_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "chuk-sessions cou")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "chuk-sessions cou")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert cli.main([]) == 0
    assert "count" in capsys.readouterr().out
