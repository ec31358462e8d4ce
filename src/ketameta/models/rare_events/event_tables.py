"""Two-by-two tables of k trials: the gate for event counts and what their zeros are."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Bools, Floats, Problems, as_sequence
from ketameta.effects.events import check_events, zero_cells_of
from ketameta.errors import CallError, ImpossibleDataError, NotEstimableError, UsageError
from ketameta.formatting import format_count, plural
from ketameta.models.results import Caveat, Line, Result, stated


@dataclasses.dataclass(frozen=True, slots=True)
class ZeroHandling:
    """Which trials have zero cells, and what the method did with them.

    Attributes
    ----------
    rule : str
        What the method does with zero cells, as a sentence.
    double_zero, single_zero : tuple of int
        Positions (from 0) of trials without events, or with nothing but events, in both arms; and
        of other trials with a zero cell.
    double_zero_labels, single_zero_labels : tuple of str
        The names of those trials.
    k_informative : int
        Trials that carry information on the estimate.
    """

    rule: str
    double_zero: tuple[int, ...]
    double_zero_labels: tuple[str, ...]
    single_zero: tuple[int, ...]
    single_zero_labels: tuple[str, ...]
    k_informative: int

    @property
    def k_double_zero(self) -> int:
        """Number of double-zero trials."""
        return len(self.double_zero)

    @property
    def k_single_zero(self) -> int:
        """Number of other trials with a zero cell."""
        return len(self.single_zero)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class TwoArmCounts(Result):
    """A result of the event counts of two arms.

    Attributes
    ----------
    k : int
        Trials given, informative or not.
    events_treatment, n_treatment, events_control, n_control : float
        Sums over trials.
    level : float
    zeros : ZeroHandling
    caveats : tuple of Caveat
    """

    k: int
    events_treatment: float
    n_treatment: float
    events_control: float
    n_control: float
    level: float
    zeros: ZeroHandling
    caveats: tuple[Caveat, ...]

    def forest(self, *_: Any, **__: Any) -> NoReturn:
        """Say how to draw the trials, of which a model of counts computes no effects."""
        raise CallError(
            "a model of counts computes no effects of single trials:"
            " km.random_effects(km.effect_sizes(...)).forest() draws them, and"
            " km.plots.forest({name: fit}) this result as a row"
        )

    def events_line(self) -> Line:
        """Return the printed line of the sums, such as ``7/188 v 23/203``."""
        sums = self.events_treatment, self.n_treatment, self.events_control, self.n_control
        treated, of_treated, control, of_control = map(format_count, sums)
        return Line("events", (f"{treated}/{of_treated} v {control}/{of_control}",))

    def head(self, what: str, how: str) -> str:
        """Return the head of what is printed."""
        trials = f"{plural(self.k, 'trial')}, {self.zeros.k_informative} informative"
        return f"{what}: {trials}, {how}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EventTables:
    """Checked counts of k trials, as float arrays of shape (k,).

    Attributes
    ----------
    a, b : ndarray
        Treatment arm: with and without the event.
    c, d : ndarray
        Control arm: with and without the event.
    any_zero, double_zero : ndarray of bool
    labels : tuple of str
    """

    a: Floats
    b: Floats
    c: Floats
    d: Floats
    any_zero: Bools
    double_zero: Bools
    labels: tuple[str, ...]

    @property
    def k(self) -> int:
        """Number of trials."""
        return int(self.a.size)

    @property
    def n1(self) -> Floats:
        """Participants under treatment."""
        return self.a + self.b

    @property
    def n2(self) -> Floats:
        """Participants under control."""
        return self.c + self.d

    @property
    def events(self) -> Floats:
        """Events in both arms."""
        return self.a + self.c

    @property
    def n(self) -> Floats:
        """Participants in both arms."""
        return self.n1 + self.n2

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """The fewest and the most events under treatment that the margins allow."""
        return np.maximum(0, self.events - self.n2), np.minimum(self.n1, self.events)

    def take(self, which: Bools) -> EventTables:
        """Return the tables where ``which`` is true."""
        kept = np.flatnonzero(which)
        arrays = ("a", "b", "c", "d", "any_zero", "double_zero")
        values = {name: getattr(self, name)[kept] for name in arrays}
        return EventTables(**values, labels=tuple(self.labels[i] for i in kept))

    def shared(
        self, rule: str, informative: Bools, caveats: Sequence[Caveat], *, contribute: bool = False
    ) -> dict[str, Any]:
        """Return what every result of counts holds.

        ``rule`` is what the method does with zeros; ``contribute``: double zeros carry weight.
        """
        double = np.flatnonzero(self.double_zero).tolist()
        single = np.flatnonzero(self.any_zero & ~self.double_zero).tolist()
        zeros = ZeroHandling(
            rule=rule,
            double_zero=tuple(double),
            double_zero_labels=tuple(self.labels[i] for i in double),
            single_zero=tuple(single),
            single_zero_labels=tuple(self.labels[i] for i in single),
            k_informative=int(informative.sum()),
        )
        return {
            "k": self.k,
            "events_treatment": float(self.a.sum()),
            "n_treatment": float(self.n1.sum()),
            "events_control": float(self.c.sum()),
            "n_control": float(self.n2.sum()),
            "zeros": zeros,
            "caveats": (*zero_caveats(zeros, self.k, contribute), *caveats),
        }


def event_tables(
    events_t: ArrayLike,
    n_t: ArrayLike,
    events_c: ArrayLike,
    n_c: ArrayLike,
    labels: Sequence[object] | None = None,
    *,
    whole: bool = False,
) -> EventTables:
    """Return the counts of k trials, or refuse them; ``whole`` refuses fractions."""
    e1, n1, e2, n2 = check_events(events_t, n_t, events_c, n_c, arms=("t", "c"))
    if e1.size == 0:
        raise NotEstimableError("events_t is empty: there are no trials")
    if whole:
        problems = Problems()
        for name, values in (("events_t", e1), ("n_t", n1), ("events_c", e2), ("n_c", n2)):
            problems.add(name, values, values != np.round(values), "a whole number")
        problems.check()
    any_zero, double = zero_cells_of(e1, n1, e2, n2)
    names = _names(labels, e1.size)
    return EventTables(e1, n1 - e1, e2, n2 - e2, any_zero, double, names)


def _names(labels: Sequence[object] | None, k: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"study {i + 1}" for i in range(k))
    names = tuple(str(label) for label in as_sequence("labels", labels))
    if len(names) != k:
        raise UsageError(f"labels has {len(names)} values and events_t has {k}; give one each")
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise ImpossibleDataError(f"labels repeat: {', '.join(repeated)}; a trial enters once")
    return names


def zero_caveats(zeros: ZeroHandling, k: int, contribute: bool) -> tuple[Caveat, ...]:
    """Return what a reader must know of the zeros; ``contribute``: double zeros carry weight."""
    role = "count as trials without a difference" if contribute else (
        "carry no information on the estimate")  # fmt: skip
    of = f"of {plural(k, 'trial')} had"
    return stated(
        (zeros.double_zero, "double_zero", f"{zeros.k_double_zero} {of} no event, or nothing but"
         f" events, in both arms; such trials {role}."),
        (zeros.single_zero, "single_zero",
         f"{zeros.k_single_zero} {of} a zero cell in one arm. {zeros.rule}"),
        (zeros.k_informative == 1, "single_study",
         "Only one trial carries information; nothing was pooled."),
    )  # fmt: skip
