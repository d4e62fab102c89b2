"""docs/upgrading.md: each step of the runbook is executed, with the commands and variables of the page."""

from __future__ import annotations

import os
import re
import shlex
from asyncio import to_thread
from pathlib import Path

from chuk_sessions import SessionManager, cli
from chuk_sessions.providers import redis
from tests.harness.published import old_process

PAGE = (Path(__file__).parents[2] / "docs/upgrading.md").read_text(encoding="utf-8")
URL = "redis://localhost:6379/0"


def commands(heading):
    """Return the shell commands in a section, in order, each as a list of words."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    text = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.S)).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line]


def run(words, url, tmp_path):
    """Run a command of the page, on another URL and with a state file in another folder."""
    assert words[0] == "chuk-sessions"
    other = url.removesuffix("/0") + "/1"
    replaced = {URL: url, URL.removesuffix("/0") + "/1": other, "migration.json": str(tmp_path / "migration.json")}
    return cli.main([replaced.get(word, word) for word in words[1:]])


async def in_thread(*arguments):
    """Run a command in another thread, because it has an event loop of its own."""
    return await to_thread(run, *arguments)


async def test_each_step_of_the_runbook(server, tmp_path, monkeypatch, capsys):
    check, first, second, third, copy, remove = commands("Move the sessions")
    with old_process(server.url) as old:
        used, deleted, unused, gone = old.call("many", 4)
        assert old.call("delete_session", gone)
        # 1. Check the sessions.
        assert await in_thread(check, server.url, tmp_path) == 0
        assert "3 missing" in capsys.readouterr().out
        # 3. Start new processes that read through.
        for assignment in (*first[1:], *second[1:], *third[1:]):
            name, _, value = assignment.partition("=")
            monkeypatch.setenv(name, server.url if value == URL else value)
        manager = SessionManager()
        assert manager.sandbox_id == "web"
        assert await manager.validate_session(used)
        assert await manager.delete_session(deleted)
        assert old.call("validate_session", deleted), "from its cache; this writes the session back"
        assert not await manager.validate_session(deleted)
        # 4. Stop the old processes.
    # 5. Copy the rest.
    assert await in_thread(copy, server.url, tmp_path) == 0
    assert "2 equal" in capsys.readouterr().out
    # 6. Restart the new processes without SESSION_MIGRATE_FROM.
    monkeypatch.delenv("SESSION_MIGRATE_FROM")
    manager = SessionManager()
    alive = [await manager.validate_session(each) for each in (used, unused, deleted, gone)]
    assert alive == [True, True, False, False]
    # 7. Remove the old sessions.
    assert await in_thread(remove, server.url, tmp_path) == 0
    with server.client() as client:
        assert not list(client.scan_iter("session:*"))
    assert await manager.count_sessions() == 2
    # Move sessions between stores.
    (move,) = commands("Move sessions between stores")
    with server.client() as client:
        client.execute_command("SELECT", 1)
    assert await in_thread(move, server.url, tmp_path) == 0
    assert "2 equal" in capsys.readouterr().out
    monkeypatch.setenv("SESSION_REDIS_URL", server.url.removesuffix("/0") + "/1")
    assert await SessionManager().validate_session(used)
    assert os.environ["CHUK_SANDBOX_ID"] == "web"


async def test_export_and_import(server, tmp_path, capsys):

    manager = SessionManager("web", redis.factory(server.url))
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"cart": ["\u00e9"]})
    before = await manager.get_session_info(session_id)
    options = ["--url", server.url, "--sandbox"]
    assert await to_thread(cli.main, ["export", *options, "web"]) == 0
    path = tmp_path / "export.jsonl"
    path.write_text(capsys.readouterr().out)
    assert session_id not in path.read_text()
    assert await to_thread(cli.main, ["import", str(path), *options, "copy"]) == 0
    assert "1 missing" in capsys.readouterr().out
    copy = SessionManager("copy", redis.factory(server.url))
    assert await copy.count_sessions() == 0
    assert await to_thread(cli.main, ["import", str(path), *options, "copy", "--yes"]) == 0
    assert await copy.get_session_info(session_id) == {**before, "sandbox_id": "copy"}
    path.write_text("garbage")
    assert await to_thread(cli.main, ["import", str(path), *options, "copy", "--yes"]) == 1


def test_usage_errors(tmp_path, capsys):
    same = ["migrate", "--from", "memory://", "--to", "memory://", "--sandbox", "web", "--yes"]
    assert cli.main(same) == 2
    assert "--to-sandbox" in capsys.readouterr().err
    assert cli.main([*same, "--to-sandbox", "a/b"]) == 2
    state = tmp_path / "state"
    state.write_text("{")
    assert cli.main([*same, "--to-sandbox", "other", "--state", str(state)]) == 2
