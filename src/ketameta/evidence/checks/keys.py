"""Checks across rows: keys stand once, what a row refers to exists, and nothing is copied.

A room of its own because checks are kept by what they look at, and `run` lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ketameta.errors import did_you_mean
from ketameta.evidence.checks.context import (
    Context,
    error,
    grouped,
    list_items,
    number_rule,
    place,
    rule,
    twins,
    warning,
)
from ketameta.evidence.findings import Finding
from ketameta.evidence.tables import Row
from ketameta.formatting import plural
from ketameta.measures import DATASET

_BATCH_TABLES = ("arms", "outcomes", "contrasts", "moderators", "risk_of_bias")


@rule("duplicate_key")
def check_keys_are_unique(context: Context) -> Iterator[Finding]:
    """Each key stands once in all batches together; delete the copy or correct the key."""
    for name, table in context.evidence.schema.tables.items():
        if name in context.unread:
            continue
        seen: dict[tuple[object, ...], list[Row]] = {}
        for row in context.rows(name):
            before = seen.setdefault(row.core, [])
            first = next((other for other in before if not other.is_other_analysis(row)), None)
            before.append(row)
            if first is None:
                continue
            same = first.texts == row.texts
            why = f"{'the same row' if same else 'the same key'} stands in {place(first)}"
            remedy = (
                "delete one of them"
                if same
                else "delete one, or correct the column of the key "
                f"that tells them apart ({', '.join(table.key)})"
            )
            yield error(
                row,
                table.key[-1] if len(table.key) == 1 else "",
                why,
                remedy,
                value=row.in_words,
                others=(first,),
            )


def _once(rows: Iterable[Row], *columns: str) -> Iterator[tuple[Row, int]]:
    """Yield the first row of each file and value of some columns, with the number of such rows."""
    for group in grouped(rows, lambda row: (row.file, *(row[name] for name in columns))).values():
        yield group[0], len(group)


def _more(count: int) -> str:
    """Return how many further rows have the same problem."""
    return f" (and {plural(count - 1, 'more row')} of this file)" if count > 1 else ""


@rule("unknown_study", needs=["studies"])
def check_studies_exist(context: Context) -> Iterator[Finding]:
    """Every study_id stands in studies.csv of some batch; add the study or mend the spelling."""
    known = context.studies
    for name in (*_BATCH_TABLES, "registry"):
        for row, count in _once(context.rows(name), "study_id"):
            study = row["study_id"]
            if study and study not in known and not context.is_refused(row, "study_id"):
                why = "no studies.csv has this study" + _more(count)
                yield error(
                    row, "study_id", why, "add it to studies.csv" + did_you_mean(study, known)
                )


@rule("screening_duplicate")
def check_duplicates_name_a_record(context: Context) -> Iterator[Finding]:
    """Each duplicate of the screening list names another record that stays."""
    kept = {row["record_id"]: row for row in context.rows("screening")}
    for row in context.rows("screening"):
        twin = kept.get(row["duplicate_of"])
        if row["duplicate_of"] and (twin is None or twin is row or twin["duplicate_of"]):
            why = "no record of this name stays in the list"
            hint = did_you_mean(row["duplicate_of"], kept)
            yield error(row, "duplicate_of", why, f"name the record that is screened{hint}")


@rule("unknown_overlap", "studies", needs=["studies"])
def check_overlapping_studies_exist(context: Context, row: Row) -> Iterator[Finding]:
    """overlaps_with names other studies of the data."""
    itself, absent = "a study cannot overlap with itself", "no studies.csv has this study"
    told = (row, "overlaps_with", row["study_id"], context.studies, itself, absent)
    yield from _names_others(*told, "add that study, or name it in notes instead")


def _names_others(
    row: Row, column: str, own: str, known: Iterable[str], itself: str, absent: str, remedy: str
) -> Iterator[Finding]:
    """Yield the items of a cell that name the row itself, or nothing that there is."""
    for item in list_items(row[column]):
        if item == own:
            yield error(row, column, itself, "delete it here", value=item)
        elif item not in known:
            yield error(row, column, absent, remedy + did_you_mean(item, known), value=item)


@rule("secondary_beside")
def check_secondary_results_stand_alone(context: Context) -> Iterator[Finding]:
    """No result from a data set stands beside the trial's own result of the same outcome."""
    own: dict[tuple[str, str], Row] = {}
    for table in ("outcomes", "contrasts"):
        for row in context.rows(table):
            own.setdefault((row["study_id"], row["outcome"]), row)
    for (study, outcome), row in own.items():
        primary = own.get((study, outcome.removesuffix(DATASET)))
        if outcome.endswith(DATASET) and primary is not None:
            why = f"{study} has a result of its own ({place(primary)})"
            remedy = "move this row to exclusions.csv"
            yield error(row, "outcome", why, remedy, others=(primary,))


@rule("unknown_arm", needs=["arms"])
def check_arms_exist(context: Context) -> Iterator[Finding]:
    """Every arm_id stands in arms.csv for its study."""
    for table, columns in (
        ("outcomes", ("arm_id",)),
        ("contrasts", ("arm_id", "comparator_arm_id")),
        ("moderators", ("arm_id",)),
    ):
        for column in columns:
            for row, count in _once(context.rows(table), "study_id", column):
                study, arm = row["study_id"], row[column]
                if not arm or (study, arm) in context.arms or study not in context.studies:
                    continue
                names = [other["arm_id"] for other in context.arms_of.get(study, [])]
                listed = f" (it has {', '.join(names)})" if names else " (it has none)"
                why = f"arms.csv has no such arm of {study}{listed}{_more(count)}"
                remedy = "add the arm or correct the name" + did_you_mean(arm, names)
                yield error(row, column, why, remedy)


@rule("unknown_contained_arm", "arms", needs=["arms"])
def check_contained_arms_exist(context: Context, row: Row) -> Iterator[Finding]:
    """contains_arms names other arms of the same study."""
    names = [other["arm_id"] for other in context.arms_of[row["study_id"]]]
    absent = f"arms.csv has no such arm of {row['study_id']}"
    told = (row, "contains_arms", row["arm_id"], names, "an arm cannot contain itself", absent)
    yield from _names_others(*told, "add the arm or correct the name")


@rule("same_arm", "contrasts")
def check_arms_of_a_contrast_differ(context: Context, row: Row) -> Iterator[Finding]:
    """Each comparison is between two arms that share nobody."""
    arm, comparator = row["arm_id"], row["comparator_arm_id"]
    if not arm or not comparator:
        return
    inside = context.contained(row)
    if arm == comparator:
        yield error(
            row, "comparator_arm_id", "an arm is compared with itself", "name the comparator"
        )
    elif comparator in inside:
        why = f"{arm} contains this arm (contains_arms)"
        remedy = "compare arms that share nobody"
        yield error(row, "comparator_arm_id", why, remedy)


@rule("unknown_outcome", needs=["outcome_words"])
def check_outcomes_are_declared(context: Context) -> Iterator[Finding]:
    """Every outcome is a word of outcome_words.csv."""
    known = context.outcome_words
    if not known:
        return
    for table in ("outcomes", "contrasts", "risk_of_bias"):
        yield from _undeclared(context.rows(table), "outcome", known, "outcome_words.csv")
    yield from _undeclared(context.rows("exclusions"), "measured", known, "outcome_words.csv")


@rule("unknown_instrument", needs=["instruments"])
def check_instruments_are_declared(context: Context) -> Iterator[Finding]:
    """Every instrument is a word of instruments.csv."""
    known = context.instruments
    if not known:
        return
    for table in ("outcomes", "contrasts"):
        yield from _undeclared(context.rows(table), "instrument", known, "instruments.csv")


def _undeclared(
    rows: Iterable[Row], column: str, known: Iterable[str], where: str
) -> Iterator[Finding]:
    """Yield the first row of each file whose word is not known."""
    strange = (row for row in rows if not set(list_items(row[column])) <= {*known})
    for row, count in _once(strange, column):
        why = f"{where} has no such word{_more(count)}"
        hint = did_you_mean(row[column], sorted(known))
        yield error(row, column, why, f"add it there or correct the spelling{hint}")


@rule("statistic_kind", "outcomes")
def check_statistic_fits_outcome(context: Context, row: Row) -> Iterator[Finding]:
    """Each event is counted and a score is measured, as outcome_words.csv says."""
    kind = context.outcome_words[row["outcome"]]["kind"]
    if kind == "event" and row["statistic"] not in ("", "events"):
        why = f"{row['outcome']} is an event in outcome_words.csv"
        remedy = "use statistic events, or an outcome word for a score"
        yield error(row, "statistic", why, remedy)
    elif kind == "continuous" and row["statistic"] == "events":
        why = f"{row['outcome']} is a score in outcome_words.csv"
        remedy = "use an outcome word for an event, such as response"
        yield error(row, "statistic", why, remedy)


@rule("label_drift")
def check_names_do_not_drift(context: Context) -> Iterator[Finding]:
    """One thing has one name: no two names differ only by case, spaces, hyphens or an initial."""
    for table, column in (
        ("studies", "study_id"),
        ("arms", "intervention"),
        ("arms", "dose_unit"),
        ("outcome_words", "outcome"),
        ("instruments", "instrument"),
    ):
        first_of: dict[str, Row] = {}
        for row in context.rows(table):
            name = row[column]
            first = first_of.setdefault(_bare(name), row)
            if name and first[column] != name:
                why = f"{first[column]} in {place(first)} looks like the same name"
                remedy = "use one spelling for one thing"
                yield warning(row, column, why, remedy, others=(first,))
                first_of[_bare(name)] = row
    yield from _initials(context)


def _initials(context: Context) -> Iterator[Finding]:
    """Yield studies of one year whose names differ only by an initial."""
    by_name: dict[tuple[str, ...], Row] = {}
    rows = sorted(context.studies.values(), key=lambda row: (row.file, row.line))
    split = [(row, row["study_id"].split("_")) for row in rows]
    for row, parts in split:
        by_name.setdefault(tuple(parts), row)
    for row, parts in split:
        without = tuple(part for part in parts if len(part) > 1)
        first = by_name.get(without)
        if len(without) < len(parts) and first is not None and first is not row:
            why = f"{first['study_id']} in {place(first)} differs by an initial"
            remedy = "use one name if it is one trial"
            yield warning(row, "study_id", why, remedy, others=(first,))


def _bare(name: str) -> str:
    """Return a name without case, spaces and marks, in which drifted spellings are equal."""
    return re.sub(r"[\W_]+", "", name.lower().replace("/", "per"))


@rule("study_without_arms", needs=["arms"])
def check_studies_have_arms(context: Context) -> Iterator[Finding]:
    """Every study with results has its arms in arms.csv."""
    for study, row in context.studies.items():
        if study and row.table == "studies" and study not in context.arms_of:
            why = "arms.csv has no arm of this study"
            remedy = "add its arms, or move the study to exclusions.csv"
            yield warning(row, "study_id", why, remedy)


@rule("study_without_results", needs=["outcomes", "contrasts", "exclusions"])
def check_studies_have_results(context: Context) -> Iterator[Finding]:
    """Every study has a row of results, or a row in exclusions.csv that says why not."""
    used = {
        row["study_id"]
        for table in ("outcomes", "contrasts")
        for row in context.with_refused(table)
    }
    excused = {row["study"] for row in context.rows("exclusions")}
    for study, row in context.studies.items():
        if study and study not in used and study not in excused:
            why = "no result of this study is extracted"
            remedy = "add its results, or a row in exclusions.csv with the reason"
            yield warning(row, "study_id", why, remedy)


@rule("arm_without_results", needs=["outcomes", "contrasts"])
def check_arms_have_results(context: Context) -> Iterator[Finding]:
    """Every arm has a result or is part of a comparison; an arm nobody uses may be misspelt."""
    used = {
        (row["study_id"], row[column])
        for table in ("outcomes", "contrasts")
        for row in context.with_refused(table)
        for column in ("arm_id", "comparator_arm_id")
    }
    studied = {row["study_id"] for row in context.with_refused("outcomes")}
    for row in context.rows("arms"):
        study = row["study_id"]
        inside = any(
            row["arm_id"] in list_items(other["contains_arms"]) for other in context.arms_of[study]
        )
        if (study, row["arm_id"]) not in used and study in studied and not inside:
            why = "no result of this arm is extracted"
            remedy = "add it, or delete the arm if it is a misspelt copy of another"
            yield warning(row, "arm_id", why, remedy)


@number_rule("duplicated_arm")
def check_arms_are_not_copied(context: Context) -> Iterator[Finding]:
    """No two arms have the same mean and the same standard deviation; one is often a copy."""
    for first, second in context.pairs():
        for centre, around in (("mean", "sd"), ("mean", "se"), ("median", "q1")):
            values = [(row.number(centre), row.number(around)) for row in (first, second)]
            if None in values[0] or values[0] != values[1] or not _has_decimals(first, centre):
                continue
            why = (
                f"same {centre} and {around} ({second[around]}) as "
                f"{first['arm_id']} ({place(first)})"
            )
            remedy = "compare both arms with the source; a row may have been copied"
            yield warning(second, centre, why, remedy, others=(first,))
            break


@number_rule("duplicated_baseline")
def check_baselines_are_not_copied(context: Context) -> Iterator[Finding]:
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
            why = f"same baseline mean and SD as {first['arm_id']} ({place(first)})"
            remedy = "compare both arms with the source; a row may have been copied"
            yield warning(second, "baseline_mean", why, remedy, others=(first,))


def _has_decimals(row: Row, column: str) -> bool:
    """Return whether a number is printed with enough digits that chance is unlikely."""
    return "." in row[column] and row.number(column) != 0


@number_rule("copied_row")
def check_rows_are_not_copied(context: Context) -> Iterator[Finding]:
    """No two outcomes or times of an arm have the same mean, spread and n."""

    def key(row: Row) -> tuple[object, ...] | None:
        mean, around = row.number("mean"), _around(row)
        if mean is None or not around or not _has_decimals(row, "mean"):
            return None
        return row["study_id"], row["arm_id"], mean, around, row.number(around), row.number("n")

    for first, row in twins(context.rows("outcomes"), key):
        if first.key != row.key:
            why = (
                f"same mean, {_around(row)} and n as another row of this arm "
                f"({place(first)}: {first.in_words})"
            )
            remedy = "compare both rows with the source; one may have been copied"
            yield warning(row, "mean", why, remedy, others=(first,))


def _around(row: Row) -> str:
    """Return the column that says how far the scores of a row spread; nothing without one."""
    return next((name for name in ("sd", "se", "ci_low") if row.number(name) is not None), "")


@number_rule("copied_contrast")
def check_contrasts_are_not_copied(context: Context) -> Iterator[Finding]:
    """No two comparisons of a trial have the same estimate and interval."""

    def key(row: Row) -> tuple[object, ...] | None:
        values = tuple(row.number(name) for name in ("estimate", "ci_low", "ci_high"))
        if None in values or not _has_decimals(row, "estimate"):
            return None
        return row["study_id"], row["effect_type"], *values

    for first, row in twins(context.rows("contrasts"), key):
        if first.key != row.key:
            why = f"same estimate and interval as {place(first)} ({first.in_words})"
            remedy = "compare both rows with the source; one may have been copied"
            yield warning(row, "estimate", why, remedy, others=(first,))


@rule("companion_as_trial")
def check_companions_are_declared(context: Context) -> Iterator[Finding]:
    """All reports with one DOI, PubMed or registry number are one trial, or say they overlap."""
    remedy = (
        "enter one trial once; if this is a companion or a pool, name the other in overlaps_with"
    )
    items: dict[str, Callable[[Row], list[str]]] = {
        "doi": lambda row: [row["doi"].lower()],
        "pmid": lambda row: [row["pmid"]],
        "registry_id": lambda row: [item.upper() for item in list_items(row["registry_id"])],
        "citation": lambda row: [" ".join(row["citation"].lower().split())],
    }
    for column, of in items.items():
        first_of: dict[str, Row] = {}
        for row in context.rows("studies"):
            for item in filter(None, of(row)):
                first = first_of.setdefault(item, row)
                if first is not row and not _overlap(first, row):
                    why = f"{first['study_id']} has the same ({place(first)})"
                    value = row[column] if column == "citation" else item
                    yield warning(row, column, why, remedy, others=(first,), value=value)


def _overlap(first: Row, second: Row) -> bool:
    """Return whether two studies say that they share people, directly or through a third."""
    one = {first["study_id"], *list_items(first["overlaps_with"])}
    two = {second["study_id"], *list_items(second["overlaps_with"])}
    return bool(one & two)


@rule("same_trial")
def check_trials_differ(context: Context) -> Iterator[Finding]:
    """No two trials have the same size, mean age and share of women; one may be a second report."""

    def key(row: Row) -> tuple[object, ...] | None:
        names = ("n_randomised", "age_mean_years", "female_percent")
        values = tuple(row.number(name) for name in names)
        return None if None in values else values

    for first, row in twins(context.rows("studies"), key):
        if not _overlap(first, row):
            why = (
                f"size, mean age and share of women are those of "
                f"{first['study_id']} ({place(first)})"
            )
            remedy = "enter one trial once; name the other in overlaps_with if people are shared"
            yield warning(row, "n_randomised", why, remedy, others=(first,))


@rule("registry_disagrees", "registry")
def check_registry_entries_agree(context: Context, row: Row) -> Iterator[Finding]:
    """Each registry entry and the trial it names carry the same number."""
    study = context.studies[row["study_id"]]
    if not study["registry_id"] or not row["registry_id"]:
        return
    if row["registry_id"] not in list_items(study["registry_id"]):
        why = f"{row['study_id']} has {study['registry_id']} ({place(study)})"
        remedy = "correct one of the two"
        yield warning(row, "registry_id", why, remedy, others=(study,))
