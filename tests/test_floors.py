"""The floors of the house: imports point down, heavy libraries stay behind their fence."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from helpers import ROOT

PACKAGE = ROOT / "src" / "ketameta"

#: Every module (or folder of modules) and the floor it lives on. A new one belongs here.
FLOORS = {
    0: ("errors", "vocabulary", "numberformat", "paths", "arrays", "declared", "project"),
    1: ("schema", "schema_columns", "schema_batch", "schema_shared"),
    2: (
        *("evidence", "findings", "cells", "csvfiles", "csvheader", "csvguard", "textfiles"),
        *("extraction", "typesetter"),
        *("corrections", "checks", "dictionary", "second_extraction", "reconciliation"),
    ),
    3: (
        *("conversions", "effect_sizes", "effects", "arm_data", "comparisons", "effect_rows"),
        *("contrast_effects", "contrast_table", "study_facts", "unused_rows", "effect_table"),
    ),
    4: ("models",),
    5: ("analyses",),
    6: ("plots",),
    7: ("report",),
    8: (
        *("pipeline", "drawing", "inputs", "differences"),
        *("verify", "release", "review", "cli", "cli_options"),
        *("cli_report", "cli_review"),
        *("__init__", "__main__"),
    ),
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}

#: The package itself, where it lies and its version: facts of the ground.
ON_EVERY_FLOOR = ("", "__file__", "__version__")
#: Modules that ask statsmodels for a second opinion.
SECOND_OPINIONS = ("models/second_engine.py", "review/agreement_statistics.py")

#: The one module that looks up: a result hands itself to the plots when it is asked for one.
UPWARD = {"models/results.py": "plots"}

#: A module past this many lines is cut by the noun that made it grow.
LONGEST = 600
#: Modules that may be longer, and why.
LONGER: dict[str, str] = {}

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """Return the module or folder directly below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield the full names of what import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{item.name}" for item in node.names)


def used_of_package(tree: ast.Module) -> Iterator[str]:
    """Yield what is used of the package after a plain ``import ketameta``."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="ketameta"), attr=name):
                yield f"ketameta.{name}"


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the statements that run when a module is imported by others than type checkers."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
            continue
        yield node
        for field in ("body", "orelse", "finalbody", "handlers"):
            yield from at_import(getattr(node, field, []))


def libraries(path: Path, *, anywhere: bool) -> set[str]:
    """Return the top names a file imports, anywhere or only when it is itself imported."""
    tree = tree_of(path)
    nodes = ast.walk(tree) if anywhere else at_import(tree.body)
    return {name.split(".")[0] for name in imported(iter(nodes))}


def test_every_module_has_a_floor_and_every_floor_its_modules() -> None:
    found = {part_of(path) for path in FILES}
    assert sorted(found - set(FLOOR_OF)) == [], "give these a floor in FLOORS"
    assert sorted(set(FLOOR_OF) - found) == [], "no such module any more"
    assert sum(len(names) for names in FLOORS.values()) == len(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_to_the_same_floor_or_below(path: Path) -> None:
    floor = FLOOR_OF[part_of(path)]
    too_high = []
    for name in [*imported(ast.walk(tree_of(path))), *used_of_package(tree_of(path))]:
        first, _, rest = name.partition(".")
        if first != "ketameta" or rest in ON_EVERY_FLOOR:
            continue
        part = rest.split(".")[0]
        part = part if part in FLOOR_OF else "__init__"
        if UPWARD.get(path.relative_to(PACKAGE).as_posix()) == part:
            continue
        if FLOOR_OF[part] > floor:
            too_high.append(f"{name} (floor {FLOOR_OF[part]})")
    assert too_high == [], f"floor {floor} imports from above"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_heavy_libraries_stay_behind_their_fence(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    used = libraries(path, anywhere=True)
    if name != "models/_pymare.py":
        assert "pymare" not in used
    if part_of(path) != "plots" and name not in UPWARD:
        assert not used & {"matplotlib", "seaborn"}
    if name not in ("models/second_engine.py", "review/agreement_statistics.py"):
        assert "statsmodels" not in used


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in FILES
        if part_of(path) in ("conversions", "effect_sizes", "effects", "models")
    ],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_numeric_modules_see_no_pandas_when_imported(path: Path) -> None:
    assert "pandas" not in libraries(path, anywhere=False)
    if part_of(path) != "models":
        assert "pandas" not in libraries(path, anywhere=True)


def test_numbers_can_be_had_without_pandas_pymare_or_matplotlib() -> None:
    code = (
        "import sys, ketameta.conversions, ketameta.effect_sizes, ketameta.models.pooling\n"
        "heavy = {'pandas', 'pymare', 'statsmodels', 'matplotlib', 'seaborn', 'jinja2', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_modules_are_short_enough_to_be_read_at_once() -> None:
    lengths = {
        name: path.read_text(encoding="utf-8").count("\n")
        for name, path in zip(NAMES, FILES, strict=True)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST and name not in LONGER} == {}
    assert all(lengths[name] > LONGEST for name in LONGER), "an exception that is no longer needed"


# --- what a stranger may read ---------------------------------------------------------------------

#: A folder of one machine, not preceded by anything that makes it part of an address.
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:work|root|home|Users|mnt|tmp|var|srv)/\w")
#: Addresses of a machine or of a private package index.
MACHINE_HOST = re.compile(
    r"\blocalhost\b|\b(?:127\.0|10\.\d{1,3}|192\.168)\.\d{1,3}\.\d{1,3}\b|index[-]url|/[s]imple/?\b"
)
FOLDERS = ("src/ketameta", "tests", "data", "analyses", "reports", "docs", "benchmarks", ".ci")
TEXTS = {".py", ".md", ".toml", ".csv", ".json", ".j2", ".css", ".js", ".typ", ".R", ".sh", ".txt",
         ".html", ".svg", ".cff", ".yml", ".yaml", ""}  # fmt: skip


def published_files() -> list[Path]:
    inside = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".coverage"]
    return sorted(
        path
        for path in (*inside, *top)
        if path.suffix in TEXTS and "__pycache__" not in path.parts and path != Path(__file__)
    )


def test_no_file_names_a_machine() -> None:
    found = []
    for path in published_files():
        text = path.read_text(encoding="utf-8")
        for match in (*MACHINE_PATH.finditer(text), *MACHINE_HOST.finditer(text)):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match.group()}")
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_machine"),
    [
        ("open('/home/alder/data.csv')", True),
        ("see /tmp/x", True),
        ("https://example.org/home/alder", False),
        ("http://localhost:8000", True),
        ("~/work/x", False),
        ("https://www.example.org/work/1", False),
    ],
)
def test_the_search_for_machines_can_find_them(text: str, is_machine: bool) -> None:
    assert bool(MACHINE_PATH.search(text) or MACHINE_HOST.search(text)) == is_machine
