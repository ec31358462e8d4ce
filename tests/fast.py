"""Runs the tests nearest to what was changed, as many as end in half a minute; not a test.

``make test`` runs every test, and notes how long each file takes.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from conftest import SECONDS
from helpers import ROOT
from ketameta.build import ABOVE
from report_pages import BUILT
from test_floors import PACKAGE, ROOMS, imported, name_of, part_of, rooms_behind, rooms_read

#: Seconds of tests that are run, between two processes; those of a file that nobody timed.
MOST, UNKNOWN = 20.0, 2.0
#: Seconds that files took on one machine, until all tests have been run on this one.
KNOWN = ROOT / "tests" / "seconds.json"
#: Whoever imports it reads the report of the committed tables, which is long in the making unless
#: it was made before and only its pages have changed.
COMMITTED = "report_pages"


def changed() -> list[Path]:
    """Return the files that differ from the last commit."""
    names: set[str] = set()
    for asked in ("diff --name-only HEAD", "ls-files --others --exclude-standard"):
        said = subprocess.run(["git", *asked.split()], cwd=ROOT, check=True, capture_output=True)
        names |= set(said.stdout.decode("utf-8").splitlines())
    return [ROOT / name for name in sorted(names)]


@cache
def reads(path: Path) -> set[str]:
    """Return the rooms of the package and the helpers that a test file imports."""
    found: set[str] = set()
    for name in imported(ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        own = name.removeprefix("ketameta.")
        found |= rooms_behind(own) if own != name else {name.partition(".")[0]}
    return found


def distances(paths: list[Path]) -> dict[str, int]:
    """Return the test files that read what was changed, by the number of imports between."""
    own = [path for path in paths if path.is_relative_to(PACKAGE)]
    # What is no module, such as a template, is read somewhere in its part.
    rooms = {name_of(path) for path in own} | {
        room for path in own if path.suffix != ".py"
        for room in ROOMS if part_of(ROOMS[room]) == part_of(path)
    }  # fmt: skip
    pages_only = (BUILT / "built_from.txt").is_file() and all(
        path.relative_to(PACKAGE).parts[0] in ABOVE for path in own
    )
    files = {path.stem: reads(path) for path in (ROOT / "tests").glob("*.py")}
    readers: dict[str, set[str]] = {}
    for name, read in {**{room: rooms_read(path) for room, path in ROOMS.items()}, **files}.items():
        for room in read if pages_only or COMMITTED not in read else ():
            readers.setdefault(room, set()).add(name)
    found = {path.stem: 0 for path in paths if path.parent == ROOT / "tests"}
    found |= dict.fromkeys(rooms & set(ROOMS), 0)
    for name in (todo := list(found)):
        new = readers.get(name, set()) - set(found)
        found |= dict.fromkeys(new, found[name] + 1)
        todo += sorted(new)
    return {name: far for name, far in found.items() if name.startswith("test_") and name in files}


def chosen(paths: list[Path]) -> list[str]:
    """Return the nearest test files, the quickest of them first, that fit into the time."""
    known = SECONDS if SECONDS.is_file() else KNOWN
    taken = json.loads(known.read_text(encoding="utf-8"))
    left, found = MOST, []
    for _, seconds, name in sorted(
        (far, taken.get(f"tests/{name}.py", UNKNOWN), name)
        for name, far in distances(paths).items()
    ):
        if seconds <= left:
            left -= seconds
            found.append(name)
    return found


if __name__ == "__main__":
    names = chosen([Path(name).resolve() for name in sys.argv[1:]] or changed())
    print(f"Near the change: {' '.join(names) or 'no test'}. Every test is run by make test.")
    files = [f"tests/{name}.py" for name in names]
    sys.exit(pytest.main(["-q", "-n", "auto", "--dist", "worksteal", *files]) if names else 0)
