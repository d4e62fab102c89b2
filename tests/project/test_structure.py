"""The layout: scripts, twins, operations and tests belong together, imports follow a table, and modules stay small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from binascii import crc_hqx
from collections import Counter
from pathlib import Path

import pytest

import chuk_sessions
from chuk_sessions import exceptions
from chuk_sessions.backends.memory.twins import TWINS
from chuk_sessions.backends.redis import scripts
from chuk_sessions.core import keys, operations, statuses
from tests.project import sync_code
from tests.project.error_tree import defined_tree, drawn_tree

ROOT = Path(chuk_sessions.__file__).parent
LUA = scripts.folder()
TESTS = Path(__file__).parents[1]
TOP = TESTS.parent


def named(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def test_every_operation_has_script_twin_entry_and_contract_test():
    names = set(operations.ALL)
    assert {path.stem for path in LUA.glob("*.lua")} == set(operations.SCRIPTED)
    assert set(TWINS) == names
    twins = {path.stem for path in (ROOT / "backends/memory/twins").glob("*.py")}
    assert twins - {"__init__", "include", "include_grants", "include_owners"} == names
    # A large operation has further modules, such as `test_allocate_modes`.
    tested = {path.stem.removeprefix("test_") for path in (TESTS / "contract").glob("test_*.py")}
    assert names <= tested
    assert [more for more in tested - names if not any(more.startswith(f"{name}_") for name in names)] == []


def test_only_reads_on_one_key_are_plain_commands():
    plain = [entry for entry in operations.ALL.values() if entry.command]
    assert plain
    assert all(entry.read_only and entry.retryable and len(entry.keys) == 1 for entry in plain)


def test_every_include_is_used_and_says_what_it_does():
    used = set(
        re.findall(r'^--- @(?:include|paste) "(\w+)"', "".join(path.read_text() for path in LUA.rglob("*.lua")), re.M)
    )
    assert {path.stem for path in (LUA / "include").glob("*.lua")} == used
    for path in (LUA / "include").glob("*.lua"):
        assert re.search(r"^-- [A-Z]", path.read_text(), re.M), path


class Header:
    """The KEYS and ARGV that a script's header declares, and those that its code uses."""

    def __init__(self, name: str) -> None:
        text = (LUA / f"{name}.lua").read_text()
        self.header = "".join(line + "\n" for line in text.splitlines() if line.startswith("--"))
        self.code = "".join(line + "\n" for line in text.splitlines() if not line.startswith("--"))

    def declared(self, table: str) -> list[tuple[int, bool, str]]:
        found = re.findall(rf"^-- {table}\[(\d+)(\.\.)?\] (\w+): \S", self.header, re.M)
        return [(int(number), bool(more), name) for number, more, name in found]

    def used(self, table: str) -> set[int]:
        return {int(number) for number in re.findall(rf"\b{table}\[(\d+)[\] ]", self.code)}


@pytest.mark.parametrize("name", operations.SCRIPTED)
@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_headers_declare_what_scripts_use(name, table):
    header = Header(name)
    declared = header.declared(table)
    assert [number for number, _, _ in declared] == list(range(1, len(declared) + 1))
    fixed = {number for number, more, _ in declared if not more}
    open_ended = [number for number, more, _ in declared if more]
    assert header.used(table) - set(open_ended) == fixed
    assert open_ended in ([], [len(declared)])
    for number in open_ended:
        # A loop over the open end begins at its first element, or adds an offset to the one before it.
        assert re.search(rf"\b{number}\b|\[{number - 1} \+", header.code), f"{table}[{number}..] is not used"
    entry = operations.ALL[name]
    assert [word for _, _, word in declared] == list(entry.keys if table == "KEYS" else entry.args)


@pytest.mark.parametrize("name", operations.SCRIPTED)
def test_replies_have_the_statuses_of_the_entry(name):
    header = Header(name)
    declared = set(re.findall(r"\b[A-Z_]{2,}\b", "".join(re.findall(r"^-- Reply: .*", header.header, re.M))))
    expected = {statuses.NAMES[status] for status in operations.ALL[name].statuses} - {"CORRUPT"}
    assert declared == expected


@pytest.mark.parametrize("name", operations.SCRIPTED)
def test_scripts_are_sent_with_numbers_for_statuses_and_without_comments(name):
    sent = scripts.scripts()[name].text.decode()
    assert "--" not in sent
    assert set(re.findall(r"\b[A-Z_]{2,}\b", re.sub(r"'[^']*'", "", sent))) <= {"KEYS", "ARGV"}


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=named)
def test_scripts_write_expiries_with_the_mark_of_sessions_that_emit_events(path):
    text = path.read_text()
    deadlines = {f"KEYS[{number}]" for number in re.findall(r"^-- KEYS\[(\d+)\] deadlines:", text, re.M)} | {
        "deadlines"
    }
    written = re.findall(r"redis\.p?call\('ZADD', ([\w\[\]]+), (.+)\)$", text, re.M)
    scores = [score for key, score in written if key in deadlines]
    assert [score for score in scores if not score.startswith(("index_score(", "score, "))] == []
    assert re.findall(r"(?<!function )\bmove_deadline\((?!.*\bemits\)).*", text) == []


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=named)
def test_scripts_decode_nothing_and_build_no_key(path):
    code = "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("--"))
    assert not re.search(r"cjson|cmsgpack|redis\.setresp|'(KEYS|SCAN|RANDOMKEY)'|#!", code)
    assert "chuk1" not in code


def test_only_one_include_reads_the_clock():
    assert [path.stem for path in LUA.rglob("*.lua") if "'TIME'" in path.read_text()] == ["now"]


TYPES = {"models", "enums", "exceptions"}
PUBLIC = "public"
"""The row of names that are imported from the package itself. Everything public is."""
MAY_IMPORT = {
    # One row for each folder, and for a module with a rule of its own: what it may import besides TYPES and itself.
    # A module belongs to the longest row that fits. docs/architecture.md gives the reasons.
    "models": "",
    "enums": "",
    "exceptions": "",
    "settings": "",
    "core": "",
    "backends.base": "core",
    "backends": "core backends.base backends.memory",  # a custom provider runs the emulator's twins
    "backends.memory": "core backends.base",
    "backends.redis.net": "core backends.redis.options",
    "backends.redis.options": "backends.redis.net",  # options carry the log that connections write
    "backends.redis.url": "backends.redis.options",
    "backends.redis.topology": "core backends.redis.url backends.redis.options backends.redis.net",
    "backends.redis": (
        "core backends.base backends.redis.url backends.redis.options backends.redis.net backends.redis.topology"
    ),
    "engine": "core backends.base",
    "clouds": "",
    "providers": "core settings backends.base backends.memory backends.redis backends.redis.options",
    "provider_factory": "core settings",
    "api": "provider_factory",
    "asgi_messages": "",
    "capabilities": "settings",
    "session_manager": "core capabilities settings engine backends backends.base provider_factory",
    "encryption": "core engine backends.base settings provider_factory",
    "cache": "core engine",
    "federation": "asgi_messages core engine backends.base public",
    "devices": "asgi_messages public integrations",
    "telemetry": "core",
    "doctor": "core capabilities backends backends.base backends.memory public providers provider_factory",
    "cli": "public capabilities settings encryption events migration providers doctor",
    "__main__": "cli",
    "integrations": "asgi_messages public settings sync providers",
    "sync": "session_manager",
    "migration": "core engine settings backends backends.base providers",
    "events": "asgi_messages core engine capabilities settings backends backends.base public sync providers",
}


def imported(path: Path) -> set[str]:
    """Return the modules and names that a module imports, dotted and without the name of the package."""
    package = ("chuk_sessions", *path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            found |= {".".join((*module, alias.name)[1:]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.startswith("chuk_sessions") for name in names), f"{path}: absolute import"
    return found


def row_of(module: str) -> str:
    """Return the row of MAY_IMPORT that a module or public name belongs to."""
    if module in chuk_sessions.__all__:
        return PUBLIC
    rows = [name for name in MAY_IMPORT if f"{module}.".startswith(f"{name}.")]
    assert rows, f"{module} belongs to no row"
    return max(rows, key=len)


@pytest.mark.parametrize(
    "path", [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"], ids=named
)
def test_imports_follow_the_table(path):
    own = row_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    assert {row_of(name) for name in imported(path)} <= {own, *TYPES, *MAY_IMPORT[own].split()}


def test_only_the_value_codec_encodes_and_decodes():
    """Encryption would miss values that some other module encodes."""
    # The items of an append are JSON text with every codec, because the script adds them to a text.
    found = r"\bcodec\.(?!encode_items\b)(encode|decode)|\bids\.user_bytes\b"
    users = {named(path) for path in ROOT.rglob("*.py") if re.search(found, path.read_text())}
    assert users == {"chuk_sessions/core/values.py"}


def test_every_row_of_the_table_names_a_folder_or_module():
    found = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ROOT.rglob("*")}
    assert set(MAY_IMPORT) <= found
    assert {name for names in MAY_IMPORT.values() for name in names.split()} <= {PUBLIC, *MAY_IMPORT}


def test_no_two_test_modules_share_a_name():
    counted = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, times in counted.items() if times > 1] == []


def test_tools_are_configured_with_paths_that_exist():
    """A path that has gone stale selects nothing, and no other test would notice."""
    tools = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]
    mutants = tools["mutmut"]
    once = re.search(r'^once="([^"]+)"', (TESTS / "every_python.sh").read_text(), re.M)
    assert once is not None
    paths = [
        *mutants["source_paths"], *mutants["only_mutate"], *mutants["also_copy"],
        *mutants["pytest_add_cli_args_test_selection"], *tools["mypy"]["files"], *once[1].split(),
    ]  # fmt: skip
    assert [path for path in paths if not list(TOP.glob(path))] == []


def test_importing_needs_neither_redis_nor_a_framework():
    others = ("redis", "hiredis", "pydantic", "starlette", "fastapi", "django", "flask", "litestar", "aiohttp")
    code = f"import sys, chuk_sessions; print([name for name in {others} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_docstring_of_the_errors_shows_their_tree():
    assert drawn_tree(exceptions.__doc__ or "") == defined_tree()


def test_hash_tags_spread_evenly_over_the_slots():
    slots = sorted(crc_hqx(keys.tag(bucket).encode(), 0) % 16384 for bucket in range(256))
    assert [slot // 64 for slot in slots] == list(range(256))


GENERATED = {sync_code.TARGET}
"""Modules of any length: nobody edits them, and type checkers and documentation want one class."""


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=named)
def test_modules_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400 or path in GENERATED
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 40, f"{path}: {node.name}"
