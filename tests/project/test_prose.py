"""Prose: the rules of plain American English that a machine can check, for code, scripts, and documentation.

The tests check what a reader sees as text: docstrings, comments, and messages of the package and the examples, comments
of the scripts, and pages without their code. In tests and benchmarks, only banned words count. Ruff's D401 checks the
mood of many verbs. The rules for openers catch other ones.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted([*(ROOT / "chuk_sessions").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
SCRIPTS = sorted((ROOT / "lua").rglob("*.lua"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "tests").glob("*.md")])
TESTS = sorted({*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("[!.]*/*.py")} - {Path(__file__)})
FILES = [*CODE, *SCRIPTS, *PAGES, *TESTS]

# Words that no docstring may begin with, and more that an imperative sentence cannot begin with.
NEVER_FIRST = {"what", "who", "see"}
NEVER_A_VERB = NEVER_FIRST | set(
    """a all an and any anything are as both by each either every everything for from here how if in is it its
    likewise more most neither no nobody none nothing on one only other same some something such than that the their
    then there these they this those to two under until up was were when where whether which while whoever whom whose
    why with without""".split()  # noqa: SIM905
)
THIRD_PERSON = re.compile(r"(?!alias|bias|canvas)[a-z]+[^su]s")

# Patterns, each with what to write instead. Case does not matter.
BANNED = {
    r"\banew\b": "again",
    r"\btill\b": "until",
    r"\bwhom\b": "name the subject: the caller, the session",
    r"\b(for|by|of|to) who\b": "the caller",
    r"(?<!user )(?<!one )(?<!person )(?<!attacker )\bwho (asks|awaits|comes|finds|holds|needs|reaches)\b": (
        "name the subject: the caller, the client"
    ),
    r"\bwhat comes\b|\bwhat is no\b|\bwhat can be no\b|\bwho comes\b": "name the subject: calls, ids, values",
    r"\b(call|calls|called|asked|asks) for (?=[.,;:]|$)|\b(was|were) called for\b": "name the call",
    r"\b(lies|lie|lay|lying|lain)\b": "is, are",
    r"\bstands? (in|at|on|under|behind|there|here|beside)\b": "is",
    r"\bbehind (it|its|them|their|him|that|this|a script|where)\b": "after",
    r"\bmak(e|es|ing) (a|an|the|its|new|one|this|that) (new )?(session|record|id|key)s?\b": "create",
    r"\b(session|record|connection)s?('s|') (making|end|ending)\b|\bmaking of\b|\bmaking, rotation\b": "creation",
    r"\bmade (a|an|the|its) session\b|\b(session|id)s? (is|are|was|were) made\b": "created",
    r"\bends? (a|all|the|every|this|that|any) (live |user's |old )?sessions?\b": "delete, revoke, or expire",
    r"\b(its|their|the) begin\b": "beginning, start",
    r"\bin (the )?place of\b": "instead of",
    r"\bin (the )?midst of\b|\bin want of\b|\bin good manners\b|\bon quiet\b": "plain words",
    r"\bgoes? on (?!to\b)\w+ing\b|\bgo on by\b": "continue, keep",
    r"\bgo(es)? by themselves\b|\bby (them|it)selves\b": "name who does it",
    r"\bworth nothing\b|\bis nothing then\b|\bloses to nobody\b|\bfor human speed\b": "plain words",
    r"\bcomes too many\b|\bsee to\b": "plain words",
    r"\bthe way (there|of nearly)\b": "the path, the network",
    r"\bsomebody else's\b|\bother people's\b|\bof other people\b": "a third party's, your own",
    r"\bcan be no\b|\bhas none to\b|(?<!there )\bis (?-i:none)\b": "cannot be",
    r"\blikewise\.": "say it again",
    r"\b(honour|behaviour|colour|favour|neighbour|licence|catalogue|centre|grey|whilst|towards)s?\b": "American",
    r"\b\w+isations?\b": "-ization",
    r"\b(author|initial|maxim|minim|normal|optim|organ|real|recogn|serial|synchron|util)is(e|es|ed|ing)\b": "-ize",
    r"\b(cancelled|cancelling|labelled|travell(ed|s|ing)|modelled)\b": "American: one l",
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def passages(path: Path) -> Iterator[str]:
    """Yield what a reader sees as text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield re.sub(r"^```.*?^```|`[^`\n]*`|\]\([^)]*\)|^\[[^\]]+\]: \S+", " ", text, flags=re.M | re.S)
    elif path.suffix == ".lua":
        yield " ".join(line.lstrip("- ") for line in text.splitlines() if re.match(r" *--(?!- @)", line))
    else:
        yield from comments(text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 1:
                yield re.sub(r"`[^`]*`", " ", node.value)


def comments(text: str) -> list[str]:
    """Return the comments of a module, lines below one another as one passage."""
    found: list[str] = []
    last = (-1, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line = token.string.lstrip("# ")
            row, column = token.start
            if last == (row - 1, column):
                found[-1] += f" {line}"
            else:
                found.append(line)
            last = token.start
    return found


@pytest.mark.parametrize("path", FILES, ids=named)
def test_prose_avoids_banned_words(path):
    found = [
        f"{match[0]!r}: {better}"
        for passage in passages(path)
        for rule, better in BANNED.items()
        for match in re.finditer(rule, " ".join(passage.split()), re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def opener(docstring: str | None) -> str:
    """Return the first word in lower case, or nothing if the text begins with another character."""
    return re.match(r"[a-z]*", (docstring or "").lstrip().lower())[0]  # type: ignore[index]


def is_a_property(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any("property" in ast.unparse(decorator) or "setter" in ast.unparse(decorator) for decorator in decorators)


@pytest.mark.parametrize("path", CODE, ids=named)
def test_docstrings_begin_with_a_verb_or_a_noun(path):
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            continue
        docstring = ast.get_docstring(node) or ""
        word, name = opener(docstring), getattr(node, "name", "module")
        bad = word in NEVER_FIRST or docstring.startswith("The same")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and docstring and not is_a_property(node):
            bad = not word or word in NEVER_A_VERB or THIRD_PERSON.fullmatch(word) is not None
        if bad:
            wrong.append(f"{name}: {' '.join(docstring.split()[:5])}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_scripts_begin_with_an_imperative_sentence(path):
    """The first comment says what the script or the shared step does. Those on its KEYS and ARGV follow."""
    first = re.search(r"^-- (.+)", path.read_text(encoding="utf-8"), re.M)
    assert first is not None
    word = opener(first[1])
    assert word not in NEVER_A_VERB
    assert not THIRD_PERSON.fullmatch(word), first[1]
