"""The laws of ARCHITECTURE.md that a linter can see, beside the import contracts of pyproject."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src" / "ringback"
LONGEST_FILE = 500
PURE_PACKAGES = ("sip", "rtp")
IMPURE_MODULES = frozenset({"asyncio", "time", "random", "secrets", "socket", "threading", "uuid"})


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("ringback", include_external_packages=True, cache_dir=None)


def own_python_files() -> Iterator[Path]:
    for folder in ("src", "tests", "tools", "bench"):
        yield from (ROOT / folder).rglob("*.py")


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def module_edges(graph: grimp.ImportGraph) -> dict[str, set[str]]:
    return {
        module: {m for m in graph.find_modules_directly_imported_by(module) if m in graph.modules}
        for module in graph.modules
        if module.startswith("ringback")
    }


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in own_python_files()
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long


def test_no_test_sleeps() -> None:
    sleepy = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] == "sleep"
        and not (node.args and ast.unparse(node.args[0]) == "0")
    ]
    assert not sleepy


def test_modules_import_each_other_without_a_cycle(graph: grimp.ImportGraph) -> None:
    order = TopologicalSorter(module_edges(graph))
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_the_protocol_cores_use_the_standard_library_alone(package: str) -> None:
    allowed = set(sys.stdlib_module_names) | {"ringback"}
    foreign = {
        f"{path.name}: {name}"
        for path in (SOURCE / package).rglob("*.py")
        for name in imported_modules(path) - allowed
    }
    assert not foreign


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_the_protocol_cores_take_time_and_chance_as_arguments(package: str) -> None:
    impure = {
        f"{path.name}: {name}"
        for path in (SOURCE / package).rglob("*.py")
        for name in imported_modules(path) & IMPURE_MODULES
    }
    assert not impure


def test_the_source_asserts_nothing_at_run_time() -> None:
    asserts = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not asserts


def test_the_import_contracts_hold() -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
