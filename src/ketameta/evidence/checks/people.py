"""Checks of how many people there are: in an analysis, an arm, a trial.

A room of its own because checks are kept by what they look at, and the registry lists them all.
"""

from __future__ import annotations

from collections.abc import Iterator

from ketameta.evidence.checks.context import (
    CROSSOVERS,
    Context,
    Problem,
    error,
    list_items,
    number_rule,
    place,
    rule,
    warning,
)
from ketameta.evidence.tables import Row
from ketameta.measures import COVERS, SECONDARY, STUDY_NUMBERS

#: Safety sets count people by what they took, not by what they were allotted to.
_AS_TREATED = ("safety", "per_protocol")


def _sizes(context: Context) -> Iterator[tuple[Row, str, str, float]]:
    """Yield every number of people analysed: row, its column, its arm, the number."""
    for row in context.rows("outcomes"):
        n = row.number("n")
        if n is not None:
            yield row, "n", row["arm_id"], n
    for row in context.rows("contrasts"):
        for column, arm in (("n_treatment", "arm_id"), ("n_control", "comparator_arm_id")):
            n = row.number(column)
            if n is not None:
                yield row, column, row[arm], n


@number_rule("n_zero")
def check_somebody_was_analysed(context: Context) -> Iterator[Problem]:
    """No result rests on nobody."""
    for row, column, _, n in _sizes(context):
        if n == 0:
            why = "nobody was analysed, so there is no result"
            remedy = "type the number of people, or leave the cell empty where none is printed"
            yield error(row, column, why, remedy)


@number_rule("n_above_randomised")
def check_n_within_randomised(context: Context) -> Iterator[Problem]:
    """No arm has more people analysed than randomised."""
    for row, column, arm_id, n in _sizes(context):
        arm = context.arms.get((row["study_id"], arm_id))
        randomised = arm.number("n_randomised") if arm is not None else None
        if arm is None or randomised is None or n <= randomised:
            continue
        tell = warning if row["analysis_set"] in _AS_TREATED else error
        why = f"more than the {randomised:g} people randomised to {arm_id} ({place(arm)})"
        remedy = "look for another arm's n, a copied cell, or a wrong n_randomised"
        yield tell(row, column, why, remedy, others=(arm,))


@number_rule("n_above_study")
def check_n_within_study(context: Context) -> Iterator[Problem]:
    """No analysis has more people than the trial; a copied-down cell often has."""
    for row, column, arm_id, n in _sizes(context):
        arm = context.arms.get((row["study_id"], arm_id))
        if arm is not None and n <= (arm.number("n_randomised") or 0):
            continue  # check_arms_within_study says it once for the arm
        for study, total in context.trial_size(row["study_id"]):
            if n > total and not _is_doubled(context, row, n, total):
                why = f"more than the {total:g} people of the trial ({place(study)})"
                remedy = "look for a cell copied from another trial, or a wrong n_randomised"
                yield error(row, column, why, remedy, others=(study,))


def _is_doubled(context: Context, row: Row, n: float, total: float) -> bool:
    """Return whether a crossover's people seem to be counted once per period."""
    return context.design(row) in CROSSOVERS and n == 2 * total


@number_rule("crossover_doubled")
def check_crossovers_count_people_once(context: Context) -> Iterator[Problem]:
    """Each person of a crossover counts once; both arms are the same people."""
    remedy = "type the number of people, not of treatment periods"
    for row, column, _, n in _sizes(context):
        for study, total in context.trial_size(row["study_id"]):
            if _is_doubled(context, row, n, total):
                why = f"twice the {total:g} people of this crossover ({place(study)})"
                yield error(row, column, why, remedy, others=(study,))
    for arm in context.rows("arms"):
        for study, total in context.trial_size(arm["study_id"]):
            if study["design"] in CROSSOVERS and (arm.number("n_randomised") or 0) > total:
                why = f"more than the {total:g} people of this crossover ({place(study)})"
                yield error(arm, "n_randomised", why, remedy, others=(study,))


@number_rule("arms_above_study")
def check_arms_within_study(context: Context) -> Iterator[Problem]:
    """All arms together have no more people than the trial, pooled arms aside."""
    trials = context.arms_of.items()
    for arms, (study, total) in (
        (arms, found) for study_id, arms in trials for found in context.trial_size(study_id)
    ):
        if study["design"] in CROSSOVERS:
            continue
        pooled = {arm["arm_id"] for arm in arms if list_items(arm["contains_arms"])}
        single = [arm for arm in arms if arm["arm_id"] not in pooled]
        sizes = [arm.number("n_randomised") or 0.0 for arm in single]
        if single and sum(sizes) > total:
            parts = ", ".join(arm["n_randomised"] for arm in single if arm["n_randomised"])
            why = (
                f"the arms have {sum(sizes):g} people ({parts}), the "
                f"trial {total:g} ({place(study)})"
            )
            remedy = "correct one of the numbers, or name pooled arms in contains_arms"
            yield error(single[0], "n_randomised", why, remedy, others=(study, *single[1:]))
        for arm in arms:
            size = arm.number("n_randomised")
            if arm["arm_id"] in pooled and size is not None and size > total:
                why = f"more than the {total:g} people of the trial ({place(study)})"
                remedy = "correct one of the numbers"
                yield error(arm, "n_randomised", why, remedy, others=(study,))


@number_rule("denominators")
def check_one_denominator(context: Context) -> Iterator[Problem]:
    """One arm has one n at one time in one analysis set; several n are several sets."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in context.rows("outcomes"):
        if row.number("n") is not None:
            is_count = row["statistic"] == "events"
            key = (
                row["study_id"],
                row["arm_id"],
                row["subgroup"],
                row.number("time_days"),
                row["analysis_set"] or "not_reported",
                is_count,
                # Events found in one way share their n; a record of medicines may cover fewer.
                row["instrument"] if is_count else "",
            )
            groups.setdefault(key, []).append(row)
    for group, rows in groups.items():
        sizes = [row.number("n") for row in rows]
        distinct = sorted({size for size in sizes if size is not None})
        # Scores lose a person here and there.
        if len(distinct) < (2 if group[5] else 3):
            continue
        rarest = min(rows, key=lambda row: (sizes.count(row.number("n")), row.file, row.line))
        listed = ", ".join(f"{size:g}" for size in distinct)
        why = f"the arm is analysed with n = {listed} at this time and in one analysis set"
        remedy = "say in analysis_set which people each row is about"
        yield warning(
            rarest, "n", why, remedy, others=[row for row in rows if row is not rarest][:3]
        )


@number_rule("trial_size")
def check_trial_size_is_told(context: Context) -> Iterator[Problem]:
    """Each trial whose arms all say how many were randomised says so itself."""
    for study_id, arms in context.arms_of.items():
        study = context.studies.get(study_id)
        single = [arm for arm in arms if not arm["contains_arms"]]
        sizes = [arm.number("n_randomised") for arm in single]
        known = [size for size in sizes if size is not None]
        if study is None or study["n_randomised"] or len(known) < len(sizes) or not known:
            continue
        people = max(known) if study["design"] in CROSSOVERS else sum(known)
        why = f"empty, though the arms are {people:g} people together ({place(single[0])})"
        remedy = "type it where the source prints it; shares of the people are read against it"
        yield warning(study, "n_randomised", why, remedy, others=(single[0],))


@number_rule("contrast_above_study", "contrasts")
def check_contrast_sizes_fit_the_trial(context: Context, row: Row) -> Iterator[Problem]:
    """Both sides of a parallel comparison together have no more people than the trial."""
    one, two = row.number("n_treatment"), row.number("n_control")
    for study, total in context.trial_size(row["study_id"]):
        parallel = study["design"] not in CROSSOVERS
        if parallel and one is not None and two is not None and max(one, two) <= total < one + two:
            people = f"{one:g} and {two:g} people are more than the {total:g}"
            why = f"{people} of the trial ({place(study)})"
            remedy = "type the people of each arm; a crossover needs its design in studies.csv"
            yield error(row, "n_treatment", why, remedy, others=(study,))


#: What a share of people ends in, by its name; its value lies between 0 and 100.
_SHARE = "_percent"
#: Half a unit of the last place of a printed percentage, at most.
_ROUNDED = 0.5


@rule("moderator_value")
def check_moderators_have_a_value(context: Context) -> Iterator[Problem]:
    """Each moderator has a number, or a word where it is a category, within its bounds."""
    declared = {item.name: item for item in context.evidence.project.moderator}
    for row in context.rows("moderators"):
        item = declared.get(row["moderator"])
        value = row.number("value")
        is_category = item is not None and item.kind == "category"
        column, other = ("word", "value") if is_category else ("value", "word")
        if not row[column] and not context.is_refused(row, column):
            yield error(row, column, f"{row['moderator']} has no {column}", "type it")
        if row[other]:
            remedy = f"leave it empty; {row['moderator']} has a {column}"
            yield error(row, other, f"{row['moderator']} has no {other}", remedy)
        elif item is not None and is_category and row["word"] not in ("", *item.words):
            remedy = f"one of {', '.join(item.words)}"
            yield error(row, "word", f"not a word of {item.name}", remedy)
        low, high = (item.minimum, item.maximum) if item is not None else (None, None)
        if row["moderator"].endswith(_SHARE):
            low, high = 0, 100
        if value is not None and not (low is None or low <= value):
            yield error(row, "value", f"below {low:g}", "look for a slip or another unit")
        if value is not None and not (high is None or value <= high):
            yield error(row, "value", f"above {high:g}", "look for a slip or another unit")


@rule("share_of_whom", "moderators")
def check_shares_say_of_whom(context: Context, row: Row) -> Iterator[Problem]:
    """Each percentage of people says of which people it is a percentage."""
    if row["moderator"].endswith(_SHARE) and not row["people"]:
        why = "a percentage, and nothing says of whom"
        yield error(row, "people", why, "write it: of all randomised, of two arms")


@number_rule("shares_of_whole")
def check_shares_of_a_whole_add_up(context: Context) -> Iterator[Problem]:
    """All parts of one whole are at most 100 percent together, but for rounding."""
    wholes = {item.name: item.share_of for item in context.evidence.project.moderator}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in context.rows("moderators"):
        whole = wholes.get(row["moderator"])
        if whole and row.number("value") is not None:
            told = [row[name] for name in ("study_id", "arm_id", "naive_to", "covers")]
            groups.setdefault((whole, *told, row["source_url"], row["people"]), []).append(row)
    for group, rows in groups.items():
        total = sum(row.number("value") or 0 for row in rows)
        if total > 100 + _ROUNDED * len(rows):
            parts = ", ".join(f"{row['moderator']} {row['value']}" for row in rows)
            why = f"the parts of {group[0]} are {total:g} percent together ({parts})"
            remedy = "compare them with the source, or say in people whose shares they are"
            yield error(rows[0], "value", why, remedy, others=rows[1:])


#: Percentage points by which two sources on the people of one trial may differ.
_APART = 5.0


@number_rule("moderators_disagree")
def check_sources_agree_on_people(context: Context) -> Iterator[Problem]:
    """Each share from a review or data set is near the one that the trial itself gives."""
    own: dict[tuple[str, str, str], tuple[float, Row]] = {}
    for row in context.rows("moderators"):
        value = row.number("value")
        whole = not row["arm_id"] and row["covers"] == COVERS[0]
        if value is not None and whole and row["source_type"] not in SECONDARY:
            own[row["study_id"], row["moderator"], row["naive_to"]] = value, row
    for study in context.rows("studies"):
        for name in (item for item in STUDY_NUMBERS if item.endswith(_SHARE)):
            value = study.number(name)
            if value is not None:
                own[study["study_id"], name, ""] = value, study
    for row in context.rows("moderators"):
        key, value = (row["study_id"], row["moderator"], row["naive_to"]), row.number("value")
        if row["source_type"] not in SECONDARY or value is None or key not in own:
            continue
        told, where = own[key]
        if row["moderator"].endswith(_SHARE) and abs(value - told) > _APART:
            why = f"the trial itself gives {told:g} percent ({place(where)})"
            remedy = "compare both with their pages; one may be of other people, or a slip"
            yield warning(row, "value", why, remedy, others=(where,))


@number_rule("moderator_people", "moderators")
def check_other_people_are_called_so(context: Context, row: Row) -> Iterator[Problem]:
    """Each share of more people than the trial randomised is of another phase."""
    for study, total in context.trial_size(row["study_id"]):
        if row["covers"] != "other_phase" and (row.number("denominator") or 0) > total:
            why = f"more than the {total:g} people of the trial ({place(study)})"
            remedy = "correct one of them, or write other_phase in covers"
            yield error(row, "denominator", why, remedy, others=(study,))
