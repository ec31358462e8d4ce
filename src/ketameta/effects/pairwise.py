"""From the arms of trials to contrasts with their covariance, for networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.events import ZERO_CELL_RULES, check_correction
from ketameta.effects.means import hedges_j
from ketameta.effects.one_group import log_odds, log_rate, proportion, single_mean
from ketameta.effects.table import (
    Effects,
    as_name,
    check_alike,
    column_values,
    complete_rows,
    named_rows,
    read_column,
    read_frame,
)
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.measures import Measure, find_measure

#: What one arm needs, by measure.
ARM_COLUMNS = {
    **dict.fromkeys(("SMD", "MD", "ROM"), ("mean", "sd", "n")),
    **dict.fromkeys(("OR", "RR", "RD"), ("events", "n")),
    "IRR": ("events", "time"),
}
_Arms = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Contrasts(Effects):
    """Comparisons of the arms of trials; goes into ``network_meta_analysis``.

    A trial of p arms gives p - 1 comparisons with one of them, and their covariance.

    Attributes
    ----------
    study, treatment, control : tuple of str
        Of each comparison, treatment minus control.
    covariance : tuple of ndarray
        Sampling covariance of the comparisons of each study, in order of first appearance.
    n_treatment, n_control : ndarray of shape (k,) or None
        People in the two arms; None for rates.
    """

    study: tuple[str, ...]
    treatment: tuple[str, ...]
    control: tuple[str, ...]
    covariance: tuple[Floats, ...]
    n_treatment: Floats | None = None
    n_control: Floats | None = None

    def model_arguments(self) -> dict[str, Any]:
        """Return what a model takes from these contrasts, by the names of its parameters."""
        return {
            "labels": self.labels,
            "measure": self.measure,
            "study": self.study,
            "treatment": self.treatment,
            "control": self.control,
            "sampling_covariance": list(self.covariance),
            "n_treatment": self.n_treatment,
            "n_control": self.n_control,
        }


def pairwise(
    data: Any = None,
    measure: Measure | str = "SMD",
    *,
    study: Any,
    treatment: Any,
    reference: str | None = None,
    missing: str = "refuse",
    zero_cells: str = "only0",
    correction: float = 0.5,
    **columns: Any,
) -> Contrasts:
    """Turn rows of arms into the contrasts of a network, with their covariance.

    Parameters
    ----------
    data : data frame, mapping of columns or None
        One row per arm.
    measure : {"SMD", "MD", "ROM", "OR", "RR", "RD", "IRR"}
    study, treatment : str or sequence of length k
        The trial and the treatment of each arm.
    reference : str, optional
        Arm that a trial's others are compared with, where it has it; otherwise the treatment that
        most trials have. Results of a network do not depend on it.
    missing : {"refuse", "drop"}
        What happens to an arm in which a value is missing.
    zero_cells : {"only0", "all", "none"}
        Trials whose arms all receive ``correction``: those with an arm in which nobody or everybody
        has the event (IRR: without events), all, or none.
    correction : float
    **columns : str or array_like of shape (k,)
        ``mean, sd, n``, or ``events, n``, or ``events, time``: columns or values, one per arm.

    Returns
    -------
    Contrasts

    Raises
    ------
    UsageError
        An unknown measure or column, or columns that are missing.
    ImpossibleDataError
        Values that no arm can have, a trial with one arm or with two arms of one treatment, or
        names that differ only in case or outer spaces.
    NotEstimableError
        A measure that is not defined for an arm.

    Notes
    -----
    The comparisons of a trial share its first arm a, whose variance is their covariance:
    ``sd**2/n`` (MD), ``sd**2/(n mean**2)`` (ROM), ``1/x + 1/(n - x)`` (OR), ``1/x - 1/n`` (RR),
    ``p (1 - p)/n`` (RD), ``1/x`` (IRR). Standardised differences of one trial share the pooled SD
    of all of its arms, so that they are consistent; with g the differences and N all people their
    covariance is ``1/n_a + g_i g_j / (2 N)`` (Gleser and Olkin 2009). Trials of two arms are as
    :func:`~ketameta.effect_sizes` has them.

    References
    ----------
    Gleser LJ, Olkin I (2009). Stochastically dependent effect sizes. In: Cooper H, Hedges LV,
    Valentine JC (eds), The Handbook of Research Synthesis and Meta-Analysis, 2nd ed., 357-376.

    Examples
    --------
    >>> arms = {"trial": ["A", "A", "A", "B", "B"], "drug": ["x", "y", "p", "x", "p"],
    ...         "events": [10, 8, 20, 5, 9], "n": [50, 50, 48, 30, 31]}
    >>> found = pairwise(arms, "OR", study="trial", treatment="drug", events="events", n="n")
    >>> found.labels
    ('A: x v p', 'A: y v p', 'B: x v p')
    >>> print(found.covariance[0].round(4))
    [[0.2107 0.0857]
     [0.0857 0.2345]]
    """
    name = find_measure(check_choice("measure", str(measure), tuple(ARM_COLUMNS))).name
    check_choice("zero_cells", zero_cells, ZERO_CELL_RULES)
    constant = check_correction(correction)
    frame = None if data is None else read_frame(data)
    needed = ARM_COLUMNS[name]
    wrong = [column for column in columns if column not in needed]
    lacking = [column for column in needed if columns.get(column) is None]
    if wrong or lacking:
        what = f"missing: {', '.join(lacking)}" if lacking else f"no argument {wrong[0]!r}"
        raise UsageError(f"{name.value} of arms needs {', '.join(needed)}; {what}")
    given = {column: column_values(frame, column, columns[column]) for column in needed}
    rows = next(iter(given.values())).size
    trials = _words(frame, "study", study, rows)
    drugs = _words(frame, "treatment", treatment, rows)
    wrong = [f"{key} has {values.size}" for key, values in given.items() if values.size != rows]
    if wrong:
        raise UsageError(f"columns differ in length: study has {rows}, {', '.join(wrong)}")
    check_alike("study", trials)
    check_alike("treatment", drugs)
    labels = tuple(f"{a}, {b}" for a, b in zip(trials, drugs, strict=True))
    kept = complete_rows(given, labels, missing)
    try:
        arms = [given[column][kept] for column in needed]
        if name is Measure.IRR:
            log_rate(*arms, zero_cells="all")
        elif "events" in needed:
            proportion(*arms, zero_cells="all")
        else:
            single_mean(*arms)
    except ImpossibleDataError as problem:
        raise named_rows(problem, kept, labels) from None
    groups = _trials(trials, drugs, kept, reference)
    used, corrected = _corrected(name, given, groups, zero_cells, constant)
    build = _smd if name is Measure.SMD else _by_arm(name)
    y, blocks, first, base = [], [], [], []
    for at in groups.values():
        try:
            effects, block = build(used, at)
        except NotEstimableError as problem:
            raise named_rows(problem, at, labels) from None
        y.append(effects)
        blocks.append(frozen(block))
        first += at[1:].tolist()
        base += [int(at[0])] * (at.size - 1)
    variance = np.concatenate([np.diag(block) for block in blocks])
    people = given.get("n")
    gone = sorted(set(range(rows)) - set(kept.tolist()))
    return Contrasts(
        estimate=frozen(np.concatenate(y)),
        variance=frozen(variance),
        labels=tuple(
            f"{trials[i]}: {drugs[i]} v {drugs[j]}" for i, j in zip(first, base, strict=True)
        ),
        measure=name,
        raw={},
        positions=np.arange(len(first)),
        rows=len(first),
        dropped=tuple(labels[i] for i in gone),
        corrected=corrected[first],
        study=tuple(trials[i] for i in first),
        treatment=tuple(drugs[i] for i in first),
        control=tuple(drugs[i] for i in base),
        covariance=tuple(blocks),
        n_treatment=None if people is None else frozen(people[first]),
        n_control=None if people is None else frozen(people[base]),
    )


def _words(frame: Any, argument: str, value: Any, rows: int) -> tuple[str, ...]:
    """Return the names of trials or treatments."""
    if isinstance(value, str):
        if frame is None:
            raise UsageError(f"{argument} is the text {value!r}; give one name per arm, or data=")
        items = read_column(frame, value, argument).tolist()
    else:
        items = np.asarray(value, dtype=object).ravel().tolist()
    if len(items) != rows:
        raise UsageError(f"{argument} has {len(items)} values; give one for each of {rows} arms")
    empty = [i for i, x in enumerate(items) if x is None or x != x or str(x).strip() == ""]
    if empty:
        raise ImpossibleDataError(f"{argument}[{empty[0]}] is missing; every arm needs one")
    return tuple(map(as_name, items))


def _trials(
    trials: Sequence[str], drugs: Sequence[str], kept: NDArray[np.int64], reference: str | None
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each trial, the arm that the others are compared with first."""
    found: dict[str, list[int]] = {}
    for i in kept.tolist():
        found.setdefault(trials[i], []).append(i)
    count: dict[str, int] = {}
    problems = []
    for trial, at in found.items():
        names = [drugs[i] for i in at]
        for name in dict.fromkeys(names):
            count[name] = count.get(name, 0) + 1
        if len(at) == 1:
            problems.append(f"{trial!r} has one arm, {names[0]!r}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            problems.append(
                f"{trial!r} has several arms of {', '.join(map(repr, twice))}; join them"
                " (km.combine_arms, km.combine_events) or name them apart"
            )
    if problems:
        raise ImpossibleDataError("; ".join(problems))
    if not found:
        raise NotEstimableError("there is no arm")
    if reference is not None:
        check_choice("reference", reference, sorted(count))
    order = sorted(count, key=lambda name: (name != reference, -count[name], name))
    return {
        trial: np.array(sorted(at, key=lambda i: order.index(drugs[i]) > min(
            order.index(drugs[j]) for j in at)))  # stable: the others keep their order
        for trial, at in found.items()
    }  # fmt: skip


def _corrected(
    name: Measure,
    given: Mapping[str, Floats],
    groups: Mapping[str, NDArray[np.int64]],
    rule: str,
    constant: float,
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Return the columns with the constant added to whole trials, and where."""
    used = {column: values.copy() for column, values in given.items()}
    corrected = np.zeros(next(iter(used.values())).size, dtype=bool)
    if "events" not in used:
        return used, corrected
    events, n = given["events"], given.get("n")
    empty = (events == 0) if n is None else (events == 0) | (events == n)
    for at in groups.values():
        if rule == "all" or (rule == "only0" and empty[at].any()):
            corrected[at] = True
    used["events"] = events + constant * corrected
    if n is not None:
        used["n"] = n + 2 * constant * corrected
    return used, corrected


_Build = Callable[[Mapping[str, Floats], NDArray[np.int64]], _Arms]


def _smd(used: Mapping[str, Floats], at: NDArray[np.int64]) -> _Arms:
    """Return standardised differences of one trial by the SD of all of its arms."""
    mean, sd, n = (used[column][at] for column in ("mean", "sd", "n"))
    df = float((n - 1).sum())
    pooled = np.sqrt(((n - 1) * sd**2).sum() / df)
    g = hedges_j(np.array(df)) * (mean[1:] - mean[0]) / pooled
    return g, np.diag(1 / n[1:]) + 1 / n[0] + np.outer(g, g) / (2 * n.sum())


def _by_arm(name: Measure) -> _Build:
    """Return the builder of a measure that is a difference of one number per arm."""

    def build(used: Mapping[str, Floats], at: NDArray[np.int64]) -> _Arms:
        theta, v = _arm_values(name, [used[column][at] for column in ARM_COLUMNS[name]])
        return theta[1:] - theta[0], np.diag(v[1:]) + v[0]

    return build


def _arm_values(name: Measure, arms: list[Floats]) -> _Arms:
    if name is Measure.IRR:
        found = log_rate(*arms, zero_cells="none")
    elif name is Measure.OR:
        found = log_odds(*arms, zero_cells="none")
    elif name in (Measure.RD, Measure.RR):
        events, n = arms
        p = events / n
        if name is Measure.RD:
            v = p * (1 - p) / n
        else:
            _refuse("the log risk is not defined without events (see zero_cells)", events == 0)
            v = 1 / events - 1 / n
        if np.count_nonzero(v == 0) > 1:
            _refuse("a difference of arms without variation has no variance", v == 0)
        return (p if name is Measure.RD else np.log(p)), v
    else:
        found = single_mean(*arms)
        if name is Measure.ROM:
            mean, sd, n = arms
            wrong = (np.sign(mean) != np.sign(mean[0])) | (mean == 0)
            _refuse("means of one trial must be of one sign and not zero", wrong)
            return np.log(np.abs(mean)), sd**2 / (n * mean**2)
    return found.estimate, found.variance


def _refuse(why: str, broken: NDArray[np.bool_]) -> None:
    if broken.any():
        listed = ", ".join(map(str, np.flatnonzero(broken)))
        raise NotEstimableError(f"{why}: position {listed}")
