"""What a forest plot takes from an analysis result, checked. Writes no text of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures.forest_cells import arm_words, known_sum
from ketameta.figures.forest_rows import RowContent
from ketameta.figures.numbers import finite
from ketameta.figures.text import clean_text


def is_ratio_result(result: Mapping[str, Any]) -> bool:
    """Whether the estimates of ``result`` are logarithms of ratios."""
    flag = result.get("is_ratio")
    return bool(flag) if flag is not None else result.get("measure") in {"OR", "RR", "ROM", "HR"}


def result_groups(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the groups of ``result``; raise a UsageError that says where they are malformed."""
    groups = result.get("groups")
    if not isinstance(groups, Sequence) or isinstance(groups, str):
        raise UsageError(
            f"result['groups'] is {groups!r}; a forest plot needs a list of groups, each with"
            " 'label', 'rows' and 'pooled' (one group with label None where there are no subgroups)"
        )
    for position, group in enumerate(groups):
        if not isinstance(group, Mapping) or not isinstance(group.get("rows"), Sequence):
            raise UsageError(f"result['groups'][{position}] has no list of 'rows'")
        for number, row in enumerate(group["rows"]):
            if not isinstance(row, Mapping):
                raise UsageError(
                    f"result['groups'][{position}]['rows'][{number}] is {row!r}, not a mapping"
                )
    return list(groups)


def pooled_of(pooled: Any) -> Mapping[str, Any] | None:
    """Return a pooled result that has an estimate from at least two trials, or None."""
    if not isinstance(pooled, Mapping) or finite(pooled.get("estimate")) is None:
        return None
    k = finite(pooled.get("k"))
    return None if k is not None and k < 2 else pooled


def risk_domains(
    result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, str], ...]:
    """Return ``(code, words)`` per risk-of-bias domain, ``overall`` last."""
    declared = result.get("risk_of_bias_domains")
    if declared:
        return tuple(
            (str(item[0]), clean_text(str(item[1])))
            if not isinstance(item, str)
            else (item, clean_text(item.replace("_", " ")))
            for item in declared
        )
    found = dict.fromkeys(code for row in rows for code in (row.get("risk_of_bias") or {}))
    ordered = sorted(found, key=lambda code: code == "overall")
    return tuple((code, clean_text(code.replace("_", " "))) for code in ordered)


def mixed_directness(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether direct and indirect evidence stand in one plot, so that rows must say which."""
    return len({bool(row["direct"]) for row in rows if row.get("direct") is not None}) > 1


def total_weight(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the sum of the weights of the rows that are not set aside."""
    return sum(finite(row.get("weight")) or 0.0 for row in rows if not row.get("excluded"))


def participants(row: RowContent) -> float | None:
    """Return the people of one row, or None where no arm size is known."""
    return known_sum([row.n_treatment, row.n_control])[0]


def common_name(rows: Sequence[Mapping[str, Any]], key: str, otherwise: str) -> str:
    """Return the value that all rows share, with a capital, or ``otherwise``."""
    values = {arm_words(row[key]) for row in rows if row.get(key)}
    if len(values) != 1:
        return otherwise
    value = values.pop()
    return value[:1].upper() + value[1:]
