"""Checks for copies: a row typed twice, an arm copied into its neighbour, a report as a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ketameta.checks.context import Context, Problem, list_items, place, warning
from ketameta.evidence import Row


def check_arms_are_not_copied(context: Context) -> Iterator[Problem]:
    """No two arms have the same mean and the same standard deviation; one is often a copy."""
    for first, second in context.pairs():
        for centre, around in (("mean", "sd"), ("mean", "se"), ("median", "q1")):
            values = [(row.number(centre), row.number(around)) for row in (first, second)]
            if None in values[0] or values[0] != values[1] or not _has_decimals(first, centre):
                continue
            yield warning(
                second,
                centre,
                f"same {centre} and {around} ({second[around]}) as "
                f"{first['arm_id']} ({place(first)})",
                "compare both arms with the source; a row may have been copied",
                others=(first,),
            )
            break


def check_baselines_are_not_copied(context: Context) -> Iterator[Problem]:
    """No two arms have the same baseline mean and standard deviation."""
    seen: set[tuple[str, str, str, str]] = set()
    for first, second in context.pairs():
        values = [
            (row.number("baseline_mean"), row.number("baseline_sd")) for row in (first, second)
        ]
        if None in values[0] or values[0] != values[1] or not _has_decimals(first, "baseline_mean"):
            continue
        key = (first["study_id"], first["instrument"], first["arm_id"], second["arm_id"])
        if key not in seen:
            seen.add(key)
            yield warning(
                second,
                "baseline_mean",
                f"same baseline mean and SD as {first['arm_id']} ({place(first)})",
                "compare both arms with the source; a row may have been copied",
                others=(first,),
            )


def _has_decimals(row: Row, column: str) -> bool:
    """Return whether a number is printed with enough digits that chance is unlikely."""
    return "." in row[column] and row.number(column) != 0


def check_rows_are_not_copied(context: Context) -> Iterator[Problem]:
    """No two outcomes or times of an arm have the same mean, spread and n."""
    groups: dict[tuple[object, ...], Row] = {}
    for row in context.rows("outcomes"):
        mean, n = row.number("mean"), row.number("n")
        around = next(
            (
                (name, row.number(name))
                for name in ("sd", "se", "ci_low")
                if row.number(name) is not None
            ),
            None,
        )
        if mean is None or around is None or not _has_decimals(row, "mean"):
            continue
        key = (row["study_id"], row["arm_id"], mean, *around, n)
        first = groups.setdefault(key, row)
        if first is not row and first.key != row.key:
            yield warning(
                row,
                "mean",
                f"same mean, {around[0]} and n as another row of this arm "
                f"({place(first)}: {first.in_words})",
                "compare both rows with the source; one may have been copied",
                others=(first,),
            )


def check_contrasts_are_not_copied(context: Context) -> Iterator[Problem]:
    """No two comparisons of a trial have the same estimate and interval."""
    groups: dict[tuple[object, ...], Row] = {}
    for row in context.rows("contrasts"):
        values = tuple(row.number(name) for name in ("estimate", "ci_low", "ci_high"))
        if None in values or not _has_decimals(row, "estimate"):
            continue
        first = groups.setdefault((row["study_id"], row["effect_type"], *values), row)
        if first is not row and first.key != row.key:
            yield warning(
                row,
                "estimate",
                f"same estimate and interval as {place(first)} ({first.in_words})",
                "compare both rows with the source; one may have been copied",
                others=(first,),
            )


def check_companions_are_declared(context: Context) -> Iterator[Problem]:
    """All reports with one DOI, PubMed or registry number are one trial, or say they overlap."""
    for column, items in (
        ("doi", lambda row: [row["doi"].lower()] if row["doi"] else []),
        ("pmid", lambda row: [row["pmid"]] if row["pmid"] else []),
        ("registry_id", lambda row: [item.upper() for item in list_items(row["registry_id"])]),
        ("citation", lambda row: [" ".join(row["citation"].lower().split())]),
    ):
        yield from _shared(context, column, items)


def _shared(
    context: Context, column: str, items: Callable[[Row], Iterable[str]]
) -> Iterator[Problem]:
    """Yield studies that share an identifier without saying that they overlap."""
    first_of: dict[str, Row] = {}
    for row in context.rows("studies"):
        for item in items(row):
            if not item:
                continue
            first = first_of.setdefault(item, row)
            if first is row or first["study_id"] == row["study_id"] or _overlap(first, row):
                continue
            yield warning(
                row,
                column,
                f"{first['study_id']} has the same ({place(first)})",
                "enter one trial once; if this is a companion or a pool, name the other in "
                "overlaps_with",
                others=(first,),
                value=row[column] if column == "citation" else item,
            )


def _overlap(first: Row, second: Row) -> bool:
    """Return whether two studies say that they share people, directly or through a third."""
    one = {first["study_id"], *list_items(first["overlaps_with"])}
    two = {second["study_id"], *list_items(second["overlaps_with"])}
    return bool(one & two)


def check_trials_differ(context: Context) -> Iterator[Problem]:
    """No two trials have the same size, mean age and share of women; one may be a second report."""
    first_of: dict[tuple[object, ...], Row] = {}
    for row in context.rows("studies"):
        key = tuple(
            row.number(name) for name in ("n_randomised", "age_mean_years", "female_percent")
        )
        if None in key:
            continue
        first = first_of.setdefault(key, row)
        if first is not row and first["study_id"] != row["study_id"] and not _overlap(first, row):
            yield warning(
                row,
                "n_randomised",
                f"size, mean age and share of women are those of "
                f"{first['study_id']} ({place(first)})",
                "enter one trial once; name the other in overlaps_with if people are shared",
                others=(first,),
            )


def check_registry_entries_agree(context: Context) -> Iterator[Problem]:
    """Each registry entry and the trial it names carry the same number."""
    for row in context.rows("registry"):
        study = context.studies.get(row["study_id"])
        if study is None or not study["registry_id"] or not row["registry_id"]:
            continue
        if row["registry_id"] not in list_items(study["registry_id"]):
            yield warning(
                row,
                "registry_id",
                f"{row['study_id']} has {study['registry_id']} ({place(study)})",
                "correct one of the two",
                others=(study,),
            )
