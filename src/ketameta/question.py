"""One question without the whole report: its result, what a person reads of it, its figures.

A room of its own because the command line starts without it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketameta.analyses.sentences import interval_words, measure_words, written
from ketameta.errors import UsageError, did_you_mean
from ketameta.formatting import (
    MISSING,
    format_count,
    format_number,
    format_percent,
    plural,
    trials_words,
)
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.review.document import (
    Block,
    Bullets,
    Grid,
    Heading,
    Paragraph,
    Picture,
    as_html,
)

if TYPE_CHECKING:
    from ketameta.analyses.parts import Interval
    from ketameta.analyses.result import AnalysisResult, StudyRow
    from ketameta.report.plots import Plot


def answers(
    paths: ProjectPaths, analyses: Sequence[Path | str]
) -> Iterator[tuple[AnalysisResult, list[Plot]]]:
    """Yield the result of each analysis as a report publishes it, and its plots; write nothing.

    Parameters
    ----------
    paths : ProjectPaths
    analyses : sequence of Path or str
        Files, or names of files in ``analyses/``.

    Raises
    ------
    UsageError
        If there is no such analysis.
    ExtractionError, SpecError
        With every problem of the data or of the file.
    """
    from ketameta.analyses.next_trial import Related
    from ketameta.analyses.run import run_analysis
    from ketameta.analyses.spec_file import load_spec, load_specs
    from ketameta.inputs import InputTables, known_words, load_evidence
    from ketameta.report.plots import plots_of

    asked = [_file_of(paths, Path(name)) for name in analyses]
    evidence, _ = load_evidence(paths)
    project, known = evidence.project, known_words(evidence)
    specs = [load_spec(path, known, project) for path in asked]
    others = load_specs(paths.analyses, known, project) if paths.analyses.is_dir() else []
    tables = InputTables(evidence)
    related = Related({spec.name: spec for spec in (*others, *specs)}, tables.get)
    for spec in specs:
        result = run_analysis(spec, tables.get(spec.assume), evidence, related)
        yield result, plots_of(result, project)


def _file_of(paths: ProjectPaths, analysis: Path) -> Path:
    """Return the file of an analysis given by path or by name."""
    name = analysis.name.removesuffix(".toml")
    named = paths.analyses / f"{name}.toml"
    if analysis.is_file():
        return analysis
    if len(analysis.parts) == 1 and named.is_file():
        return named
    names = sorted(path.stem for path in paths.analyses.glob("*.toml"))
    why = "this is a folder" if analysis.is_dir() else "there is no such analysis file"
    raise UsageError(f"{analysis}: {why}{did_you_mean(name, names)}")


def result_json(result: object) -> str:
    """Return a result as the text of its published file."""
    return json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True)


def result_document(result: AnalysisResult, pictures: Sequence[Picture] = ()) -> list[Block]:
    """Return what a person reads of a result: answer, trials, caveats, other choices, the rest."""
    blocks: list[Block] = [
        Heading(result["title"], 1),
        Paragraph(result["question"]),
        Paragraph(" ".join(result["sentences"]), strong=True),
        *pictures,
    ]
    led = {
        str(part["headline"]["measure"])
        for part in (result, *result["groups"])
        if part["headline"] is not None and part["headline"]["method"]
    } - {str(result["measure"])}
    blocks += [
        Paragraph(
            f"The result above is an {measure_words(Measure(code))}, because events are few. The "
            f"tables below give the {measure_words(Measure(result['measure']))} of each trial and, "
            "beside the result, what the usual random-effects model makes of them."
        )
        for code in sorted(led)
    ]
    blocks += _groups(result)
    reasons = Counter(str(item["reason"]) for item in (*result["excluded"], *result["unused"]))
    left = [f"{reason}: {plural(count, 'row')}" for reason, count in reasons.most_common()]
    for title, items in (
        ("What limits it", [caveat["message"] for caveat in result["caveats"]]),
        ("Set aside, and why", left),
    ):
        if items:
            blocks += [Heading(title), Bullets(tuple(items))]
    measure = Measure(result["measure"])
    choices = [
        (item["label"], str(item["k"]), *_effect(item, measure)) for item in result["sensitivity"]
    ]
    if choices:
        columns = ("Choice", "Trials", result["measure_label"], _interval_name(result))
        blocks += [
            Heading("Other choices would give"),
            Grid(columns, tuple(choices), frozenset({1, 2, 3})),
        ]
    note = f" {result['note']}" if result["note"] else ""
    blocks.append(
        Paragraph(f"Evidence: {result['directness']}; question: {result['status']}.{note}")
    )
    return blocks


def _groups(result: AnalysisResult) -> Iterator[Block]:
    measure = Measure(result["measure"])
    columns = ("Trial", "People", result["measure_label"], _interval_name(result), "Weight")
    for group in result["groups"]:
        rows = [
            (
                str(row["label"]),
                format_count(row.get("n_participants")),
                *_effect(row, measure),
                MISSING if row.get("weight") is None else format_percent(row["weight"]),
            )
            for row in group["rows"]
        ]
        if group["pooled"] is not None and len(rows) > 1:
            pooled = _effect(group["pooled"], measure)
            led = group["headline"]
            name = trials_words(group["pooled"]["k"], led["pools"] if led is not None else 0)
            if led is not None and led["rule"]["code"] != "several_trials":
                name += ", usual model beside the result"
            rows.append((name, "", *pooled, ""))
        if rows:
            title = group["label"] or "Trials"
            yield Heading(title)
            yield Grid(columns, tuple(rows), frozenset({1, 2, 3, 4}))


def _effect(row: Interval | StudyRow, measure: Measure) -> tuple[str, str]:
    if row.get("estimate") is None:
        return MISSING, MISSING
    known = row.get("ci_low") is not None and row.get("ci_high") is not None
    interval = interval_words(row["ci_low"], row["ci_high"], measure) if known else MISSING
    return written(row["estimate"], measure), interval


def _interval_name(result: AnalysisResult) -> str:
    return f"{format_number(100 * result['level'], 0)}% CI"


def _axes(plot: Plot) -> Any:
    from ketameta import plots

    return getattr(plots, plot.kind)(plot.data)


def draw(plots: Sequence[Plot], path: Path) -> Path:
    """Draw the first plot of a result, its forest plot, into a file, whole or not at all."""
    from ketameta.plots import look

    with look.detached():
        return look.save(_axes(plots[0]), path, description=plots[0].words)


def write_page(paths: ProjectPaths, name: str) -> Path:
    """Write ``build/questions/<name>.html``: every figure and number of one question.

    Parameters
    ----------
    paths : ProjectPaths
    name : str
        Of an analysis, or the ``key`` of a ``[[question]]`` in ``project.toml``.
    """
    from ketameta.evidence.findings import read_toml
    from ketameta.evidence.project import load_project
    from ketameta.plots import look

    project = load_project(paths.root)
    pages = {page.key: page for page in project.question}
    files = sorted(paths.analyses.glob("*.toml"))
    names: Sequence[str] = pages[name].analyses if name in pages else (name,)
    if not pages and name in project.sections:  # without questions, each section is a page
        read = {path.stem: read_toml(path, path.name)[0] or {} for path in files}
        names = [stem for stem, written in read.items() if written.get("section") == name]
    elif name not in pages and not (paths.analyses / f"{name}.toml").is_file():
        known = [*(pages or project.sections), *(path.stem for path in files)]
        hint = did_you_mean(name, known)
        more = f" and {len(known) - 20} more" if len(known) > 20 else ""
        hint = hint or f"; there are {', '.join(known[:20])}{more}"
        raise UsageError(f"--only is {name!r}: no question or analysis{hint}")
    document: list[Block] = []
    for result, plots in answers(paths, names):
        with look.detached():
            pictures = [
                Picture(look.file_bytes(_axes(plot), "svg", name=plot.name), plot.words)
                for plot in plots
            ]
        document += result_document(result, pictures)
    first = next((block.text for block in document if isinstance(block, Heading)), "")
    title = pages[name].title if name in pages else str(first)
    target = paths.build / "questions" / f"{name}.html"
    write_atomically(target, as_html(document, title))
    return target
