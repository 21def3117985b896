"""Write into docs/requirements.toml which tests show which requirement; ``--check`` only compares.

A test says what it shows with ``@pytest.mark.requirement("id", ...)``, on the function, its class
or, as ``pytestmark``, its module. The marks are read from the source without importing it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import tomlkit

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "docs" / "requirements.toml"
TESTS = ROOT / "tests"


def marked_ids(node: ast.expr) -> list[str]:
    """The ids of a mark, or of a list of marks."""
    if isinstance(node, ast.List | ast.Tuple):
        return [found for each in node.elts for found in marked_ids(each)]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
        return [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
    return []


def marks_of(body: list[ast.stmt], prefix: str, inherited: list[str]) -> Iterator[tuple[str, str]]:
    """Requirement and test, for every marked test of a module or class."""
    for statement in body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark":
            inherited = inherited + marked_ids(statement.value)
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if statement.name.startswith("test"):
                own = [i for each in statement.decorator_list for i in marked_ids(each)]
                yield from ((i, f"{prefix}::{statement.name}") for i in inherited + own)
            case ast.ClassDef():
                own = [i for each in statement.decorator_list for i in marked_ids(each)]
                inner = f"{prefix}::{statement.name}"
                yield from marks_of(statement.body, inner, inherited + own)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=mark)):
                # TestMachine = pytest.mark.requirement("id")(Machine.TestCase)
                yield from ((i, f"{prefix}::{name}") for i in marked_ids(mark))


def shown() -> dict[str, list[str]]:
    """Requirement id to the tests that are marked with it, sorted."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for requirement, test in marks_of(tree.body, str(path.relative_to(ROOT)), []):
            found.setdefault(requirement, set()).add(test)
    return {requirement: sorted(tests) for requirement, tests in found.items()}


def page(text: str) -> str:
    """The manifest with its ``tests`` as the marks say. Raises ``KeyError`` for an unknown id."""
    manifest = tomlkit.parse(text)
    marks = shown()
    entries = manifest["requirement"]
    if not isinstance(entries, list):
        raise KeyError("requirement")
    for entry in entries:
        tests = tomlkit.array()
        found = marks.pop(str(entry["id"]), [])
        tests.extend(found)
        tests.multiline(len(found) > 0)
        entry["tests"] = tests
    if marks:
        raise KeyError(f"marks of requirements that are not listed: {marks}")
    return tomlkit.dumps(manifest)


def main() -> int:
    before = MANIFEST.read_text(encoding="utf-8")
    after = page(before)
    if "--check" in sys.argv[1:]:
        if before != after:
            print(f"{MANIFEST} is out of date: run python tools/requirements.py", file=sys.stderr)
            return 1
        return 0
    MANIFEST.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
