"""The generator of `chuk_sessions/sync/manager.py`, which repeats the asynchronous SessionManager without `await`.

    python -m tests.project.sync_code

It reads the class and its base classes, writes each public method with its signature and its docstring, and lets its
body hand the coroutine to the runner. It fails if a docstring uses words of asynchronous code: then add a replacement
to REPLACEMENTS.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import chuk_sessions

ROOT = Path(chuk_sessions.__file__).parent
TARGET = ROOT / "sync/manager.py"
COMMAND = "python -m tests.project.sync_code"
WIDTH = 120

PUBLIC = {"models", "enums", "exceptions", "settings", "session_manager"}
"""Modules that the generated one may import."""

CLASS_DOCSTRING = """\
The sessions of one sandbox, for code without `await`: their lifecycle, and grid paths for their artifacts.

Sandboxes do not see each other's sessions. Any number of managers, threads, and processes may work on the same
sessions. Creating a manager opens no connection. The first call does, in a background thread, and all managers of a
process share its connections.

Methods treat a malformed session id like the id of no session, because ids come from clients. Other malformed
arguments raise ValueError. Store failures raise a subclass of ProviderError, so False and None always mean that
there is no such session. Calls raise RuntimeError in a thread that runs an event loop, because they would block it.

If an exception such as KeyboardInterrupt interrupts a call, it propagates at once. The call is canceled in the
background, but may have been applied.
"""

DOCSTRINGS = {
    "close": """\
Close this manager; calling it again is harmless. Waits for the calls of other threads; later ones raise
ManagerClosedError. This closes the background connections, unless another open manager shares them.
""",
    "session_factory": "The factory of the provider.",
}
"""Docstrings that replace those of the asynchronous class."""

REPLACEMENTS = {
    "allocate_session": {
        "If the call is canceled and chose the id,": "If an exception interrupts the call, and the call chose the id,",
    },
    "rotate_session": {
        "After a canceled call there is either the session under `session_id` or the one under the returned id, not "
        "both, as long as the store can be reached. Otherwise at most one session remains whose id no caller knows: "
        "it is listed and expires at its deadline. The call therefore undoes or completes work that it has begun, "
        "which takes as long as its calls to the store may take. If it is too late to undo, it returns the id, and "
        "the cancellation follows at the caller's next await, unless it came from a timeout whose block has been left "
        "by then.": (
            "If an exception interrupts the call, the rotation is undone in the background. If that is too late, or "
            "the store cannot be reached, the session may have an id that no caller knows: it is listed and expires "
            "at its deadline."
        ),
    },
    "transform_session_metadata": {
        "Calls for the same key wait for each other in this event loop,": (
            "Calls for the same key wait for each other in this process,"
        ),
        "It is not a coroutine function.": (
            "It runs in the background thread, where it must not take long or call a synchronous manager."
        ),
    },
}
"""Passages of docstrings that describe asynchronous code, and what replaces them."""

REMOVED = r"\b(await|async) "
FORBIDDEN = r"(?i)\b(a?wait(s|ed)? for it|await\w*|async\w*|coroutine\w*|event loops?|aclose|tasks?|cancel\w*)\b"


@dataclass
class Source:
    """A module of the package: its syntax tree, and where it imports names from."""

    name: str
    tree: ast.Module = field(init=False)
    imports: dict[str, tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse((ROOT / f"{self.name.replace('.', '/')}.py").read_text(encoding="utf-8"))
        self.imports = dict(self._imports())

    def _imports(self) -> Iterator[tuple[str, tuple[str, str]]]:
        package = ["", *self.name.split(".")[:-1]]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, *(node.module or "").split(".")])
                for alias in node.names:
                    yield alias.asname or alias.name, (module.strip(".") if node.level else f"/{module}", alias.name)

    def find_class(self, name: str) -> ast.ClassDef:
        return next(node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name)

    def value(self, expression: ast.expr) -> Any:
        module = importlib.import_module(f"chuk_sessions.{self.name}")
        return eval(ast.unparse(expression), vars(module))


@dataclass
class Writer:
    """The generated text, with the imports and aliases that it needs."""

    imports: dict[str, set[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def write_class(self, source: Source, name: str) -> None:
        """Write the methods of a class, and then those of its base classes."""
        node = source.find_class(name)
        functions = [member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            self.write_method(source, function)
        for base in node.bases:
            module, base_name = source.imports[ast.unparse(base)]
            self.write_class(Source(module), base_name)

    def write_method(self, source: Source, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name == "__init__":
            self.write_init(source, node)
        elif not node.name.startswith("_") and node.name != "aclose" and node.name not in self.seen:
            self.seen.add(node.name)
            arguments, passed = self.signature(source, node)
            call = f"self._manager.{node.name}({passed})"
            is_property = [ast.unparse(decorator) for decorator in node.decorator_list] == ["property"]
            assert is_property or not node.decorator_list, f"{node.name} has a decorator that is not supported"
            self.lines += ["", "    @property"] if is_property else [""]
            self.lines.append(f"    def {node.name}({arguments}) -> {self.returned(source, node)}:")
            self.write_docstring(node.name, ast.get_docstring(node) or "")
            self.lines.append(f"        {self.body(node, call, is_property)}")

    def body(self, node: ast.FunctionDef | ast.AsyncFunctionDef, call: str, is_property: bool) -> str:
        if is_property:
            return f"return self._manager.{node.name}"
        if isinstance(node, ast.AsyncFunctionDef):
            prefix = "" if ast.unparse(node.returns or ast.Constant(None)) == "None" else "return "
            return f"{prefix}self._runner.run({call})"
        if "AsyncGenerator" in ast.unparse(node.returns or ast.Constant(None)):
            return f"return self._runner.iterate({call})"
        return f"return {call}"

    def write_init(self, source: Source, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Write the constructor, the context manager, and properties for the public attributes."""
        arguments, passed = self.signature(source, node)
        self.lines.append(f"    def __init__({arguments}) -> None:")
        self.write_docstring("__init__", ast.get_docstring(node) or "")
        self.lines += [f"        self._manager = AsyncSessionManager({passed})", "        self._runner = Runner()"]
        self.lines += [
            "        for name, method in self._manager._methods_for_threads(self._runner.run).items():",
            "            if getattr(type(self), name) is getattr(SessionManager, name):",
            "                setattr(self, name, method)",
        ]
        self.import_name("/typing", "Self")
        self.lines += ["", "    def __enter__(self) -> Self:", "        return self"]
        self.lines += ["", "    def __exit__(self, *exc_info: object) -> None:", "        self.close()"]
        self.lines += ["", "    def close(self) -> None:"]
        self.write_docstring("close", "")
        self.lines.append("        self._runner.close(self._manager.aclose)")
        for name in public_attributes(node):
            (argument,) = [one for one in all_arguments(node.args) if one.arg == name]
            kind = self.annotation(source, argument.annotation).removesuffix(" | None")
            self.lines += ["", "    @property", f"    def {name}(self) -> {kind}:"]
            self.write_docstring(name, "")
            self.lines.append(f"        return self._manager.{name}")

    def signature(self, source: Source, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, str]:
        """Return the parameters with types and defaults, and the arguments that pass them on."""
        args = without_private_options(node.args)
        for argument in all_arguments(args):
            if argument.annotation is not None:
                argument.annotation = ast.parse(self.annotation(source, argument.annotation), mode="eval").body
        args.defaults = [self.default(source, value) for value in args.defaults]
        args.kw_defaults = [value and self.default(source, value) for value in args.kw_defaults]
        passed = [argument.arg for argument in [*args.posonlyargs, *args.args][1:]]
        passed += [f"*{args.vararg.arg}"] if args.vararg else []
        passed += [f"{argument.arg}={argument.arg}" for argument in args.kwonlyargs]
        passed += [f"**{args.kwarg.arg}"] if args.kwarg else []
        return ast.unparse(args), ", ".join(passed)

    def default(self, source: Source, expression: ast.expr) -> ast.expr:
        """Return a default value: a number instead of the name of a constant that is not public."""
        value = source.value(expression)
        if isinstance(value, int) and not isinstance(value, Enum | bool):
            return ast.Name(f"{value:_}" if value > 9999 else repr(value))
        if isinstance(value, float | str) and not isinstance(value, Enum):
            return ast.Name(repr(value))
        self.annotation(source, expression)
        return expression

    def returned(self, source: Source, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        text = self.annotation(source, node.returns)
        generator = re.fullmatch(r"AsyncGenerator\[(.+), None\]", text)
        if generator is None:
            return text
        self.imports["/collections.abc"].discard("AsyncGenerator")
        self.import_name("/collections.abc", "Generator")
        return f"Generator[{generator[1]}, None, None]"

    def annotation(self, source: Source, expression: ast.expr | None) -> str:
        """Return an expression as text, and import the names in it."""
        assert expression is not None
        for node in ast.walk(expression):
            if isinstance(node, ast.Name) and node.id in source.imports:
                self.resolve(node.id, *source.imports[node.id])
        return ast.unparse(expression)

    def resolve(self, name: str, module: str, original: str) -> None:
        """Import a name, or repeat the alias that it stands for if its module is not public."""
        if module.startswith("/") or module in PUBLIC:
            self.import_name(module, original)
            return
        source = Source(module)
        for node in source.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == original:
                self.aliases[name] = self.annotation(source, node.value)
                return
        raise ValueError(f"{module}.{original} is part of a signature, but not public")

    def import_name(self, module: str, name: str) -> None:
        self.imports.setdefault(module, set()).add(name)

    def write_docstring(self, name: str, text: str) -> None:
        text = adapted(name, DOCSTRINGS.get(name, text))
        quotes = 'r"""' if "\\" in text else '"""'
        lines = f"{quotes}{text}".splitlines()
        closing = ['"""'] if len(lines) > 1 else []
        if not closing:
            lines[0] += '"""'
        elif text.rstrip().splitlines()[-1].startswith(" "):
            closing = ["", '"""']
        self.lines += [f"        {line}".rstrip() for line in [*lines, *closing]]

    def text(self) -> str:
        """Return the whole module, without format."""
        self.imports.setdefault("session_manager", set()).add("SessionManager as AsyncSessionManager")
        ordered = sorted(self.imports.items(), key=lambda item: (not item[0].startswith("/"), item[0]))
        imports = []
        for module, names in ordered:
            if names:
                shown = module[1:] if module.startswith("/") else f"..{module}"
                imports.append(f"from {shown} import {', '.join(sorted(names))}")
        local = next(index for index, line in enumerate(imports) if line.startswith("from .."))
        imports.insert(local, "")
        imports.append("from .runner import Runner")
        return "\n".join([
            f'"""The synchronous SessionManager. `{COMMAND}` has generated this file: do not edit it."""',
            "",
            "from __future__ import annotations",
            "",
            *imports,
            *(f"{name} = {value}" for name, value in self.aliases.items()),
            "class SessionManager:",
            textwrap.indent(f'"""{adapted("SessionManager", CLASS_DOCSTRING)}\n"""', "    "),
            *self.lines,
            '__all__ = ["SessionManager"]',
        ])  # fmt: skip


def public_attributes(node: ast.AST) -> list[str]:
    """Return the public attributes that a constructor sets."""
    targets = [target for one in ast.walk(node) if isinstance(one, ast.Assign) for target in one.targets]
    names = [target.attr for target in targets if isinstance(target, ast.Attribute)]
    return [name for name in names if not name.startswith("_")]


def all_arguments(args: ast.arguments) -> list[ast.arg]:
    further = [argument for argument in (args.vararg, args.kwarg) if argument is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *further]


def without_private_options(args: ast.arguments) -> ast.arguments:
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    public = [(argument, default) for argument, default in pairs if not argument.arg.startswith("_")]
    args.kwonlyargs = [argument for argument, _ in public]
    args.kw_defaults = [default for _, default in public]
    return args


def adapted(name: str, text: str) -> str:
    """Return a docstring for synchronous code.

    Raises ValueError if a replacement has no passage to replace, or if words of asynchronous code are left.
    """
    for old, new in REPLACEMENTS.get(name, {}).items():
        pattern = r"\s+".join(map(re.escape, old.split()))
        if not re.search(pattern, text):
            raise ValueError(f"the docstring of {name} does not contain: {old}")
        text = "\n\n".join(replaced(paragraph, pattern, new) for paragraph in text.split("\n\n"))
    text = re.sub(REMOVED, "", text).rstrip()
    if name != "SessionManager" and (left := re.search(FORBIDDEN, text)):
        raise ValueError(f"the docstring of {name} says {left[0]!r}: add a replacement to tests/project/sync_code.py")
    return text


def replaced(paragraph: str, pattern: str, new: str) -> str:
    """Replace a passage, and wrap the lines again: of the paragraph, or of the entry in a list of arguments."""
    parts = re.split(r"\n(?=    \S)", paragraph)
    for index, part in enumerate(parts):
        changed = re.sub(pattern, lambda _: new, part)
        if changed != part:
            first, rest = ("    ", " " * 8) if part.startswith("    ") else ("", "")
            text = " ".join(changed.split())
            parts[index] = textwrap.fill(text, WIDTH - 8, initial_indent=first, subsequent_indent=rest)
    return "\n".join(parts)


def generate() -> str:
    """Return the text of the generated module."""
    writer = Writer()
    writer.write_class(Source("session_manager"), "SessionManager")
    return formatted(writer.text())


def formatted(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "-q", "--stdin-filename", str(TARGET), "-"],
        input=text, capture_output=True, text=True, check=True, cwd=ROOT.parent,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    TARGET.write_text(generate(), encoding="utf-8")
