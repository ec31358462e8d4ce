"""One analysis before and after, and the present data against a published release."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ketameta.analyses.result import AnalysisResult, Headline, StudyRow
from ketameta.analyses.sentences import interval_words, measure_words, written
from ketameta.errors import UsageError, did_you_mean
from ketameta.formatting import MISSING, format_count, format_number, plural
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph, Picture

#: Two builds of the same data may differ by so much, relative to the number: another library
#: version adds in another order.
SAME = 1e-9
#: Numbers of a pooled result that are compared.
Leading = Literal["estimate", "ci_low", "ci_high", "tau", "pi_low", "pi_high"]
_LEADS: tuple[Leading, ...] = ("estimate", "ci_low", "ci_high", "tau", "pi_low", "pi_high")


@dataclass(frozen=True, slots=True)
class Side:
    """An analysis (no label), or one of its groups, at one moment: numbers on its own scale."""

    label: str
    k: int
    people: int | None
    measure: Measure
    numbers: Mapping[Leading, float | None]
    conclusion: str

    @property
    def prediction_includes_null(self) -> bool | None:
        """Whether the prediction interval includes no difference; None where there is none."""
        low, high = self.numbers["pi_low"], self.numbers["pi_high"]
        return None if low is None or high is None else low <= 0 <= high

    def written(self) -> tuple[str, ...]:
        """Return k, people, estimate, interval, tau and prediction interval as printed."""
        if self.k == 0:
            return ("0", "0", *([MISSING] * 4))
        value = self.numbers
        interval = prediction = MISSING
        if value["ci_low"] is not None and value["ci_high"] is not None:
            interval = interval_words(value["ci_low"], value["ci_high"], self.measure)
        if value["pi_low"] is not None and value["pi_high"] is not None:
            prediction = interval_words(value["pi_low"], value["pi_high"], self.measure)
        return (
            str(self.k),
            format_count(self.people),
            MISSING if value["estimate"] is None else written(value["estimate"], self.measure),
            interval,
            format_number(value["tau"]),
            prediction,
        )


#: Column names of :meth:`Side.written`.
WRITTEN = ("k", "people", "estimate", "95% CI", "τ", "95% PI")


@dataclass(frozen=True, slots=True)
class AnalysisChange:
    """One analysis before and after: the whole first, where it pools everything; then its groups.

    Trials that came, went or have other numbers are named by their labels.
    """

    results: tuple[AnalysisResult | None, AnalysisResult | None]
    entered: tuple[str, ...]
    left: tuple[str, ...]
    altered: tuple[str, ...]

    @property
    def there(self) -> AnalysisResult:
        """The later of the results that are there."""
        before, after = self.results
        there = after if after is not None else before
        if there is None:
            raise ValueError("one of the two results is needed")
        return there

    @property
    def name(self) -> str:
        """Name of the analysis."""
        return self.there["name"]

    @property
    def title(self) -> str:
        """Title of the analysis."""
        return self.there["title"]

    @property
    def before(self) -> tuple[Side, ...]:
        """The analysis and its groups before."""
        return tuple(sides(self.results[0])) if self.results[0] is not None else ()

    @property
    def after(self) -> tuple[Side, ...]:
        """The analysis and its groups after."""
        return tuple(sides(self.results[1])) if self.results[1] is not None else ()

    @property
    def pairs(self) -> tuple[tuple[Side | None, Side | None], ...]:
        """The sides of the same label, before and after."""
        before = {side.label: side for side in self.before}
        after = {side.label: side for side in self.after}
        labels = dict.fromkeys((*after, *before))
        return tuple((before.get(label), after.get(label)) for label in labels)

    @property
    def changed_pairs(self) -> tuple[tuple[Side | None, Side | None], ...]:
        """The sides that differ; all of them where only trials came or went."""
        return tuple(pair for pair in self.pairs if _differ(*pair)) or self.pairs

    @property
    def is_changed(self) -> bool:
        """Whether any number, trial or conclusion differs."""
        came_or_went = self.entered or self.left or self.altered
        return bool(came_or_went) or any(_differ(*pair) for pair in self.pairs)

    @property
    def new_predictions(self) -> tuple[str, ...]:
        """Sentences on prediction intervals that now include no difference, or no longer do."""
        sentences = []
        for one, two in self.pairs:
            if one is None or two is None:
                continue
            was, now = one.prediction_includes_null, two.prediction_includes_null
            if was is not None and now is not None and was != now:
                verb = "now includes" if now else "no longer includes"
                about = f"{two.label}: the" if two.label else "The"
                sentences.append(
                    f"{about} prediction interval for a new trial {verb} no difference."
                )
        return tuple(sentences)

    @property
    def new_conclusions(self) -> tuple[tuple[str, str, str], ...]:
        """Label, conclusion before and after, where both are there and differ."""
        return tuple(
            (two.label, one.conclusion, two.conclusion)
            for one, two in self.pairs
            if one is not None and two is not None and one.conclusion != two.conclusion
        )

    @property
    def new_groups(self) -> tuple[Side, ...]:
        """Groups that were not there before."""
        return tuple(two for one, two in self.pairs if one is None and two is not None)

    @property
    def lost_groups(self) -> tuple[str, ...]:
        """Labels of groups that are no longer there."""
        return tuple(one.label for one, two in self.pairs if two is None and one is not None)


def compare_results(before: AnalysisResult | None, after: AnalysisResult | None) -> AnalysisChange:
    """Return one analysis before and after; either may be missing, not both."""
    old, new = ({} if result is None else dict(_rows(result)) for result in (before, after))
    labels = {study: row["label"] for rows in (old, new) for (study, _), row in rows.items()}

    def named(keys: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(labels[study] for study, _ in keys))

    return AnalysisChange(
        (before, after),
        named(key for key in new if key not in old),
        named(key for key in old if key not in new),
        named(key for key in new if key in old and not _same_numbers(new[key], old[key])),
    )


def sides(result: AnalysisResult) -> Iterator[Side]:
    """Yield the whole analysis and its groups; only groups where they are not pooled together."""
    measure = Measure(result["measure"])
    if result["pooled"] is not None or result["k"] == 0 or not _grouped(result):
        yield _side("", result["k"], result["n_participants"], result["headline"], measure)
    for group in result["groups"] if _grouped(result) else ():
        rows = group["rows"]
        sizes = [row["n_participants"] for row in rows if row["n_participants"] is not None]
        yield _side(group["label"] or "", len(rows), sum(sizes), group["headline"], measure)


def _grouped(result: AnalysisResult) -> bool:
    return any(group["label"] for group in result["groups"])


def _side(
    label: str, k: int, people: int | None, headline: Headline | None, measure: Measure
) -> Side:
    numbers: dict[Leading, float | None] = dict.fromkeys(_LEADS)
    if headline is not None and headline["method"]:
        numbers = {name: headline[name] for name in _LEADS}
        measure = Measure(headline["measure"])
    # Trials of unknown size are not trials without people.
    return Side(
        label, k, people or (None if k else 0), measure, numbers, conclusion(k, headline)
    )  # fmt: skip


def conclusion(k: int, headline: Headline | None) -> str:
    """Return what a result says about the direction, in words."""
    if k == 0:
        return "no eligible trial"
    if headline is None or not headline["method"]:
        return "different measurements, not pooled together"
    return f"one trial; {headline['direction']}" if k == 1 else headline["direction"]


def _rows(result: AnalysisResult) -> Iterator[tuple[tuple[str, str], StudyRow]]:
    for group in result["groups"]:
        for row in group["rows"]:
            yield (row["study_id"], row["group"]), row


def _differ(one: Side | None, two: Side | None) -> bool:
    if one is None or two is None:
        return True
    if (one.k, one.people, one.conclusion) != (two.k, two.people, two.conclusion):
        return True
    return not all(close(one.numbers[name], two.numbers[name]) for name in _LEADS)


def _same_numbers(one: StudyRow, two: StudyRow) -> bool:
    return close(one["estimate"], two["estimate"]) and close(one["se"], two["se"])


def close(one: float | None, two: float | None) -> bool:
    """Return whether two numbers, or two missing ones, are the same."""
    if one is None or two is None:
        return one is two
    return math.isclose(one, two, rel_tol=SAME, abs_tol=SAME)


def change_words(change: AnalysisChange) -> str:
    """Return which trials came and went, in words."""
    parts = [
        f"{verb} {', '.join(labels)}"
        for verb, labels in (
            ("enters with", change.entered),
            ("loses", change.left),
            ("with other numbers:", change.altered),
        )
        if labels
    ]
    return "; ".join(parts) or "the same trials"


def count_words(changes: int, checked: int) -> str:
    """Return ``2 of 35 analyses change``."""
    verb = "changes" if changes == 1 else "change"
    return f"{changes} of {plural(checked, 'analysis', 'analyses')} {verb}"


#: Figures of one analysis, before and after.
Figures = Callable[[AnalysisChange], Sequence[Picture]]
_NUMBERS = frozenset(range(2, 2 + len(WRITTEN)))


def no_figures(_: AnalysisChange) -> Sequence[Picture]:
    """Return no picture, whatever the analysis."""
    return ()


def changes_blocks(changes: Sequence[AnalysisChange], figures: Figures = no_figures) -> list[Block]:
    """Return one section per analysis: numbers before and after, conclusion, figures."""
    blocks: list[Block] = []
    for change in changes:
        blocks += [
            Heading(f"{change.title} ({change.there['directness']} evidence)"),
            Paragraph(f"{change_words(change)[:1].upper()}{change_words(change)[1:]}."),
            Grid(("", "", *WRITTEN), tuple(_side_rows(change)), _NUMBERS),
        ]
        blocks += [
            Paragraph(
                f"{f'{label}: the' if label else 'The'} conclusion changes from '{one}' to "
                f"'{two}'.",
                strong=True,
            )
            for label, one, two in change.new_conclusions
        ]
        blocks += [
            Paragraph(f"{side.label} (a new group): {side.conclusion}.")
            for side in change.new_groups
        ]
        blocks += [Paragraph(f"{label}: no trial is left.") for label in change.lost_groups]
        kept = [
            f"{f'{two.label}: ' if two.label else ''}{two.conclusion}"
            for one, two in change.changed_pairs
            if one is not None and two is not None and one.conclusion == two.conclusion
        ]
        if kept:
            blocks.append(Paragraph(f"Conclusion unchanged: {'; '.join(kept)}."))
        blocks += [Paragraph(sentence) for sentence in change.new_predictions]
        blocks.extend(figures(change))
    return blocks


def _side_rows(change: AnalysisChange) -> Iterable[tuple[str, ...]]:
    for one, two in change.changed_pairs:
        shown = two or one
        # What leads may be another ratio than the one that was asked for.
        label = shown.label or shown.measure.label  # type: ignore[union-attr]
        turned = one is not None and two is not None and one.measure != two.measure
        for moment, side in (("before", one), ("after", two)):
            cells = side.written() if side is not None else ("not there", *[""] * 5)
            when = f"{moment} ({measure_words(side.measure)})" if turned and side else moment
            yield (label if moment == "before" else "", when, *cells)


Say = Callable[[str], None]
#: What a results file must hold to be compared.
_NEEDED = ("name", "title", "directness", "measure", "favours", "k", "groups", "pooled")


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed since a release: analyses that differ, are new or gone; how many do not."""

    release: str
    changes: tuple[AnalysisChange, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    same: int


def diff_release(paths: ProjectPaths, release: str | Path, *, say: Say = lambda _: None) -> Diff:
    """Return what the present data say otherwise than a release.

    That is one of ``reports/releases``, or any folder with results files, such as ``reports``.
    Raises :class:`UsageError` where there is none or a file in it is no result, and
    :class:`ExtractionError` where the present data have errors.
    """
    from ketameta.analyses.run import run_analysis
    from ketameta.analyses.spec_file import load_specs
    from ketameta.inputs import InputTables, known_words, load_evidence

    folder = find_release(paths, release)
    published = read_results(folder)
    say("Reading and checking")
    evidence, _ = load_evidence(paths)
    specs = load_specs(paths.analyses, known_words(evidence), evidence.project)
    tables = InputTables(evidence)
    specs_by_name = {spec.name: spec for spec in specs}
    changes: list[AnalysisChange] = []
    for name, spec in specs_by_name.items():
        if name not in published:
            continue
        say(f"Computing {name}")
        now = run_analysis(spec, tables.get(spec.assume), evidence)
        changes.append(compare_results(published[name], now))
    return Diff(
        str(release),
        tuple(change for change in changes if change.is_changed),
        tuple(spec.title for spec in specs if spec.name not in published),
        tuple(r["title"] for name, r in published.items() if name not in specs_by_name),
        sum(not change.is_changed for change in changes),
    )


def find_release(paths: ProjectPaths, release: str | Path) -> Path:
    """Return the folder with the results files of a release; raise with a list of them."""
    releases = paths.reports / "releases"
    for base in (releases / release, Path(release), paths.root / release):
        for folder in (base / "results", base):
            if folder.is_dir() and any(folder.glob("*.json")):
                return folder
    known = sorted(item.name for item in releases.glob("*")) if releases.is_dir() else []
    listed = f"the releases are {', '.join(known)}" if known else "no release is published yet"
    raise UsageError(
        f"{release}: there are no results; {listed}, and any folder with results files will do, "
        f"such as reports{did_you_mean(str(release), known)}"
    )


def read_results(folder: Path) -> dict[str, AnalysisResult]:
    """Return the results of a folder by name; raise with every file that is no result."""
    results: dict[str, AnalysisResult] = {}
    problems = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"{path.name}: cannot be read as JSON ({error})")
            continue
        absent = [key for key in _NEEDED if not isinstance(result, dict) or key not in result]
        if absent:
            problems.append(f"{path.name}: is no result of an analysis; it lacks {absent[0]}")
        else:
            results[result["name"]] = result
    if problems:
        raise UsageError("\n".join(problems))
    return results


def diff_document(diff: Diff, figures: Figures = no_figures) -> Document:
    """Return the comparison of the present data with a published release."""
    changes, same = diff.changes, diff.same
    checked = len(changes) + len(diff.added) + len(diff.removed) + same
    blocks: list[Block] = [
        Heading(f"What changed since {diff.release}", 1),
        Paragraph(f"{count_words(len(changes), checked)}, {same} are the same.", strong=True),
    ]
    for title, names in (
        ("New analyses", diff.added),
        ("Analyses that are gone", diff.removed),
    ):
        if names:
            blocks += [Heading(title), Bullets(tuple(names))]
    return [*blocks, *changes_blocks(changes, figures)]


def forest_pictures(change: AnalysisChange) -> Sequence[Picture]:
    """Return the forest plots of one analysis before and after; none where one is missing.

    Where both have something to plot they share the wider of their axes, so that a reader can
    compare them by eye.
    """
    from ketameta.plots import look
    from ketameta.plots.forest import describe_layout, draw
    from ketameta.plots.forest_layout import lay_out
    from ketameta.report.plots import forest_data

    before, after = change.results
    if before is None or after is None:
        return ()
    forests = [forest_data(result) for result in (before, after)]
    layouts = [lay_out(forest) for forest in forests]
    axes = [layout.axis for layout in layouts if layout.axis is not None]
    if len(axes) == len(layouts):
        ends = (min(axis.low for axis in axes), max(axis.high for axis in axes))
        layouts = [lay_out(forest, xlim=ends) for forest in forests]
    pictures = []
    with look.detached():
        for moment, layout in zip(("Before", "After"), layouts, strict=True):
            svg = look.file_bytes(draw(layout), "svg", name=f"{change.name}-{moment}")
            pictures.append(Picture(svg, f"{moment}: {describe_layout(layout)}", moment))
    return tuple(pictures)
