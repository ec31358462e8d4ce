"""How categorical moderators are coded: levels, reference, and how many trials a level needs.

Data and the checks that follow from them; computes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ketameta.errors import did_you_mean
from ketameta.evidence.project import Project
from ketameta.formatting import plural
from ketameta.measures import MIN_STUDIES_PER_LEVEL
from ketameta.models.results import Caveat

if TYPE_CHECKING:
    from ketameta.analyses.result import StudyRow

#: Why levels that share trials are not tested against each other.
SHARED = (
    "Trials stand in several levels, so that the levels are not independent; the difference within "
    "trials is a separate analysis."
)


@dataclass(frozen=True, slots=True)
class ModeratorCoding:
    """How one moderator is coded.

    Attributes
    ----------
    name, label : str
    levels : mapping of str to str
        Levels that are compared, in order, with what each means.
    reference : tuple of str
        The level that others are compared with: the first of these that has enough trials.
    silent : tuple of str
        Words of the column that say nothing about the level; shown, never compared.
    least_per_level : int
        Trials a level needs to enter a comparison.
    """

    name: str
    label: str
    levels: Mapping[str, str]
    reference: tuple[str, ...]
    silent: tuple[str, ...]
    least_per_level: int = MIN_STUDIES_PER_LEVEL

    @property
    def known(self) -> tuple[str, ...]:
        """Every word of the column."""
        return (*self.levels, *self.silent)


def coding_of(name: str, project: Project) -> ModeratorCoding:
    """Return the coding of a moderator; one without a declared coding has none of its words."""
    found = project.categories.get(name)
    if found is None:
        label = name.replace("_", " ").capitalize()
        return ModeratorCoding(name, label, {}, (), ("not_reported", "not_applicable", ""))
    levels = {level.word: level.meaning for level in found.level}
    return ModeratorCoding(name, found.label, levels, found.reference, found.silent)


def compared_levels(coding: ModeratorCoding, groups: Mapping[str, int]) -> tuple[str, ...]:
    """Return the levels with enough trials to be compared, in the order given.

    Parameters
    ----------
    coding : ModeratorCoding
    groups : mapping of str to int
        Trials per level.
    """
    return tuple(
        level
        for level, trials in groups.items()
        if level not in coding.silent and trials >= coding.least_per_level
    )


def in_several_levels(rows: Sequence[StudyRow], levels: Sequence[str]) -> int:
    """Return how many trials stand in more than one of the levels.

    Parameters
    ----------
    rows : sequence of mapping
        With ``study_id`` and ``group``.
    levels : sequence of str
    """
    pairs = {(row["study_id"], row["group"]) for row in rows if row["group"] in levels}
    times = Counter(study for study, _ in pairs)
    return sum(count > 1 for count in times.values())


def reference_level(coding: ModeratorCoding, levels: Sequence[str]) -> str:
    """Return the level that the others are compared with."""
    return next((level for level in coding.reference if level in levels), levels[0])


def coding_problems(
    coding: ModeratorCoding, order: Sequence[str], selected: Sequence[str], kind: str
) -> list[str]:
    """Return what is wrong with the moderator of an analysis file, before anything is computed.

    Parameters
    ----------
    coding : ModeratorCoding
        Of ``model.group_by``.
    order : sequence of str
        ``model.group_order``.
    selected : sequence of str
        The list of the same name in ``[select]``; empty where every level is eligible.
    kind : str
        Of the analysis.
    """
    problems = [
        f"model.group_order: {level!r} stands twice"
        for level in dict.fromkeys(order)
        if list(order).count(level) > 1
    ]
    name = coding.name
    if coding.levels:
        problems += [
            f"model.group_order: {level!r} is not a level of {name}"
            f"{did_you_mean(level, coding.known)} (levels: {', '.join(coding.levels)}; never "
            f"compared: {', '.join(coding.silent)})"
            for level in order
            if level not in coding.known
        ]
        eligible = [level for level in selected if level in coding.levels]
        if selected and len(eligible) < 2:
            named = f"only {eligible[0]!r}" if eligible else "no level"
            problems.append(
                f"model.group_by is {name!r} but select.{name} lets {named} in: a moderator with "
                "one level compares nothing; name at least two levels or drop group_by"
            )
        if kind == "within_trial":
            problems += [
                f"model.group_order: {level!r} is never compared; choose two of "
                f"{', '.join(coding.levels)}"
                for level in order
                if level in coding.silent
            ]
    if selected and order:
        problems += [
            f"model.group_order: {level!r} cannot occur, select.{name} does not let it in"
            for level in order
            if level not in selected
        ]
    return problems


def level_caveats(coding: ModeratorCoding, groups: Mapping[str, int]) -> tuple[Caveat, ...]:
    """Return what a reader must know when a moderator cannot be tested, or not wholly.

    Parameters
    ----------
    coding : ModeratorCoding
        Nothing is said of one without a name.
    groups : mapping of str to int
        Trials per level found.
    """
    if not coding.name or not groups:
        return ()
    found = []
    silent = [f"{_words(level)} ({plural(groups[level], 'trial')})" for level in groups
              if level in coding.silent]  # fmt: skip
    told = {level: trials for level, trials in groups.items() if level not in coding.silent}
    if len(told) == 1:
        level = next(iter(told))
        found.append(
            Caveat(
                "moderator_with_one_level",
                f"{coding.label} has one level in these trials, {_words(level)}: there is nothing "
                "to compare it with.",
            )
        )
    if not told:
        found.append(
            Caveat(
                "moderator_without_level",
                f"No trial here tells its level of {_lower_first(coding.label)}.",
            )
        )
    if silent and told:
        found.append(
            Caveat(
                "level_never_compared",
                f"Shown but not compared, as it says nothing of {_lower_first(coding.label)}: "
                f"{', '.join(silent)}.",
            )
        )
    return tuple(found)


def _words(level: str) -> str:
    return level.replace("_", " ") or "not stated"


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
