"""Reads one analysis result and says, row by row, what a forest plot writes and marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.figures.forest_cells import ALL_WEIGHT, CellWriter, known_sum
from ketameta.figures.forest_input import (
    common_name,
    is_ratio_result,
    mixed_directness,
    participants,
    pooled_of,
    result_groups,
    risk_domains,
    total_weight,
)
from ketameta.figures.forest_rows import (
    NO_TRIALS,
    NOT_POOLED,
    ONE_TRIAL,
    SET_ASIDE,
    TWO_TRIALS,
    ForestContent,
    RowContent,
    RowKind,
)
from ketameta.figures.numbers import (
    cochran_text,
    display,
    display_digits,
    finite,
    heterogeneity_text,
)
from ketameta.figures.text import clean_text
from ketameta.numberformat import MISSING, format_count, format_percent


def read_result(
    result: Mapping[str, Any], *, show_means: bool = False, group_predictions: bool | None = None
) -> ForestContent:
    """Return the rows of ``result`` from top to bottom, every text already written.

    Parameters
    ----------
    result : mapping
        One analysis result; see :func:`ketameta.figures.layout.lay_out_forest`.
    show_means : bool
        Write mean and standard deviation of each arm where the result has them.
    group_predictions : bool, optional
        Show a prediction interval under each subgroup; by default only where there is no
        overall one.

    Raises
    ------
    UsageError
        If ``groups`` is missing or is not a list of groups with rows.
    """
    groups = result_groups(result)
    is_ratio = is_ratio_result(result)
    level = float(result.get("level") or 0.95)
    rows_in = [row for group in groups for row in group["rows"]]
    writer = _cell_writer(rows_in, is_ratio, show_means)
    domains = risk_domains(result, rows_in)
    reader = _Reader(writer, level, mixed_directness(rows_in), domains)
    content: list[RowContent] = []
    titled = len(groups) > 1 or any(group.get("label") for group in groups)
    overall = pooled_of(result.get("pooled"))
    predictions = overall is None if group_predictions is None else group_predictions
    shared = overall is not None and total_weight(rows_in) < ALL_WEIGHT
    for index, group in enumerate(groups):
        in_pool = shared or pooled_of(group.get("pooled")) is not None
        studies = [reader.study(row, index, in_pool) for row in group["rows"]]
        if titled:
            label = clean_text(str(group.get("label") or "Other trials"))
            content.append(RowContent("subgroup_header", label, group=index))
        content.extend(studies)
        if titled:
            pooled = pooled_of(group.get("pooled"))
            content.extend(reader.group_end(pooled, studies, index, predictions=predictions))
    studies = [row for row in content if row.kind == "study"]
    content.extend(reader.overall(overall, studies, titled=titled, weighted=shared, result=result))
    used = [row for row in studies if not row.excluded and row.estimate is not None]
    header = clean_text(str(result.get("row_header") or "Study"))
    content.insert(0, RowContent("header", header))
    k, people = finite(result.get("k")), finite(result.get("n_participants"))
    if people is None:
        people = known_sum([participants(row) for row in used])[0]
    return ForestContent(
        rows=tuple(content),
        is_ratio=is_ratio,
        digits=writer.digits,
        k=len(used) if k is None else round(k),
        participants=people,
        arm_names=(
            common_name(rows_in, "intervention", "Treatment"),
            common_name(rows_in, "comparator", "Control"),
        ),
        comparison_header=writer.comparison_header,
        notes=reader.footnotes,
        domains=domains,
        has_events=writer.has_events,
        has_means=writer.has_means,
        one_pool=shared,
        study_header=header,
        rows_are_pools=bool(result.get("rows_are_pools")),
    )


def _cell_writer(rows: Sequence[Mapping[str, Any]], is_ratio: bool, show_means: bool) -> CellWriter:
    def given(key: str) -> bool:
        return any(finite(row.get(key)) is not None for row in rows)

    interventions = {row["intervention"] for row in rows if row.get("intervention")}
    comparators = {row["comparator"] for row in rows if row.get("comparator")}
    return CellWriter(
        is_ratio=is_ratio,
        digits=display_digits(rows, is_ratio),
        has_events=given("events_treatment") or given("events_control"),
        has_means=show_means and given("mean_treatment"),
        names_vary=(len(interventions) > 1, len(comparators) > 1),
    )


class _Reader:
    """Turns rows and pooled results into row contents; collects the footnotes on the way."""

    def __init__(
        self,
        cells: CellWriter,
        level: float,
        mixed_directness: bool,
        domains: tuple[tuple[str, str], ...],
    ) -> None:
        self.cells, self.level = cells, level
        self.mixed_directness, self.domains = mixed_directness, domains
        self._letters: dict[str, str] = {}

    @property
    def footnotes(self) -> tuple[tuple[str, str], ...]:
        """Footnote markers and texts, in order of first use."""
        return tuple((letter, text) for text, letter in self._letters.items())

    def study(self, row: Mapping[str, Any], group: int, in_pool: bool) -> RowContent:
        """Return the content of one trial's row; a weight counts only in a pool."""
        excluded = bool(row.get("excluded"))
        note = clean_text(str(row.get("note") or ""))
        if excluded:
            reason = clean_text(str(row.get("reason") or note))
            note = f"{SET_ASIDE}: {reason}" if reason else ""
        estimate, low, high = (
            display(row.get(key), self.cells.is_ratio) for key in ("estimate", "ci_low", "ci_high")
        )
        tag = clean_text(str(row.get("tag") or ""))
        if not tag and self.mixed_directness and row.get("direct") is False:
            tag = "indirect"
        weight = finite(row.get("weight")) if in_pool and not excluded else None
        judgements = row.get("risk_of_bias") or {}
        return RowContent(
            kind="study",
            label=clean_text(str(row.get("label") or row.get("study_id") or MISSING)),
            cells=self.cells.study(row, estimate, low, high, weight),
            estimate=estimate,
            low=low,
            high=high,
            weight=weight,
            study_id=str(row.get("study_id") or ""),
            remark=SET_ASIDE if excluded else "",
            tag=tag,
            marker=self._marker(note) if note else "",
            excluded=excluded,
            group=group,
            n_treatment=finite(row.get("n_treatment")),
            n_control=finite(row.get("n_control")),
            events_treatment=finite(row.get("events_treatment")),
            events_control=finite(row.get("events_control")),
            risk_of_bias=tuple(
                str(judgements.get(code) or "not_assessed") for code, _ in self.domains
            ),
        )

    def group_end(
        self,
        pooled: Mapping[str, Any] | None,
        studies: Sequence[RowContent],
        group: int,
        *,
        predictions: bool,
    ) -> list[RowContent]:
        """Return the rows under a subgroup's trials."""
        used = [row for row in studies if not row.excluded and row.estimate is not None]
        if not studies:
            return [RowContent("empty", NO_TRIALS, group=group)]
        if pooled is None:
            words = ONE_TRIAL if len(used) == 1 else NOT_POOLED
            return [RowContent("subgroup_note", words, group=group)]
        rows = [self._pool("subgroup_pool", pooled, "Subtotal", used, group)]
        if predictions:
            rows.extend(self._prediction(pooled, group))
        rows.extend(self._heterogeneity(pooled, group))
        return rows

    def overall(
        self,
        pooled: Mapping[str, Any] | None,
        studies: Sequence[RowContent],
        *,
        titled: bool,
        weighted: bool,
        result: Mapping[str, Any],
    ) -> list[RowContent]:
        """Return the rows under all trials."""
        used = [row for row in studies if not row.excluded and row.estimate is not None]
        rows: list[RowContent] = []
        if not studies:
            if not titled:
                rows.append(RowContent("empty", NO_TRIALS))
        elif pooled is not None:
            words = "All subgroups" if titled else "All trials"
            pool = self._pool("overall", pooled, words, used, None)
            if not weighted:  # weights are shares of the subgroups, not of this pool
                pool.cells.pop("weight", None)
            rows.append(pool)
            rows.extend(self._prediction(pooled, None))
            rows.extend(self._heterogeneity(pooled, None))
        elif result.get("rows_are_pools"):
            pass
        elif len(used) == 1 and not titled:
            rows.append(RowContent("single", ONE_TRIAL))
        elif not titled:
            rows.append(RowContent("note", NOT_POOLED))
        test = result.get("subgroup_test")
        if isinstance(test, Mapping) and finite(test.get("q")) is not None:
            text = f"Test for subgroup differences: {cochran_text(test, 'q', 'df', 'p_value')}"
            rows.append(RowContent("subgroup_test", text))
        return rows

    def _pool(
        self,
        kind: RowKind,
        pooled: Mapping[str, Any],
        words: str,
        used: Sequence[RowContent],
        group: int | None,
    ) -> RowContent:
        estimate, low, high = (
            display(pooled.get(key), self.cells.is_ratio)
            for key in ("estimate", "ci_low", "ci_high")
        )
        k = finite(pooled.get("k"))
        label = clean_text(str(pooled.get("label") or words))
        label += f" (k\u00a0=\u00a0{format_count(len(used) if k is None else k)})"
        cells = self.cells.pool(estimate, low, high, used)
        return RowContent(kind, label, cells, estimate, low, high, group=group)

    def _prediction(self, pooled: Mapping[str, Any], group: int | None) -> list[RowContent]:
        low = display(pooled.get("pi_low"), self.cells.is_ratio)
        high = display(pooled.get("pi_high"), self.cells.is_ratio)
        if low is None or high is None:
            two = finite(pooled.get("k")) == 2
            return [RowContent("note", TWO_TRIALS, group=group)] if two else []
        words = f"{format_percent(self.level)} prediction interval (a new trial)"
        cells = self.cells.effect(None, low, high)
        return [RowContent("prediction", words, cells, None, low, high, group=group)]

    def _heterogeneity(self, pooled: Mapping[str, Any], group: int | None) -> list[RowContent]:
        text = heterogeneity_text(pooled)
        return [RowContent("heterogeneity", text, group=group)] if text else []

    def _marker(self, note: str) -> str:
        if note not in self._letters:
            count = len(self._letters)
            letter = chr(ord("a") + count % 26) * (1 + count // 26)
            self._letters[note] = letter
        return self._letters[note]
