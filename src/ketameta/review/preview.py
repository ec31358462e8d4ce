"""What a batch would change: its new effects, the analyses it enters, each before and after.

Computes in memory and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketameta.errors import ExtractionError, UsageError, did_you_mean
from ketameta.evidence import Evidence
from ketameta.extraction import batch_folders
from ketameta.numberformat import plural
from ketameta.paths import ProjectPaths
from ketameta.review.compare import AnalysisChange, compare_results
from ketameta.review.moments import LeftRow, Moments, effect_words, is_of, without_files
from ketameta.schema import BATCH_TABLES
from ketameta.study_facts import Assumptions

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.findings import Finding

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NewEffect:
    """An effect size that the batch adds.

    Attributes
    ----------
    effect_id, comparison, outcome, instrument, measure, route, assumption, source : str
    days : float or None
    estimate, se : float
        On the analysis scale.
    analyses : tuple of str
        Titles of the analyses it enters.
    """

    effect_id: str
    comparison: str
    outcome: str
    instrument: str
    days: float | None
    measure: str
    estimate: float
    se: float
    route: str
    assumption: str
    source: str
    analyses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a batch would change.

    Attributes
    ----------
    batch : str
    rows : mapping of str to int
        Rows of the batch by table.
    changes : tuple of AnalysisChange
        Analyses that differ, in report order.
    unchanged : tuple of str
        Titles of the others.
    effects : tuple of NewEffect
    unused, set_aside : tuple of LeftRow
    claims : tuple of (str, str, str)
        Claim, verdict before and verdict after, where they differ.
    warnings : tuple of Finding
        What the checks say about the batch.
    results : mapping of str to (dict, dict)
        The results behind ``changes``, before and after.
    """

    batch: str
    rows: Mapping[str, int]
    changes: tuple[AnalysisChange, ...]
    unchanged: tuple[str, ...]
    effects: tuple[NewEffect, ...]
    unused: tuple[LeftRow, ...]
    set_aside: tuple[LeftRow, ...]
    claims: tuple[tuple[str, str, str], ...]
    warnings: tuple[Finding, ...]
    results: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]


def preview_batch(paths: ProjectPaths, batch: str | Path, *, say: Say = lambda _: None) -> Preview:
    """Return what a batch changes, compared with the project without it.

    Parameters
    ----------
    paths : ProjectPaths
    batch : str or Path
        Name or folder of a batch; it may lie outside the project.
    say : callable
        Called with one line per step.

    Raises
    ------
    UsageError
        If there is no such folder.
    ExtractionError
        If the checks find errors, with all of them.
    """
    from ketameta.analyses import load_specs
    from ketameta.inputs import known_words

    folder = find_batch(paths, batch)
    say("Reading and checking")
    after, warnings = _checked(paths, folder)
    prefix = f"{paths.relative(folder)}/"
    before = without_files(after, prefix)
    own = {
        name: sum(is_of(row.file, prefix) for row in rows) for name, rows in after.tables.items()
    }
    specs = load_specs(paths.analyses, known_words(after))
    moments = Moments(before, after)
    changes: list[AnalysisChange] = []
    unchanged: list[str] = []
    results: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    entered: dict[str, list[str]] = {}
    set_aside: list[LeftRow] = []
    for spec in specs:
        if not moments.touches(spec, prefix):
            unchanged.append(spec.title)
            continue
        used, left = moments.selected(spec, prefix)
        set_aside.extend(left)
        for effect in used:
            entered.setdefault(effect, []).append(spec.title)
        if not moments.differs(spec):
            unchanged.append(spec.title)
            continue
        say(f"Computing {spec.name}, before and after")
        pair = moments.results(spec)
        results[spec.name] = pair
        changes.append(compare_results(*pair))
    return Preview(
        batch=prefix.rstrip("/"),
        rows={name: count for name, count in own.items() if count},
        changes=tuple(change for change in changes if change.is_changed),
        unchanged=tuple(unchanged) + tuple(c.title for c in changes if not c.is_changed),
        effects=tuple(_new_effects(moments, specs, prefix, entered)),
        unused=tuple(_unused(moments.own_table(Assumptions(), prefix), prefix)),
        set_aside=tuple(set_aside),
        claims=_claims(paths, specs, moments, results),
        warnings=warnings,
        results=results,
    )


def find_batch(paths: ProjectPaths, batch: str | Path) -> Path:
    """Return the folder of a batch given by name or path.

    Raises
    ------
    UsageError
        If there is none, or it holds no table; the message lists the batches.
    """
    tables = [f"{table.name}.csv" for table in BATCH_TABLES]
    folders = [
        candidate
        for candidate in (Path(batch), paths.root / batch, paths.extracted / batch)
        if candidate.is_dir()
    ]
    for candidate in folders:
        if any((candidate / name).is_file() for name in tables):
            return candidate
    names = [folder.name for folder in batch_folders(paths)]
    listed = f"the batches are {', '.join(names)}" if names else "the project has no batch yet"
    if folders:
        raise UsageError(f"{batch}: the folder holds no table ({', '.join(tables)}); {listed}")
    raise UsageError(
        f"{batch}: there is no such batch folder; {listed}{did_you_mean(Path(batch).name, names)}"
    )


def _checked(paths: ProjectPaths, folder: Path) -> tuple[Evidence, tuple[Finding, ...]]:
    """Return the evidence with the batch, and the warnings about it; errors stop here."""
    from ketameta.checks import checked_evidence, format_findings, run_checks

    inside = any(folder.resolve() == known.resolve() for known in batch_folders(paths))
    report, evidence = checked_evidence(paths, None if inside else [folder])
    if report.errors:
        text = format_findings(report)
        raise ExtractionError(
            f"{text}\n\nThe batch cannot be previewed before its errors are mended.",
            report.findings,
        )
    if not inside:
        # The report of a chosen folder speaks of it alone: the rest must be free of errors too.
        rest = run_checks(paths)
        if rest.errors:
            raise ExtractionError(format_findings(rest), rest.findings)
    name = f"{paths.relative(folder)}/"
    return evidence, tuple(finding for finding in report.warnings if finding.file.startswith(name))


def _new_effects(
    moments: Moments,
    specs: Sequence[AnalysisSpec],
    prefix: str,
    entered: Mapping[str, Sequence[str]],
) -> list[NewEffect]:
    """Return the effects with a row of the batch behind them, assumed ones where they are used."""
    rows: dict[str, dict[str, Any]] = {}
    for assumed in dict.fromkeys([Assumptions(), *(spec.assume for spec in specs)]):
        for row in moments.own_table(assumed, prefix).effects.to_dict("records"):
            name = str(row["effect_id"])
            wanted = not row["assumption"] or name in entered
            if wanted and is_of(str(row["source"]), prefix):
                rows.setdefault(name, row)
    return [
        NewEffect(
            effect_id=name,
            comparison=f"{row['study_id']}: {row['arm_id']} v {row['comparator_arm_id']}",
            outcome=str(row["outcome"]),
            instrument=str(row["instrument"]),
            days=float(row["time_days"]) if row["time_days"] == row["time_days"] else None,
            measure=str(row["measure"]),
            estimate=float(row["estimate"]),
            se=float(row["variance"]) ** 0.5,
            route=str(row["route"]),
            assumption=str(row["assumption"]),
            source=str(row["source"]),
            analyses=tuple(dict.fromkeys(entered.get(name, ()))),
        )
        for name, row in rows.items()
    ]


def _unused(table: EffectTable, prefix: str) -> list[LeftRow]:
    """Return the rows of the batch that yield no effect."""
    unused: pd.DataFrame = table.unused
    return [
        LeftRow(str(row["source"]), effect_words(row), str(row["reason"]))
        for row in unused.to_dict("records")
        if is_of(str(row["source"]), prefix)
    ]


def _claims(
    paths: ProjectPaths,
    specs: Sequence[AnalysisSpec],
    moments: Moments,
    results: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
) -> tuple[tuple[str, str, str], ...]:
    """Return the public claims whose verdict differs."""
    from ketameta.analyses.claims import verdict
    from ketameta.analyses.claims_file import load_claims

    by_name = {spec.name: spec for spec in specs}
    found = []
    for claim in load_claims(paths.data / "claims.toml", list(by_name)):
        if not any(name in results for name in claim.analyses):
            continue
        pairs = {name: moments.results(by_name[name]) for name in claim.analyses}
        one = verdict(claim, {name: pair[0] for name, pair in pairs.items()})
        two = verdict(claim, {name: pair[1] for name, pair in pairs.items()})
        if one != two:
            found.append((claim.claim, one, two))
    return tuple(found)


def rows_words(rows: Mapping[str, int]) -> str:
    """Return ``1 row in studies, 2 rows in arms``."""
    return ", ".join(f"{plural(count, 'row')} in {table}" for table, count in rows.items())
