"""The sentences of a forest plot: its notes and its text alternative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ketameta.formatting import format_count, format_percent, plural
from ketameta.plots import look

if TYPE_CHECKING:
    from ketameta.plots.forest import Forest
    from ketameta.plots.forest_layout import ForestLayout
    from ketameta.plots.forest_rows import ForestRow, Reader


def risk_letters(count: int) -> tuple[str, ...]:
    """Return the letters over the risk-of-bias circles: A, B, C, ..."""
    return tuple(chr(ord("A") + index % 26) for index in range(count))


def footnotes(reader: Reader, rows: Sequence[ForestRow], *, labelled: bool) -> list[str]:
    """Return the sentences under the plot, in order."""
    forest, scale = reader.forest, reader.forest.scale
    kinds = {row.kind for row in rows}
    legend = []
    if any(row.kind == "study" and row.estimate is not None for row in rows):
        weighted = any(row.weight is not None for row in rows if row.kind == "study")
        square = f"Square: trial{', area by weight' if weighted else ''}"
        if not labelled:
            count = plural(len(forest.trials), "trial")
            square = f"{count}, sorted, without names; square: estimate"
        legend.append(f"{forest.meaning or square}; line: {scale.interval_words}.")
    if kinds & {"overall", "subgroup_pool"}:
        dotted = " (dotted line)" if "overall" in kinds else ""
        legend.append(f"Diamond: pooled estimate{dotted} with {scale.interval_words}.")
    if "prediction" in kinds:
        legend.append(f"Bar: {format_percent(scale.level)} prediction interval.")
    if any(row.cut_low or row.cut_high for row in rows):
        legend.append("Arrowhead: runs past the axis.")
    if any(row.excluded for row in rows):
        legend.append("Grey: set aside, not pooled.")
    if forest.important is not None:
        value = scale.write(forest.important, reader.write.digits)
        legend.append(f"Dashed line: minimal important difference ({value}).")
    notes = [" ".join(legend), _method(forest)]
    if forest.domains and labelled:
        letters = risk_letters(len(forest.domains))
        named = "; ".join(
            f"{letter} {words}" for letter, (_, words) in zip(letters, forest.domains, strict=True)
        )
        shown = {judgement for row in rows for judgement in row.risk_of_bias}
        signs = ", ".join(
            f"{sign or 'empty circle'} {words}"
            for judgement, (sign, _, _, words) in look.RISK_OF_BIAS.items()
            if judgement in shown
        )
        notes.append(f"Risk of bias: {named}. {signs[:1].upper()}{signs[1:]}.")
    notes += [f"{letter}\u00a0\u00a0{text}" for text, letter in reader.letters.items()]
    notes += [look.clean(note) for note in forest.notes]
    return [note for note in notes if note]


CI_METHODS = {
    "wald": "Wald",
    "knapp-hartung": "Knapp–Hartung",
    "knapp-hartung-conservative": "Knapp–Hartung, never narrower than Wald",
}


def _method(forest: Forest) -> str:
    """Return how the pool was made, where it says so."""
    for pool in (forest.pool, *(group.pool for group in forest.groups)):
        if pool is None or (pool.k or 0) < 2:
            continue
        words = []
        if pool.model == "common":
            words.append("Common effect, inverse variance")
        elif pool.model == "bayes":
            words.append("Bayesian random effects; credible intervals")
        elif pool.tau2_method:
            words.append(f"Random effects, τ² by {pool.tau2_method}")
        method = CI_METHODS.get(str(pool.ci_method))
        if method:
            words.append(f"{forest.scale.interval_words} by {method}")
        return f"{'; '.join(words)}." if words else ""
    return ""


def describe_layout(layout: ForestLayout) -> str:
    """Return a laid-out forest plot in sentences."""
    forest, scale = layout.forest, layout.forest.scale
    name = f"{forest.description}{': ' if forest.title else ''}{forest.title}."
    if layout.rows_of("empty") and not layout.rows_of("study"):
        looked = forest.looked_for.rstrip(".")
        return f"{name} No eligible trials.{f' Looked for: {looked}.' if looked else ''}"
    people = layout.participants
    several = layout.rows_of("study")
    count = len(several) if forest.rows_are_pools else layout.k
    what = plural(count, "pooled estimate" if forest.rows_are_pools else "trial")
    who = f", {format_count(people)} participants" if people is not None else ""
    sentences = [name, f"{what}{who}; {scale.label}."]
    overall = layout.rows_of("overall")
    if overall:
        sentences.append(f"Pooled estimate {_interval(layout, overall[0])}.")
        sentences += [
            f"{format_percent(scale.level)} prediction interval {_write(layout, row.low)} to"
            f" {_write(layout, row.high)}."
            for row in layout.rows_of("prediction")
            if row.group is None
        ]
    elif layout.rows_of("single"):
        only = next(row for row in several if not row.excluded)
        sentences.append(f"One trial, not pooled: {only.label} {_interval(layout, only)}.")
    sentences += _group_sentences(layout)
    used = [row for row in several if row.estimate is not None and not row.excluded]
    if len(used) > 1:
        ordered = sorted(used, key=lambda row: row.estimate or 0.0)
        ends = [
            f"{_write(layout, row.estimate)} ({row.label})" for row in (ordered[0], ordered[-1])
        ]
        which = "They" if forest.rows_are_pools else "Single trials"
        sentences.append(f"{which} range from {ends[0]} to {ends[1]}.")
    sentences += [f"{row.label}." for row in layout.rows_of("heterogeneity") if row.group is None]
    sentences += [f"{row.label}." for row in layout.rows_of("subgroup_test")]
    null = scale.write(scale.no_effect, 0)
    for where, words in zip(("below", "above"), scale.favours, strict=True):
        if words and scale.has_null:
            sentences.append(f"Values {where} {null}: {words[:1].lower()}{words[1:]}.")
    aside = sum(row.excluded for row in layout.rows)
    if aside:
        sentences.append(f"{plural(aside, 'trial')} set aside and shown in grey.")
    return " ".join(sentences).replace("\u00a0", " ")


def _group_sentences(layout: ForestLayout) -> list[str]:
    sentences = []
    for header in layout.rows_of("subgroup_header"):
        rows = [row for row in layout.rows if row.group == header.group]
        pool = next((row for row in rows if row.kind == "subgroup_pool"), None)
        trials = [row for row in rows if row.kind == "study" and not row.excluded]
        count = plural(len(trials), "trial")
        if pool is not None:
            words = f"{_interval(layout, pool)}, {count}"
        elif not trials:
            words = "no eligible trials"
        elif len(trials) == 1:
            words = f"one trial, {_interval(layout, trials[0])}"
        else:
            words = f"{count}, not pooled"
        sentences.append(f"{header.label}: {words}.")
    return sentences


def _write(layout: ForestLayout, value: float | None) -> str:
    return layout.forest.scale.write(value, layout.digits)


def _interval(layout: ForestLayout, row: ForestRow) -> str:
    if row.estimate is None:
        return "not estimable"
    text = _write(layout, row.estimate)
    if row.low is None or row.high is None:
        return text
    ends = f"{_write(layout, row.low)} to {_write(layout, row.high)}"
    return f"{text} ({layout.forest.scale.interval_words} {ends})"
