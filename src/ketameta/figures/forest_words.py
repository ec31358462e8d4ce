"""The sentences of a forest plot: its footnotes and its text alternative."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.figures import style
from ketameta.figures.forest_columns import risk_letters
from ketameta.figures.numbers import ci_words, display_number
from ketameta.figures.text import clean_text
from ketameta.numberformat import format_count, format_percent, plural

if TYPE_CHECKING:
    from ketameta.figures.forest_rows import ForestContent
    from ketameta.figures.forest_value import ForestLayout, ForestRow

_CI_METHODS = {
    "wald": "Wald",
    "knapp-hartung": "Knapp–Hartung",
    "knapp-hartung-conservative": "Knapp–Hartung, never narrower than Wald",
}


def forest_footnotes(
    result: Mapping[str, Any],
    content: ForestContent,
    rows: Sequence[ForestRow],
    *,
    level: float,
    important: float | None,
    show_caveats: bool,
) -> list[str]:
    """Return the sentences under the plot, in order."""
    kinds = {row.kind for row in rows}
    notes = []
    legend = _legend(rows, kinds, level, str(result.get("row_meaning") or ""))
    if important is not None:
        value = display_number(important, content.digits, is_ratio=content.is_ratio)
        legend.append(f"Dashed line: minimal important difference ({value}).")
    if legend:
        notes.append(" ".join(legend))
    method = _method(result, level)
    if method:
        notes.append(method)
    if content.domains:
        letters = risk_letters(len(content.domains))
        named = "; ".join(
            f"{letter} {words}" for letter, (_, words) in zip(letters, content.domains, strict=True)
        )
        shown = {judgement for row in rows for judgement in row.risk_of_bias}
        symbols = ", ".join(
            f"{symbol or 'empty circle'} {words}"
            for judgement, (symbol, _, _, words) in style.RISK_OF_BIAS.items()
            if judgement in shown
        )
        notes.append(f"Risk of bias: {named}. {symbols[:1].upper()}{symbols[1:]}.")
    notes.extend(f"{letter}\u00a0\u00a0{text}" for letter, text in content.notes)
    if show_caveats:
        for caveat in result.get("caveats") or ():
            message = caveat.get("message") if isinstance(caveat, Mapping) else caveat
            if message:
                notes.append(clean_text(str(message)))
    return notes


def _legend(
    rows: Sequence[ForestRow], kinds: Collection[str], level: float, meaning: str
) -> list[str]:
    interval = ci_words(level)
    legend = []
    if any(row.x is not None for row in rows if row.kind == "study"):
        weighted = any(row.weight is not None for row in rows if row.kind == "study")
        size = ", area by weight" if weighted else ""
        legend.append(f"{meaning or 'Square: trial' + size}; line: {interval}.")
    if "overall" in kinds or "subgroup_pool" in kinds:
        dotted = " (dotted line)" if "overall" in kinds else ""
        legend.append(f"Diamond: pooled estimate{dotted} with {interval}.")
    if "prediction" in kinds:
        legend.append(f"Bar: {format_percent(level)} prediction interval.")
    if any(row.clipped_left or row.clipped_right for row in rows):
        legend.append("Arrowhead: runs past the axis.")
    if any(row.excluded for row in rows):
        legend.append("Grey: set aside, not pooled.")
    return legend


def _method(result: Mapping[str, Any], level: float) -> str:
    """Return how the pool was made, where the result says so."""
    pools = [result.get("pooled"), *(group.get("pooled") for group in result.get("groups", ()))]
    for pooled in pools:
        if not isinstance(pooled, Mapping) or (pooled.get("k") or 0) < 2:
            continue
        words = []
        if pooled.get("model") == "common":
            words.append("Common effect, inverse variance")
        elif pooled.get("tau2_method"):
            words.append(f"Random effects, τ² by {pooled['tau2_method']}")
        ci_method = _CI_METHODS.get(str(pooled.get("ci_method")))
        if ci_method:
            words.append(f"{ci_words(level)} by {ci_method}")
        return clean_text("; ".join(words)) + "." if words else ""
    return ""


def describe_forest(layout: ForestLayout) -> str:
    """Return the text alternative of a forest plot: what it shows, in numbers."""
    name = f"{layout.description}{': ' if layout.title else ''}{layout.title}."
    if layout.rows_of("empty") and not layout.rows_of("study"):
        looked = f" Looked for: {layout.looked_for}" if layout.looked_for else ""
        return f"{name} No eligible trials.{_stop(looked)}"
    people = (
        f", {format_count(layout.participants)} participants"
        if layout.participants is not None
        else ""
    )
    count = len(layout.rows_of("study")) if layout.rows_are_pools else layout.k
    what = plural(count, "pooled estimate" if layout.rows_are_pools else "trial")
    sentences = [name, f"{what}{people}; {layout.measure_label}."]
    overall = layout.rows_of("overall")
    if overall:
        sentences.append(f"Pooled estimate {_interval(layout, overall[0])}.")
        for row in layout.rows_of("prediction"):
            if row.group is None:
                low, high = _write(layout, row.low), _write(layout, row.high)
                sentences.append(
                    f"{format_percent(layout.level)} prediction interval {low} to {high}."
                )
    elif layout.rows_of("single"):
        only = next(row for row in layout.rows_of("study") if not row.excluded)
        sentences.append(f"One trial, not pooled: {only.label} {_interval(layout, only)}.")
    sentences.extend(_group_sentences(layout))
    used = [row for row in layout.rows_of("study") if row.estimate is not None and not row.excluded]
    if len(used) > 1:
        ordered = sorted(used, key=lambda row: row.estimate or 0.0)
        lowest, highest = (
            f"{_write(layout, row.estimate)} ({row.label})" for row in (ordered[0], ordered[-1])
        )
        which = "They" if layout.rows_are_pools else "Single trials"
        sentences.append(f"{which} range from {lowest} to {highest}.")
    for row in layout.rows_of("heterogeneity"):
        if row.group is None:
            sentences.append(f"{row.label}.")
    sentences.extend(f"{row.label}." for row in layout.rows_of("subgroup_test"))
    left, right = layout.direction_words
    null = display_number(layout.null, 0)
    if left:
        sentences.append(f"Values below {null}: {left[:1].lower()}{left[1:]}.")
    if right:
        sentences.append(f"Values above {null}: {right[:1].lower()}{right[1:]}.")
    aside = sum(row.excluded for row in layout.rows)
    if aside:
        sentences.append(f"{plural(aside, 'trial')} set aside and shown in grey.")
    return " ".join(sentences).replace("\u00a0", " ")


def _group_sentences(layout: ForestLayout) -> list[str]:
    headers = layout.rows_of("subgroup_header")
    sentences = []
    for header in headers:
        rows = [row for row in layout.rows if row.group == header.group]
        pool = next((row for row in rows if row.kind == "subgroup_pool"), None)
        studies = [row for row in rows if row.kind == "study" and not row.excluded]
        if pool is not None:
            sentences.append(
                f"{header.label}: {_interval(layout, pool)}, {plural(len(studies), 'trial')}."
            )
        elif not studies:
            sentences.append(f"{header.label}: no eligible trials.")
        elif len(studies) == 1:
            sentences.append(f"{header.label}: one trial, {_interval(layout, studies[0])}.")
        else:
            sentences.append(f"{header.label}: {plural(len(studies), 'trial')}, not pooled.")
    return sentences


def _write(layout: ForestLayout, value: float | None) -> str:
    return display_number(value, layout.digits, is_ratio=layout.is_ratio)


def _interval(layout: ForestLayout, row: ForestRow) -> str:
    if row.estimate is None:
        return "not estimable"
    text = _write(layout, row.estimate)
    if row.low is None or row.high is None:
        return text
    interval = f"{_write(layout, row.low)} to {_write(layout, row.high)}"
    return f"{text} ({ci_words(layout.level)} {interval})"


def _stop(sentence: str) -> str:
    return sentence if not sentence or sentence.endswith(".") else f"{sentence}."
