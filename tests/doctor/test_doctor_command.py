"""The command `doctor`: its sections, JSON, and exit codes."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from chuk_sessions import cli
from chuk_sessions.cli.exits import ExitCode
from chuk_sessions.doctor.checks import NAMES
from chuk_sessions.doctor.examination import NO_FILE
from tests.doctor.tools import manager_on, setting, user
from tests.harness import children
from tests.harness.contract_run import ROOT
from tests.harness.farms import wait_for
from tests.harness.ports import free_port
from tests.harness.servers import Server
from tests.project.test_docs import table
from tests.redis.test_rights import recipe

PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("CHUK_SANDBOX_ID", "CHUK_HOST_SANDBOX_ID", "SESSION_PROVIDER"):
        monkeypatch.delenv(name, raising=False)


def process(*words: str, **variables: str):
    return children.python("import sys; from chuk_sessions.cli import main; sys.exit(main())", *words, **variables)


def test_a_healthy_server_exits_with_0(patient: Server, capsys):
    assert cli.main(["doctor", "--url", patient.url]) == ExitCode.SUCCESS
    printed = capsys.readouterr()
    *_, fine, summary = printed.out.splitlines()
    assert "eviction, memory, encoding, persistence" in fine
    assert summary.startswith("0 problems, 0 warnings, 0 unknown")
    assert printed.err == ""


def test_an_operator_reads_what_eviction_does(patient: Server, capsys):
    with patient.client() as client, setting(client, maxmemory_policy="allkeys-lru"):
        assert cli.main(["doctor", "--url", patient.url]) == ExitCode.FINDINGS
    text = capsys.readouterr().out
    assert text.startswith(
        f"PROBLEM eviction on 127.0.0.1:{patient.port}\n  maxmemory-policy is allkeys-lru. When memory"
    )
    flat = " ".join(text.split())
    assert "a user who signs out everywhere stays signed in. 0 % of maxmemory is in use" in flat
    assert "What to do: On this server and on all of its replicas, run `CONFIG SET maxmemory-policy noeviction`" in flat
    assert "1 problem, 0 warnings, 0 unknown" in flat
    assert max(map(len, text.splitlines()[:-2])) <= 100


def test_json_has_one_finding_per_line(patient: Server, capsys):
    with patient.client() as client, setting(client, appendfsync="no"):
        assert cli.main(["--json", "doctor", "--url", patient.url]) == ExitCode.FINDINGS
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(each) == {"check", "level", "server", "found", "advice"} for each in found)
    assert [each["check"] for each in found if each["level"] != "ok"] == ["persistence"]
    assert {each["check"] for each in found} == set(NAMES) - {"cluster", "sentinel"}


def test_checks_can_be_ignored(patient: Server, capsys):
    with patient.client() as client, setting(client, maxmemory_policy="allkeys-lru", timeout=5):
        words = ["doctor", "--url", patient.url, "--ignore", "timeouts"]
        assert cli.main(words) == ExitCode.FINDINGS
        assert cli.main([*words, "--ignore", "eviction"]) == ExitCode.SUCCESS
    assert "timeouts" not in capsys.readouterr().out
    assert cli.main([*words, "--ignore", "evictions"]) == ExitCode.USAGE
    assert "there is no check 'evictions'; the checks are store, servers" in capsys.readouterr().err


def test_what_is_unknown_does_not_change_the_exit_code(patient: Server, capsys):
    with patient.client() as client, user(client, *recipe().split()) as login:
        assert cli.main(["doctor", "--url", f"redis://{login}127.0.0.1:{patient.port}"]) == ExitCode.SUCCESS
    assert "UNKNOWN persistence" in capsys.readouterr().out


async def test_options_choose_what_is_examined(patient: Server, capsys):
    async with manager_on(patient) as manager:
        for _ in range(30):
            await manager.allocate_session()
    words = ["doctor", "--url", patient.url]
    scopes = {("--all", "--read-only"): "all 30 records", ("--sandbox", "other"): "sample of 0 records"}
    for options, scope in scopes.items():
        assert await asyncio.to_thread(cli.main, [*words, "--json", *options]) == ExitCode.SUCCESS
        assert scope in capsys.readouterr().out
    await asyncio.to_thread(cli.main, [*words, "--verbose"])
    assert capsys.readouterr().out.startswith("OK store\n  redis://127.0.0.1")


def test_processes_exit_with_the_documented_codes(patient: Server):
    nowhere = f"redis://127.0.0.1:{free_port()}"
    with ThreadPoolExecutor() as threads:
        unreachable = threads.submit(process, "doctor", "--url", nowhere, SESSION_REDIS_CALL_TIMEOUT="0.5")
        healthy = threads.submit(process, "doctor", "--url", patient.url, "--json")
    down = unreachable.result()
    assert (down.returncode, down.stdout) == (ExitCode.UNAVAILABLE, "")
    assert nowhere in down.stderr
    assert healthy.result().returncode == ExitCode.SUCCESS


def test_the_emulator_exits_with_1(capsys):
    assert cli.main(["doctor", "--url", "memory://"]) == ExitCode.FINDINGS
    assert "SESSION_PROVIDER=redis" in " ".join(capsys.readouterr().out.split())


def test_usage_errors_exit_with_2(patient: Server, capsys, monkeypatch):
    assert cli.main(["doctor", "--url", patient.url, "--sample", "0"]) == ExitCode.USAGE
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", "not a key")
    assert cli.main(["doctor", "--url", patient.url]) == ExitCode.USAGE
    assert capsys.readouterr().out == ""


def test_the_page_shows_what_the_command_prints_about_eviction(patient: Server, capsys):
    """Except figures, the address, and the note about a server without a configuration file, it has the very text."""
    with patient.client() as client:
        client.mset({f"foreign:{number}": "x" * 1000 for number in range(200)})
        with setting(client, maxmemory_policy="allkeys-lru", maxmemory=1_000_000):
            wait_for(lambda: client.info("stats")["evicted_keys"] > 0, "evicted keys")
            cli.main(["doctor", "--url", patient.url, "--read-only"])
        client.config_resetstat()
    printed = " ".join(capsys.readouterr().out.split("\n\n")[0].split()).replace(f" {NO_FILE}", "")
    [shown] = re.findall(r"^```text\n(PROBLEM eviction.*?)^```", PAGE, re.M | re.S)
    assert without_figures(printed) == without_figures(shown)


def without_figures(text: str) -> str:
    text = " ".join(text.split()).replace("127.0.0.1", "redis.example")
    return re.sub(r"\d[\d.,]*( [KMG]iB| \w+ ago)?|:\d+", "N", text)


def test_names_of_settings_keep_their_case_and_terminals_may_be_narrow(patient: Server, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1")
    with patient.client() as client, setting(client, appendfsync="no", maxmemory=0):
        assert cli.main(["doctor", "--url", patient.url]) == ExitCode.FINDINGS
    printed = capsys.readouterr().out
    assert "\n  maxmemory is 0:" in printed
    assert "\n  appendfsync is no:" in printed


def test_the_page_has_a_row_for_each_check():
    rows = table("docs/doctor.md", "Checks")
    assert [row[0].strip("`") for row in rows] == list(NAMES)
    assert all(row[1].endswith(".") and row[2].endswith(".") for row in rows)


def test_the_rights_in_the_page_show_everything(patient: Server, capsys):
    [rules] = re.findall(r"ACL SETUSER doctor on >PASSWORD (.*)", PAGE)
    with patient.client() as client, user(client, *rules.split()) as login:
        assert cli.main(["doctor", "--url", f"redis://{login}127.0.0.1:{patient.port}"]) == ExitCode.SUCCESS
    assert "0 unknown" in capsys.readouterr().out
