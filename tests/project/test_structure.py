"""What the layout promises: scripts, twins, operations and tests go together, and imports flow one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from binascii import crc_hqx
from pathlib import Path

import pytest

import chuk_sessions
from chuk_sessions import exceptions
from chuk_sessions.backends.memory.twins import TWINS
from chuk_sessions.backends.redis import scripts
from chuk_sessions.core import keys, operations, statuses

ROOT = Path(chuk_sessions.__file__).parent
LUA = scripts.folder()
CONTRACT = Path(__file__).parents[1] / "contract"


def test_every_operation_has_script_twin_entry_and_contract_test():
    names = set(operations.ALL)
    assert {path.stem for path in LUA.glob("*.lua")} == names
    assert set(TWINS) == names
    assert {path.stem for path in (ROOT / "backends/memory/twins").glob("*.py")} - {"__init__", "include"} == names
    assert {path.stem.removeprefix("test_") for path in CONTRACT.glob("test_*.py")} == names


def test_every_include_is_used_and_says_what_it_does():
    used = set(re.findall(r'^--- @include "(\w+)"', "".join(path.read_text() for path in LUA.rglob("*.lua")), re.M))
    assert {path.stem for path in (LUA / "include").glob("*.lua")} == used
    for path in (LUA / "include").glob("*.lua"):
        assert re.search(r"^-- [A-Z]", path.read_text(), re.M), path


class Header:
    """What a script's header declares, beside what its code uses."""

    def __init__(self, name: str) -> None:
        text = (LUA / f"{name}.lua").read_text()
        self.header = "".join(line + "\n" for line in text.splitlines() if line.startswith("--"))
        self.code = "".join(line + "\n" for line in text.splitlines() if not line.startswith("--"))

    def declared(self, table: str) -> list[tuple[int, bool, str]]:
        found = re.findall(rf"^-- {table}\[(\d+)(\.\.)?\] (\w+): \S", self.header, re.M)
        return [(int(number), bool(more), name) for number, more, name in found]

    def used(self, table: str) -> set[int]:
        return {int(number) for number in re.findall(rf"\b{table}\[(\d+)[\] ]", self.code)}


@pytest.mark.parametrize("name", operations.ALL)
@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_headers_declare_what_scripts_use(name, table):
    header = Header(name)
    declared = header.declared(table)
    assert [number for number, _, _ in declared] == list(range(1, len(declared) + 1))
    single = {number for number, more, _ in declared if not more}
    many = [number for number, more, _ in declared if more]
    assert header.used(table) - set(many) == single
    assert many in ([], [len(declared)])
    for number in many:
        # What is open at the end is walked from its first element on, or from the one before it with an offset.
        assert re.search(rf"\b{number}\b|\[{number - 1} \+", header.code), f"{table}[{number}..] is not used"
    entry = operations.ALL[name]
    assert [word for _, _, word in declared] == list(entry.keys if table == "KEYS" else entry.args)


@pytest.mark.parametrize("name", operations.ALL)
def test_replies_have_the_statuses_of_the_entry(name):
    header = Header(name)
    told = set(re.findall(r"\b[A-Z_]{2,}\b", "".join(re.findall(r"^-- Reply: .*", header.header, re.M))))
    has = {statuses.NAMES[status] for status in operations.ALL[name].statuses} - {"CORRUPT"}
    assert told == has


@pytest.mark.parametrize("name", operations.ALL)
def test_scripts_are_sent_with_numbers_for_statuses_and_without_comments(name):
    sent = scripts.scripts()[name].text.decode()
    assert "--" not in sent
    assert set(re.findall(r"\b[A-Z_]{2,}\b", re.sub(r"'[^']*'", "", sent))) <= {"KEYS", "ARGV"}


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=lambda path: path.stem)
def test_scripts_decode_nothing_and_build_no_key(path):
    code = "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("--"))
    assert not re.search(r"cjson|cmsgpack|redis\.setresp|'(KEYS|SCAN|RANDOMKEY)'|#!", code)
    assert "chuk1" not in code


def test_a_script_reads_the_clock_in_one_place_only():
    assert [path.stem for path in LUA.rglob("*.lua") if "'TIME'" in path.read_text()] == ["now"]


PUBLIC = {"models", "enums", "exceptions"}
MAY_IMPORT = {
    # One row for each folder or module: what else of the package it may import. docs/architecture.md explains them.
    "models": {"core", "enums"},
    "enums": set(),
    "exceptions": set(),
    "settings": set(),
    "core": PUBLIC,
    "backends.base": {"core", "models"},
    "backends.locks": set(),
    "backends.memory": PUBLIC | {"core", "backends.base"},
    "backends.custom": PUBLIC | {"core", "backends.base", "backends.locks", "backends.memory"},
    # Options carry the log that connections write to.
    "backends.redis.options": {"backends.redis.net"},
    "backends.redis.net": PUBLIC | {"core", "backends.redis.options"},
    "backends.redis.topology": PUBLIC | {"core", "backends.redis.options", "backends.redis.net", "backends.redis"},
    "backends.sharing": {"exceptions", "backends.base", "backends.custom"},
    "backends.redis": PUBLIC
    | {"core", "backends.base", "backends.redis.options", "backends.redis.net", "backends.redis.topology"},
    "providers": PUBLIC
    | {"core", "settings", "backends.base", "backends.memory", "backends.redis", "backends.redis.options"},
    "engine": PUBLIC | {"core", "backends.base"},
    "provider_factory": {"core", "settings"},
    "api": {"provider_factory"},
    "session_manager": PUBLIC | {"core", "engine", "settings", "backends.base", "backends.sharing", "provider_factory"},
}


def imported(path: Path) -> set[str]:
    """Modules of the package that a module imports, dotted from the package on."""
    here = ("chuk_sessions", *path.relative_to(ROOT).with_suffix("").parts)
    package = here if path.name == "__init__.py" else here[:-1]
    package = package[:-1] if path.name == "__init__.py" else package
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


def layer(module: str) -> str | None:
    return max((name for name in MAY_IMPORT if f"{module}.".startswith(f"{name}.")), key=len, default=None)


@pytest.mark.parametrize(
    "path", [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"], ids=lambda p: p.stem
)
def test_imports_flow_one_way(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if module == "backends":
        assert imported(path) == set()
        return
    own = layer(module)
    assert own is not None, f"{module} belongs to no layer"
    for name in imported(path):
        target = layer(name)
        assert target is not None, f"{module} imports {name}"
        assert target == own or target in MAY_IMPORT[own], f"{module} imports {name}"


def test_importing_needs_neither_redis_nor_a_framework():
    others = ("redis", "hiredis", "pydantic", "starlette")
    code = f"import sys, chuk_sessions; print([name for name in {others} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there_and_sorted_by_nothing_but_the_alphabet():
    assert all(hasattr(chuk_sessions, name) for name in chuk_sessions.__all__)
    needed = {
        "SessionManager", "get_session", "session", "factory_for_env", "SessionError", "ProviderError",
        "SessionMetadata", "SessionStatus", "ProviderType", "__version__",
    }  # fmt: skip
    assert needed <= set(chuk_sessions.__all__)
    assert set(exceptions.__all__) <= set(chuk_sessions.__all__)


def test_the_error_tree_is_drawn_as_it_is():
    parents: list[str] = []
    drawn = {}
    for indent, name in re.findall(r"^((?:[│ ]   )*(?:[├└]── )?)(\w*Error)\b", exceptions.__doc__ or "", re.M):
        depth = len(indent) // 4
        drawn[name] = parents[depth - 1] if depth else "Exception"
        parents[depth:] = [name]
    real = {name: getattr(exceptions, name).__bases__[0].__name__ for name in exceptions.__all__}
    assert drawn == real


def test_hash_tags_lie_evenly_over_the_slots():
    slots = sorted(crc_hqx(keys.tag(bucket).encode(), 0) % 16384 for bucket in range(256))
    assert [slot // 64 for slot in slots] == list(range(256))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.stem)
def test_modules_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 40, f"{path}: {node.name}"
