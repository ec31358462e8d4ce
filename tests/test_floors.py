"""The floors of the house: imports point down, rooms are few and whole, libraries stay fenced."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from helpers import ROOT, each
from ketameta.build import ABOVE

PACKAGE = ROOT / "src" / "ketameta"

#: The floors, ground first: parts are the modules and folders directly below the package. A part
#: imports from itself and from the floors below; the rooms of the ground know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("declared", "errors", "formatting", "measures", "paths", "typesetter"),
    ("effects",),
    ("evidence", "models"),
    ("analyses", "plots"),
    ("inputs", "report"),
    ("build",),
    ("release",),
    ("review", "verify"),
    ("exchange", "question"),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
GROUND = FLOORS[0]
#: The package itself, where it lies and its version: facts of the ground.
ON_EVERY_FLOOR = ("", "__file__", "__version__")
#: The one door that opens upwards: a result hands itself to the plots when asked for one.
UPWARD: Mapping[str, str] = {"models/results.py": "plots"}

#: Fences: the only rooms that may import a library.
FENCES: Mapping[str, tuple[str, ...]] = {
    "pymare": ("models/diagnostics/second_engine.py",),
    "matplotlib": ("plots/", "models/results.py"),
    "seaborn": ("plots/", "models/results.py"),
    "statsmodels": ("models/diagnostics/second_engine.py",),
}

#: A noun is one room of about 600 lines; a longer one is named here with its reason.
LONG = 600
LONGEST = 1000
LONGER: dict[str, str] = {
    "analyses/certainty.py": "facts and words of the five domains of one assessment",
    "analyses/parts.py": "every key of the parts of a result, with its type",
    "analyses/result.py": "every key of a result, with its type",
    "analyses/policy.py": "the rules, the estimates they choose and the headline in words",
    "cli.py": "every command with its help; the bodies are calls",
    "effects/table.py": "one noun: effects, how they are read from a frame and how they print",
    "evidence/derive.py": "one noun: every effect of the rows, and the tables that hold them",
    "evidence/schema.py": "one noun: every column of every table, with its meaning in words",
    "evidence/reader.py": "one file from bytes to cells, and each cell from text to number",
    "exchange/draft.py": "a source, its words, its rows and what is said of each",
    "exchange/imports.py": "every format that an import recognises, and RevMan's own",
    "models/dependent/multilevel.py": "model, result and statistics of one noun",
    "models/dependent/robust.py": "errors, tests and the bootstrap of clusters",
    "models/dose.py": "model, likelihood and search of one noun",
    "models/network/network.py": "model, result and caveats of one noun",
    "models/pooling.py": "the first result anyone sees, with its lines and intervals",
    "models/rare_events/binomial_normal.py": "model, likelihood and integral of one noun",
    "models/rare_events/mantel_haenszel.py": "tables of two arms, and the effect read off them",
    "models/small_study/selection_model.py": "model, likelihood and search of one noun",
    "verify.py": "what is rebuilt, and how each difference is said",
    "models/tau2.py": "every estimator once, for one data set and for many side by side",
}
#: Modules in one folder.
FULLEST = 25
FULLER: tuple[str, ...] = ()
#: The house as it is: these numbers only go down. The aim: 160 modules, 50,000 lines, 40
#: satellites (rooms with one reader, in their own folder), 150 untyped dictionaries.
MOST = {"modules": 152, "lines": 66_830, "satellites": 11, "untyped dictionaries": 30}
#: What a satellite's docstring says when it is a room of its own on purpose.
REASON = "A room of its own because"
#: Satellites that do not say so yet: fold them into their reader, or give the reason.
SILENT: set[str] = set()
#: Folders that are rebuilt next: their rooms are entered as they are.
REBUILT: tuple[str, ...] = ()
#: Rooms that tests enter by their own door: private helpers, attributes that a test replaces, and
#: functions that bear the name of their room. Everything else comes through a folder's face.
ENTERED: set[str] = {
    "analyses.certainty",
    "analyses.credibility",
    "analyses.multiverse",
    "analyses.policy",
    "analyses.sentences",
    "effects.table",
    "evidence.schema",
    "exchange.export",
    "exchange.workbook",
    "models.diagnostics.influence",
    "models.network.model",
    "models.resampling.batched",
    "models.resampling.monte_carlo",
    "plots.curves",
    "plots.forest",
    "plots.forest_data",
    "plots.forest_layout",
    "plots.frame",
    "plots.harms",
    "plots.look",
    "plots.maps",
    "plots.points",
    "plots.scale",
    "plots.sensitivity",
    "report.front",
    "report.html",
    "report.pdf",
    "report.plots",
    "report.prose",
    "review.start",
}

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]


# --- what imports what ----------------------------------------------------------------------------


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


def part_of(path: Path) -> str:
    """Return the module or folder directly below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    """Return the name of a module as imports write it, without the package's own."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


#: Modules that hold something, by name; faces only hand on.
ROOMS = {name_of(path): path for path in FILES if path.stem != "__init__"}
FACES = {name_of(path): path for path in FILES if path.stem == "__init__"}


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the full names of what import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{item.name}" for item in node.names)


def used_of_package(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield what is used of the package after a plain ``import ketameta``."""
    for node in nodes:
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
    nodes = nodes_of(path) if anywhere else at_import(tree_of(path).body)
    return {name.split(".")[0] for name in imported(nodes)}


@cache
def handed_on(face: str) -> Mapping[str, tuple[str, str]]:
    """Return the names of a face, each with its room and its name there."""
    path = FACES[face]
    stub = path.with_suffix(".pyi")
    homes: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree_of(stub if stub.is_file() else path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ketameta."):
            room = (node.module or "").removeprefix("ketameta.")
            homes |= {item.asname or item.name: (room, item.name) for item in node.names}
    return homes


def rooms_behind(name: str) -> set[str]:
    """Return the rooms that a full name leads to; a face leads to every room it hands on."""
    if name in FACES:
        return {room for room, _ in handed_on(name).values()} & set(ROOMS)
    while name and name not in ROOMS:
        name, _, last = name.rpartition(".")
        if name in FACES:
            room, _ = handed_on(name).get(last, ("", ""))
            return {room} & set(ROOMS)
    return {name} - {""}


@cache
def rooms_read(path: Path) -> frozenset[str]:
    """Return the rooms a file imports, inside functions and for type checkers too."""
    names = [*imported(nodes_of(path)), *used_of_package(nodes_of(path))]
    own = [name.removeprefix("ketameta.") for name in names if name.startswith("ketameta.")]
    up = UPWARD.get(path.relative_to(PACKAGE).as_posix())
    own = [name for name in own if name.partition(".")[0] != up]
    return frozenset(room for name in own for room in rooms_behind(name)) - {name_of(path)}


def satellites() -> set[str]:
    """Return the rooms whose only reader is a neighbour in their own folder."""
    readers: dict[str, list[str]] = {}
    for name, path in ROOMS.items():
        for room in rooms_read(path):
            readers.setdefault(room, []).append(name)
    return {
        room
        for room, (first, *others) in readers.items()
        if not others and first.rpartition(".")[0] == room.rpartition(".")[0]
    }


def circles() -> set[frozenset[str]]:
    """Return every set of rooms that import each other, however late or for whom."""
    below: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in below:
            below[name], todo = set(), [name]
            while todo:
                for room in rooms_read(ROOMS[todo.pop()]) - below[name]:
                    below[name].add(room)
                    todo.append(room)
        return below[name]

    return {
        frozenset(other for other in reached(name) if name in reached(other))
        for name in ROOMS
        if name in reached(name)
    }


# --- floors and fences ----------------------------------------------------------------------------


def test_every_module_has_a_floor_and_every_floor_its_modules() -> None:
    found = {part_of(path) for path in FILES}
    assert sorted(found - set(FLOOR_OF)) == [], "give these a floor in FLOORS"
    assert sorted(set(FLOOR_OF) - found) == [], "no such module any more"
    assert sum(len(names) for names in FLOORS) == len(FLOOR_OF)


@each((path,) for path in FILES)
def test_imports_point_down(path: Path) -> None:
    own = part_of(path)
    too_high = []
    for name in [*imported(nodes_of(path)), *used_of_package(nodes_of(path))]:
        first, _, rest = name.partition(".")
        if first != "ketameta" or rest in ON_EVERY_FLOOR:
            continue
        part = rest.split(".")[0]
        part = part if part in FLOOR_OF else "__init__"
        if part == own or (part in GROUND and own in GROUND):
            continue
        if UPWARD.get(path.relative_to(PACKAGE).as_posix()) == part:
            continue
        if FLOOR_OF[part] >= FLOOR_OF[own]:
            too_high.append(f"{name} (floor {FLOOR_OF[part]})")
    assert too_high == [], f"floor {FLOOR_OF[own]} imports from its side or from above"


def test_no_rooms_import_each_other() -> None:
    assert circles() == set()


def test_no_result_rests_on_what_a_build_leaves_out() -> None:
    left_out = {name.removesuffix(".py") for name in ABOVE} - {"starter"}
    assert left_out == {part for part in FLOOR_OF if FLOOR_OF[part] > FLOOR_OF["analyses"]} - {
        "inputs", "build", "__init__", "__main__"
    }  # fmt: skip
    assert FLOOR_OF["plots"] == FLOOR_OF["analyses"]


def test_a_circle_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    monkeypatch.setitem(globals(), "ROOMS", {name: Path(name) for name in arrows})
    monkeypatch.setitem(globals(), "rooms_read", lambda path: arrows[path.name])
    assert circles() == {frozenset({"b", "c"})}


@each((path,) for path in FILES)
def test_heavy_libraries_stay_behind_their_fence(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    used = libraries(path, anywhere=True)
    outside = [library for library, rooms in FENCES.items() if not name.startswith(rooms)]
    assert not used & set(outside)


def test_what_a_fence_names_is_there() -> None:
    for rooms in FENCES.values():
        assert all((PACKAGE / room).exists() for room in rooms)


@each((path,) for path in FILES if part_of(path) in ("effects", "models"))
def test_numeric_modules_see_no_pandas_when_imported(path: Path) -> None:
    assert "pandas" not in libraries(path, anywhere=False)
    if part_of(path) == "effects":
        assert "pandas" not in libraries(path, anywhere=True)


def test_numbers_can_be_had_without_pandas_pymare_or_matplotlib() -> None:
    rooms = [f"ketameta.{name}" for name in ROOMS if name.startswith("effects.")]
    code = (
        f"import sys, {', '.join(rooms)}, ketameta.models.pooling\n"
        "heavy = {'pandas', 'pymare', 'statsmodels', 'matplotlib', 'seaborn', 'jinja2', 'typer',"
        "'scipy.stats', 'scipy.optimize'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_package_is_imported_without_any_library() -> None:
    code = "import sys, ketameta; print(sorted({'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# --- rooms ----------------------------------------------------------------------------------------


def test_a_room_can_be_read_at_once() -> None:
    lengths = {
        name: path.read_text(encoding="utf-8").count("\n")
        for name, path in zip(NAMES, FILES, strict=True)
    }
    assert {name: n for name, n in lengths.items() if n > LONG and name not in LONGER} == {}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}
    assert all(lengths[name] > LONG for name in LONGER), "an exception that is no longer needed"


def test_a_folder_holds_no_more_than_one_can_see() -> None:
    folders = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in FILES)
    assert {name: n for name, n in folders.items() if n > FULLEST and name not in FULLER} == {}
    assert all(folders[name] > FULLEST for name in FULLER), "an exception that is no longer needed"


def test_a_room_with_one_reader_next_door_says_why() -> None:
    silent = {
        name
        for name in satellites()
        if REASON not in (ast.get_docstring(tree_of(ROOMS[name])) or "")
    }
    assert sorted(silent - SILENT) == [], f"fold it into its reader, or say: {REASON} ..."
    assert sorted(SILENT - silent) == [], "an exception that is no longer needed"


MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"}


def is_untyped(node: ast.AST) -> bool:
    """Return whether an expression is a mapping to anything, such as ``dict[str, Any]``."""
    match node:
        case ast.Subscript(value=named, slice=ast.Tuple(elts=[*_, last])):
            return (
                ast.unparse(named).rpartition(".")[2] in MAPPINGS
                and ast.unparse(last).rpartition(".")[2] == "Any"
            )
    return False


def untyped_dictionaries(trees: Mapping[str, ast.Module]) -> int:
    """Return how often modules say "a mapping to anything", by whatever name.

    Counted are the expression itself and every use of a module-level name that was given to one,
    where it was given and where it was imported.
    """
    aliases = {
        (module, target.id)
        for module, tree in trees.items()
        for node in tree.body
        for target, value in [
            *(
                [(item, node.value) for item in node.targets]
                if isinstance(node, ast.Assign)
                else []
            ),
            *([(node.target, node.value)] if isinstance(node, ast.AnnAssign) else []),
        ]
        if isinstance(target, ast.Name)
        and target.id[:1].isupper()
        and not target.id.isupper()
        and any(is_untyped(part) for part in ast.walk(value or ast.Constant(None)))
    }
    count = 0
    for module, tree in trees.items():
        known = {name for where, name in aliases if where == module}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                origin = (node.module or "").removeprefix("ketameta.")
                known |= {
                    item.asname or item.name
                    for item in node.names
                    if (origin, item.name) in aliases
                }
        for node in ast.walk(tree):
            named = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            count += is_untyped(node) or (named and node.id in known)
    return count


def test_untyped_dictionaries_are_counted_under_every_name() -> None:
    alias = "Facts = tuple[Mapping[str, t.Any], str]\ndef f(x: Facts) -> Facts: ..."
    user = "from ketameta.a import Facts as F\ndef f(x: F) -> None: ..."
    for texts, count in (
        (["def f(x: dict[str, Any]) -> dict[str, int]: ..."], 1),
        (["x: Mapping[str, dict[str, Any]]"], 1),
        ([alias], 3),
        ([alias, user], 4),
    ):
        assert untyped_dictionaries(dict(zip("ab", map(ast.parse, texts)))) == count


def test_the_house_only_shrinks() -> None:
    now = {
        "modules": len(FILES),
        "lines": sum(path.read_text(encoding="utf-8").count("\n") for path in FILES),
        "satellites": len(satellites()),
        "untyped dictionaries": untyped_dictionaries(
            {name_of(path): tree_of(path) for path in FILES}
        ),
    }
    assert {what: n for what, n in now.items() if n > MOST[what]} == {}


# --- faces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", sorted(FACES))
def test_a_face_hands_on_what_it_names(face: str) -> None:
    module = import_module(f"ketameta.{face}".removesuffix(".__init__"))
    for name, (room, own) in handed_on(face).items():
        assert getattr(module, name) is getattr(import_module(f"ketameta.{room}"), own)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense


def test_tests_knock_at_the_face_of_a_folder() -> None:
    entered = set()
    for path in sorted((ROOT / "tests").glob("*.py")):
        for name in imported(nodes_of(path)):
            room = name.removeprefix("ketameta.")
            while room and room not in ROOMS and room not in FACES:
                room = room.rpartition(".")[0]
            if name.startswith("ketameta.") and room in ROOMS and "." in room:
                entered.add(room)
    entered = {room for room in entered if room.partition(".")[0] not in REBUILT}
    assert sorted(entered - ENTERED) == [], "import from the folder, not from the room"
    assert sorted(ENTERED - entered) == [], "an exception that is no longer needed"


# --- what a stranger may read ---------------------------------------------------------------------

#: A folder of one machine, not preceded by anything that makes it part of an address.
MACHINE_PATH = re.compile(r"/(?<![\w.:/~-]/)(?:work|root|home|Users|mnt|tmp|var|srv)/\w")
#: Addresses of a machine or of a private package index.
MACHINE_HOST = re.compile(
    r"\blocalhost\b|\b(?:127\.0|10\.\d{1,3}|192\.168)\.\d{1,3}\.\d{1,3}\b|index[-]url|/[s]imple/?\b"
)
FOLDERS = ("src/ketameta", "tests", "data", "analyses", "reports", "docs", "benchmarks", ".ci")
TEXTS = {".py", ".md", ".toml", ".csv", ".json", ".j2", ".css", ".js", ".typ", ".R", ".sh", ".txt",
         ".html", ".svg", ".cff", ".yml", ".yaml", ""}  # fmt: skip


def published_files() -> list[Path]:
    inside = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    unpublished = (".coverage", ".git")
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name not in unpublished]
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
