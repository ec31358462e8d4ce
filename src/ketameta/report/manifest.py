"""What went in and what came out, by SHA-256; the ZIP that builds it again; what changed."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import ketameta
from ketameta.analyses.policy import bounds_words
from ketameta.analyses.result import AnalysisResult, Headline
from ketameta.analyses.sentences import written
from ketameta.errors import ReportError
from ketameta.evidence.project import FILE as PROJECT
from ketameta.evidence.tables import data_files, is_link
from ketameta.formatting import plural, trials_words
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.report.provenance import studies_of

#: The manifest's own name, below ``reports/``.
MANIFEST = "manifest.json"


def input_files(paths: ProjectPaths) -> list[Path]:
    """Return every file the report is computed from, in a fixed order; no link.

    The last release is one of them, by its manifest: the page says what changed since.
    """
    own = [paths.root / "CITATION.cff", paths.root / PROJECT]
    others = [*own, *paths.analyses.glob("*.toml"), *paths.analyses.glob("text/*.md")]
    if is_link(paths.analyses):
        others = own
    return sorted(
        [
            *data_files(paths),
            *(path for path in others if path.is_file() and not is_link(path)),
            *last_release_files(paths)[:1],
        ]
    )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def code_hash(without: Container[str] = ()) -> str:
    """Return one hash of the package's own source, by which a build knows what is out of date.

    It is never published: code that changes no number changes no published file. ``without`` are
    files and folders directly below the package that are left out.
    """
    digest = hashlib.sha256()
    for name, _, of_file in package_code(Path(ketameta.__file__).parent):
        if name.partition("/")[0] not in without:
            digest.update(name.encode("utf-8") + of_file)
    return digest.hexdigest()


@cache
def package_code(root: Path) -> list[tuple[str, bytes, bytes]]:
    """Return name, content and hash of each file of the package, read once: no later one runs."""
    read = ((path.relative_to(root).as_posix(), path.read_bytes()) for path in code_files(root))
    return [(name, content, hashlib.sha256(content).digest()) for name, content in read]


def code_files(root: Path) -> list[Path]:
    """Return the files of a copy of the package: modules, templates, starter; no cache."""
    found = (path for path in root.rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in found if path.is_file())


def manifest_text(
    paths: ProjectPaths, versions: Mapping[str, str], published: Iterable[str]
) -> str:
    """Return the manifest as JSON text; nothing in it depends on clock, host or folder.

    Parameters
    ----------
    paths : ProjectPaths
    versions : mapping
        Of the package and of those it computes with.
    published : iterable of str
        Names of the published files, below ``reports/``.
    """
    outputs = {
        f"reports/{name}": file_hash(path) if (path := paths.reports / name).is_file() else
        "no such file"
        for name in published
    }  # fmt: skip
    return _json({**_inputs(paths, versions), "outputs": outputs})


def stated_outputs(paths: ProjectPaths) -> list[str]:
    """Return the names of the published files by the manifest, below ``reports/``; or none."""
    try:
        stated = json.loads((paths.reports / MANIFEST).read_text(encoding="utf-8"))
        return [str(name).removeprefix("reports/") for name in stated["outputs"]]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []


def inputs_text(paths: ProjectPaths, versions: Mapping[str, str]) -> str:
    """Return the part of the manifest that is known before anything is written, as JSON text."""
    return _json(_inputs(paths, versions))


def _inputs(paths: ProjectPaths, versions: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    return {
        "inputs": {paths.relative(path): file_hash(path) for path in input_files(paths)},
        "versions": versions,
    }


def _json(stated: Mapping[str, Mapping[str, str]]) -> str:
    return json.dumps(stated, indent=1, sort_keys=True) + "\n"


def inputs_hash(paths: ProjectPaths) -> str:
    """Return one hash of all inputs: the data part of the report's stamp."""
    digest = hashlib.sha256()
    for path in input_files(paths):
        digest.update(paths.relative(path).encode("utf-8"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def results_text(results: Sequence[AnalysisResult]) -> str:
    """Return every result by its name as one JSON text, as it is attached to the PDF."""
    return json.dumps(
        {result["name"]: result for result in results},
        ensure_ascii=False,
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    )


#: What the ZIP is called in a release.
REPRODUCE = "reproduce.zip"
#: Files of the project's own folder that a build or its commands need, where they are there.
ROOT_FILES = (
    *("Makefile", "pyproject.toml", "constraints.txt", "LICENSE", "CITATION.cff"),
    "project.toml",
)
#: What goes with the data wherever they go.
_WITH_DATA = ("LICENSE.md", "README.md")
#: The oldest date a ZIP can hold; nothing here says anything of clocks.
_DATE = (1980, 1, 1, 0, 0, 0)
#: Folder inside the archive.
FOLDER = "ketameta"
_README = """# The report, to be built again

Everything the report is computed from: data, questions, code, and the versions of its packages.

    make report     build reports/ (needs Python 3.11 or newer and make; the first run installs)
    make check      say everything that is wrong in the extracted tables

The same inputs give the same bytes: compare reports/manifest.json with the published one.
"""


def reproduction_zip(paths: ProjectPaths) -> bytes:
    """Return one archive that builds the same report wherever it is unpacked.

    Parameters
    ----------
    paths : ProjectPaths
        Where data, analyses and the files of the project's folder are. The code is the package
        that runs.

    Notes
    -----
    Only declared inputs are packed, and no link is followed. What changed since the last release
    is said from its frozen results, so they are inside too. Nothing is compressed: programs that
    compress differ in their bytes.
    """
    files = {"README.md": _README.encode(), **dict(_contents(paths))}
    return packed({f"{FOLDER}/{name}": content for name, content in files.items()})


def packed(files: dict[str, bytes]) -> bytes:
    """Return files as a ZIP, in the order of their names, with one date and one kind of entry."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return stream.getvalue()


def contents_hash(paths: ProjectPaths) -> str:
    """Return one hash of what the archive would hold: all that a report is made of."""
    digest = hashlib.sha256()
    for name, content in sorted(_contents(paths)):
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _contents(paths: ProjectPaths) -> Iterator[tuple[str, bytes]]:
    """Yield the name below the archive's folder and the bytes of every file."""
    for name, content, _ in package_code(Path(ketameta.__file__).parent):
        yield f"src/ketameta/{name}", content
    for path in source_files(paths):
        yield paths.relative(path), path.read_bytes()


def source_files(paths: ProjectPaths) -> list[Path]:
    """Return what a build elsewhere needs of a project: its inputs, and what goes with them."""
    beside = [
        *(paths.root / name for name in ROOT_FILES),
        *(paths.data / name for name in _WITH_DATA if not is_link(paths.data)),
    ]
    plain = [path for path in beside if path.is_file() and not is_link(path)]
    return sorted({*input_files(paths), *plain, *last_release_files(paths)})


#: The page that lists the releases, below ``reports/``, and what it offers of each figure.
INDEX = "releases/index.html"
PICTURES = ("png", "pdf")


# --- what changed since the last release ----------------------------------------------------------

#: Versions are compared number by number.
_VERSION = re.compile(r"\d+(?:\.\d+)*")
#: Relative change of an estimate that counts as one; less is the last published digit, in which
#: another platform may differ.
_SAME = 1e-6


def releases(paths: ProjectPaths) -> list[str]:
    """Return the released versions, oldest first."""
    folder = paths.reports / "releases"
    found = [path.name for path in folder.glob("*") if (path / "manifest.json").is_file()]
    numbered = [name for name in found if _VERSION.fullmatch(name)]
    return sorted(numbered, key=lambda name: [*map(int, name.split("."))])


def last_release_files(paths: ProjectPaths) -> list[Path]:
    """Return what a build reads of the last release: its manifest and its results."""
    versions = releases(paths)
    if not versions:
        return []
    last = paths.reports / "releases" / versions[-1]
    return [last / "manifest.json", *sorted((last / "results").glob("*.json"))]


class Change(TypedDict):
    """What is different in one analysis; no name where it is no longer asked."""

    name: str
    title: str
    words: str


class Changes(TypedDict):
    """What is different since a release, whose version is empty where there is none."""

    version: str
    items: list[Change]


def changes_since_release(paths: ProjectPaths, results: Mapping[str, AnalysisResult]) -> Changes:
    """Return the last release and what is different now."""
    versions = releases(paths)
    if not versions:
        return {"version": "", "items": []}
    before = frozen_results(paths, last_release_files(paths)[1:])
    return {"version": versions[-1], "items": result_changes(before, results)}


def frozen_results(paths: ProjectPaths, files: Sequence[Path]) -> dict[str, AnalysisResult]:
    """Return the results of a release by their names, each with a headline.

    Raises
    ------
    ReportError
        If a file of the release is not what a release wrote.
    """
    found: dict[str, AnalysisResult] = {}
    for path in files:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            # Before there were headlines the pool led, and pooled reports were counted as trials.
            led = value.get("headline", value["pooled"]) or {"method": ""}
            head = {"pools": 0, "measure": value["measure"], "method": "pooled", **led}
            found[path.stem] = result = cast("AnalysisResult", {**value, "headline": head})
            _ = (_words(None, result), studies_of(result), f"{result['title']}")
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise ReportError(
                f"{paths.relative(path)}: this is not what the release wrote; a release is never "
                "changed, so put it back (with git: git checkout -- reports/releases)"
            ) from None
    return found


def result_changes(
    before: Mapping[str, AnalysisResult], after: Mapping[str, AnalysisResult]
) -> list[Change]:
    """Return one entry per analysis whose trials or pooled numbers differ."""
    items: list[Change] = []
    for name in [*after, *(name for name in before if name not in after)]:
        words = _words(before.get(name), after.get(name))
        if words:
            title = (after.get(name) or before[name])["title"]
            items.append({"name": name if name in after else "", "title": title, "words": words})
    return items


def _words(before: AnalysisResult | None, after: AnalysisResult | None) -> str:
    if after is None:
        return "no longer asked"
    if before is None:
        return f"new: {_state(after)}"
    if before["measure"] != after["measure"]:
        return f"measure changed; now {_state(after)}"
    old, new = set(studies_of(before)), set(studies_of(after))
    parts = [
        f"{plural(len(studies), 'trial')} {verb}"
        for studies, verb in ((new - old, "added"), (old - new, "removed"))
        if studies
    ]
    if not _alike(before["headline"], after["headline"]):
        parts.append(f"before {_state(before)}; now {_state(after)}")
    return "; ".join(parts)


def _alike(one: Headline, two: Headline) -> bool:
    """Return whether two headlines say the same: their numbers, or that there is none."""
    if not (one["method"] and two["method"]):
        return one["method"] == two["method"]
    pairs = (
        (one["estimate"], two["estimate"]), (one["ci_low"], two["ci_low"]),
        (one["ci_high"], two["ci_high"]),
    )  # fmt: skip
    return one["k"] == two["k"] and all(
        a == b
        or (a is not None and b is not None and math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-12))
        for a, b in pairs
    )


def _state(result: AnalysisResult) -> str:
    if result["k"] == 0:
        return "no trial"
    led = result["headline"]
    trials, measure = trials_words(result["k"], led["pools"]), Measure(led["measure"])
    if not led["method"]:
        return trials
    interval = bounds_words(led["ci_low"], led["ci_high"], measure)
    return f"{trials}, {written(led['estimate'], measure)} ({interval})"
