"""README and documentation: every Python block runs, links and paths resolve, and tables agree with the code."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import chuk_sessions
from chuk_sessions import SessionManager, settings
from chuk_sessions.backends.redis.settings import ConnectionSettings
from chuk_sessions.core import keys, operations
from chuk_sessions.core.record import FIELDS
from tests.faults.matrix import MATRIX
from tests.project.error_tree import defined_tree, drawn_tree

ROOT = Path(__file__).parents[2]
IN_ASYNC_FUNCTION = "# Inside an async function:\n"
PAGES = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY"))]
PAGES += [ROOT / "tests/README.md", *sorted((ROOT / "docs").glob("*.md"))]
BUILT = {"dist/", "deploy/secrets/"}  # commands create them; a clean checkout lacks them
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


class Block(NamedTuple):
    """A Python block of a page."""

    page: str
    number: int
    text: str


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [Block(page.relative_to(ROOT).as_posix(), number, text) for number, text in enumerate(found, 1)]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
every_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}-{block.number}")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(params=["memory", "redis"])
def provider(request, monkeypatch):
    """Set the environment that a reader would set."""
    monkeypatch.setenv("SESSION_PROVIDER", request.param)
    monkeypatch.delenv("CHUK_SANDBOX_ID", raising=False)
    if request.param == "redis":
        monkeypatch.setenv("SESSION_REDIS_URL", request.getfixturevalue("server").url)


def compiled(block: Block) -> Any:
    return compile(block.text, f"{block.page}, block {block.number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def awaits(block: Block) -> bool:
    """Tell whether the block awaits at its top level, which only the body of an async function may do."""
    return bool(compiled(block).co_flags & inspect.CO_COROUTINE)


@every_block
@pytest.mark.usefixtures("provider")
def test_blocks_run(block, monkeypatch):
    # Frameworks look up a function's annotations in its module.
    monkeypatch.setitem(sys.modules, "page", page := ModuleType("page"))
    namespace = vars(page)
    if awaits(block):

        async def run() -> None:
            await eval(compiled(block), namespace)

        asyncio.run(run())
    else:
        exec(compiled(block), namespace)


def test_there_are_blocks():
    assert len([block for block in BLOCKS if block.page == "README.md"]) >= 6
    assert len({block.page for block in BLOCKS}) >= 4


@every_block
def test_a_block_with_a_bare_await_says_where_it_belongs(block):
    assert block.text.startswith(IN_ASYNC_FUNCTION) == awaits(block)


@every_page
def test_relative_links_resolve(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", text, re.M)
    broken = []
    for target in (inline or reference for inline, reference in targets):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as hosts of Markdown and the documentation site create them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@every_page
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M))
    code = re.findall(r"`+[^`]+`+", page.read_text(encoding="utf-8"))
    named = {word for part in code for line in re.findall(r"\bmake ([a-z -]+)", part) for word in line.split()}
    assert named <= targets


@every_page
def test_paths_exist(page):
    """Paths are relative to the repository, the package, its Redis backend, or the page."""
    code = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    paths = {part for part in code if re.fullmatch(r"[\w.-]+/[\w./-]*|[\w-]+\.(py|lua|toml|md)", part)}
    placeholder = re.compile(r"(^|[/_])[A-Z]+(/|$|\.(lua|py))")
    roots = (ROOT, ROOT / "chuk_sessions", ROOT / "chuk_sessions/backends/redis", page.parent)
    named = [path for path in paths if not placeholder.search(path) and path not in BUILT]
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []


def test_the_architecture_names_the_files_on_the_path_of_a_call():
    picture = text_of("docs/architecture.md").split("## The path of a call")[1].split("## Import rules")[0]
    paths = set(re.findall(r"[\w/]+\.py\b|backends/[\w/]+/", picture))
    assert len(paths) > 8
    assert [path for path in paths if not list((ROOT / "chuk_sessions").rglob(path.rstrip("/")))] == []


def test_the_recipe_for_an_operation_names_at_most_seven_files_that_exist_for_another_one():
    recipe = text_of("docs/architecture.md").split("## Add an operation")[1]
    steps = re.findall(r"^\d\. `([^`]+)`", recipe, re.M)
    assert 4 <= len(steps) <= 7
    assert [path for path in steps if not (ROOT / path.replace("X", "merge")).exists()] == []


def table(page: str, heading: str, number: int = 0) -> list[list[str]]:
    """Return the rows of a table below a heading."""
    section = text_of(page).split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.M)[number]
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in found.splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_operations_table_names_all_operations_and_real_methods():
    rows = table("docs/operations.md", "Operations")
    assert [row[0].strip("`") for row in rows] == list(operations.ALL)
    methods = {name for row in rows for name in re.findall(r"`(\w+)\(", row[1])}
    assert methods
    assert [name for name in methods if not hasattr(SessionManager, name)] == []


def test_the_page_of_faults_has_every_fault():
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/faults.md").read_text(encoding="utf-8"), re.M)
    assert {fault.name for fault in MATRIX} <= set(rows)


def test_the_keys_table_shows_the_keys_of_the_code():
    target = keys.session_keys_for_handle("SANDBOX", 7, b"HANDLE")
    index, ids = target.index_keys, (target.operations, target.creations, target.marker)
    readers = keys.readers(index.bucket), keys.members(index.bucket, "READER")
    more = index.notes("USER"), index.used("HANDLE")
    parts = [part for part in (*target, *index, *more, *ids, *readers) if isinstance(part, str)]
    expected = {part.replace(keys.tag(target.index_keys.bucket), "T") for part in parts if not part.endswith("/")}
    expected |= {key.replace(keys.tag(0), "Q") for key in keys.queue("ENDPOINT")}
    assert {row[0].strip("`") for row in table("docs/operations.md", "Keys")} == expected


def test_every_field_of_a_record_has_a_row_that_says_which_copies_get_it():
    cells = [row[0] for row in table("docs/operations.md", "Fields of a record")]
    documented = {re.sub("KEY|NAME|JTI", "", name) for cell in cells for name in re.findall(r"`(.+?)`", cell)}
    assert documented - {"r"} <= {name.decode() for name in FIELDS}


def test_the_configuration_table_has_every_variable():
    documented = set(re.findall(r"`([A-Z_]{6,})`", "".join(row[0] for row in table("README.md", "Configuration"))))
    of_connections = {f"SESSION_REDIS_{name.upper()}" for name in ConnectionSettings.__annotations__} - {
        "SESSION_REDIS_CREDENTIALS",
        "SESSION_REDIS_ADDRESS_REMAP",
    }
    read = set(re.findall(r'getenv\("([A-Z_]+)"', inspect.getsource(settings)))
    assert documented == read | of_connections


def test_the_api_reference_has_every_public_name():
    documented = set(re.findall(r"^\.\. auto\w+:: chuk_sessions\.(\w+)$", text_of("docs/api.md"), re.M))
    assert set(chuk_sessions.__all__) - {"__version__", "session"} == documented


def test_the_error_tree_shows_the_classes():
    tree = text_of("docs/reliability.md").split("## Errors")[1].split("```")[1]
    assert drawn_tree(tree) == defined_tree()


def test_the_map_of_the_tests_names_every_folder():
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
    assert {row[0].strip("`/") for row in table("tests/README.md", "The map")} == folders


def test_the_readme_is_short_and_links_to_every_page_for_readers():
    readme = text_of("README.md")
    assert readme.count("\n") < 400
    linked_by_the_site = {"index.md", "api.md", "changelog.md", "contributing.md", "security.md"}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - linked_by_the_site == set(
        re.findall(r"\(docs/(\w+\.md)\)", readme)
    )


def test_the_package_index_gets_a_readme_without_relative_links():
    project = tomllib.loads(text_of("pyproject.toml"))
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    shown = "".join(text_of(fragment["path"]) for fragment in hook["fragments"])
    for rule in hook["substitutions"]:
        shown = re.sub(rule["pattern"], rule["replacement"], shown)
    assert [target for target in re.findall(r"\]\(([^)]+)\)", shown) if "://" not in target] == []
    assert "Production checklist (`docs/production.md`)" in shown
    assert "[f71]: https://" in shown


def test_the_source_distribution_has_every_page():
    project = tomllib.loads(text_of("pyproject.toml"))
    included = {path.strip("/") for path in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    needed = {path.relative_to(ROOT).parts[0] for path in PAGES} | {"examples", ".github", ".pre-commit-config.yaml"}
    assert needed <= included
    assert [name for name in included if not (ROOT / name).exists()] == []


def test_ci_covers_each_python_that_the_package_names():
    named = re.findall(r"Python :: (3\.\d+)", text_of("pyproject.toml"))
    matrix = re.search(r"^ +python: \[(.+)\]", text_of(".github/workflows/ci.yml"), re.M)
    assert matrix is not None
    assert re.findall(r'"([\d.]+)"', matrix[1]) == named
