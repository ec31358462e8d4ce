"""Sampling errors that two comparisons of one trial share, because they share an arm.

Builds the covariance that a multi-arm trial implies, exactly and by measure; fits nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.effects.arrays import LARGEST, SMALLEST, Floats, as_number, as_numbers, frozen
from ketameta.effects.table import as_name, check_alike
from ketameta.errors import ImpossibleDataError, UsageError, check_choice
from ketameta.formatting import format_interval, format_number, plural
from ketameta.models.results import Columns, Printed, Result

IntArray = NDArray[np.intp]


def check_vector(argument: str, values: ArrayLike, k: int | None = None) -> Floats:
    """Return ``values`` as a finite vector (of length ``k`` when given), or refuse them."""
    array = as_numbers(argument, values)
    if array.ndim != 1:
        raise UsageError(f"{argument} has shape {array.shape}; give a list of numbers")
    if k is not None and array.size != k:
        raise UsageError(f"{argument} has {array.size} values where {k} are needed")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        where = int(bad[0])
        raise ImpossibleDataError(
            f"{argument}[{where}] is {array[where]}; every value must be a finite number"
            f" (positions {bad.tolist()})"
        )
    bad = np.flatnonzero(np.abs(array) > LARGEST)
    if bad.size:
        raise ImpossibleDataError(
            f"{argument}[{bad[0]}] is {array[bad[0]]:g}; at most {LARGEST:g} in size is possible"
        )
    return array


def check_groups(
    argument: str, groups: Sequence[object] | ArrayLike, k: int
) -> tuple[tuple[str, ...], tuple[str, ...], IntArray]:
    """Return the label of every effect, the different ones in order of appearance, and indices.

    A missing label is refused: the effect would silently form or join a group.
    """
    if isinstance(groups, str):
        raise UsageError(f"{argument} is the text {groups!r}; give one label per effect")
    items = np.asarray(groups, dtype=object).ravel().tolist()
    if len(items) != k:
        raise UsageError(f"{argument} has {len(items)} values where {k} are needed, one per effect")
    for where, item in enumerate(items):
        if item is None or item != item or str(item).strip() == "":
            raise ImpossibleDataError(
                f"{argument}[{where}] is {item!r}; every effect needs a label"
            )
    labels = tuple(map(as_name, items))
    if argument in ("study", "cluster"):
        check_alike(argument, labels)
    known = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    return labels, tuple(known), np.array([known[label] for label in labels], dtype=np.intp)


def check_between(argument: str, value: float, low: float, high: float) -> float:
    """Return ``value`` when ``low <= value <= high``."""
    number = as_number(argument, value)
    if not low <= number <= high:
        raise UsageError(f"{argument} is {value!r}; it lies between {low:g} and {high:g}")
    return number


def positive_vector(argument: str, values: ArrayLike, k: int) -> Floats:
    """Return ``k`` numbers that are all above 0, or refuse them by position."""
    array = check_vector(argument, values, k)
    bad = np.flatnonzero(array < SMALLEST)
    if bad.size:
        least = "> 0" if array[bad[0]] <= 0 else f"at least {SMALLEST:g}"
        raise ImpossibleDataError(f"{argument}[{bad[0]}] is {array[bad[0]]:g}; it must be {least}")
    return array


def check_arms(
    study: tuple[str, ...],
    treatment: tuple[str, ...],
    control: tuple[str, ...],
    data: dict[str, Floats],
) -> None:
    """Refuse an arm against itself, a comparison given twice, and arms with two sets of numbers."""
    seen: dict[tuple[str, str], tuple[int, dict[str, float]]] = {}
    pairs: dict[tuple[str, frozenset[str]], int] = {}
    for row, (name, *arms) in enumerate(zip(study, treatment, control, strict=True)):
        if arms[0] == arms[1]:
            raise ImpossibleDataError(f"row {row} compares arm {arms[0]!r} of {name!r} with itself")
        before = pairs.setdefault((name, frozenset(arms)), row)
        if before != row:
            raise ImpossibleDataError(
                f"rows {before} and {row} both compare arms {arms[0]!r} and {arms[1]!r} of {name!r}"
            )
        for arm, side in zip(arms, ("treatment", "control"), strict=True):
            numbers = {
                column.removesuffix(f"_{side}"): float(values[row])
                for column, values in data.items()
                if column.endswith(f"_{side}")
            }
            at, known = seen.setdefault((name, arm), (row, numbers))
            for what, value in numbers.items():
                if known[what] != value:
                    raise ImpossibleDataError(
                        f"arm {arm!r} of {name!r} has {what} {known[what]:g} in row {at} and"
                        f" {value:g} in row {row}; a shared arm has one set of numbers"
                    )


def arm_variances(
    measure: str, data: dict[str, Floats], continuity: float
) -> tuple[Floats, Floats]:
    """Return the variance that the treatment and the control arm of each comparison bring."""
    n = (data["n_treatment"], data["n_control"])
    if measure == "SMD":
        return 1 / n[0], 1 / n[1]
    if measure in ("MD", "ROM"):
        sd = (data["sd_treatment"], data["sd_control"])
        if measure == "MD":
            return sd[0] ** 2 / n[0], sd[1] ** 2 / n[1]
        mean = (
            positive_vector("mean_treatment", data["mean_treatment"], n[0].size),
            positive_vector("mean_control", data["mean_control"], n[0].size),
        )
        return (sd[0] / mean[0]) ** 2 / n[0], (sd[1] / mean[1]) ** 2 / n[1]
    events = (data["events_treatment"], data["events_control"])
    for name, count, total in zip(("treatment", "control"), events, n, strict=True):
        bad = np.flatnonzero((count < 0) | (count > total))
        if bad.size:
            raise ImpossibleDataError(
                f"events_{name}[{bad[0]}] is {count[bad[0]]:g} of {total[bad[0]]:g} participants"
            )
    if measure == "RD":
        shares = [count / total for count, total in zip(events, n, strict=True)]
        found = [p * (1 - p) / total for p, total in zip(shares, n, strict=True)]
        flat = np.flatnonzero((found[0] + found[1]) <= 0)
        if flat.size:
            raise ImpossibleDataError(
                f"row {flat[0]}: a risk difference between arms without variation has no variance"
            )
        return found[0], found[1]
    empty = np.zeros(n[0].size, dtype=bool)
    for count, total in zip(events, n, strict=True):
        empty |= (count == 0) | (count == total)
    add = np.where(empty, continuity, 0.0)
    if np.any(empty) and continuity <= 0:
        where = int(np.flatnonzero(empty)[0])
        raise ImpossibleDataError(f"row {where} has a zero cell; give continuity > 0")
    both = [(count + add, total + 2 * add) for count, total in zip(events, n, strict=True)]
    if measure == "OR":
        first, second = (1 / count + 1 / (total - count) for count, total in both)
    else:
        first, second = (1 / count - 1 / total for count, total in both)
    return first, second


SHARED_ARM_MEASURES = ("SMD", "MD", "ROM", "OR", "RR", "RD")
PooledSd = Literal["pair", "trial"]
POOLED_SD = ("pair", "trial")
_NEEDS = {
    "SMD": ("estimates",),
    "MD": ("sd_treatment", "sd_control"),
    "ROM": ("mean_treatment", "sd_treatment", "mean_control", "sd_control"),
    "OR": ("events_treatment", "events_control"),
    "RR": ("events_treatment", "events_control"),
    "RD": ("events_treatment", "events_control"),
}


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class SamplingCovariance(Result):
    """The covariance of the sampling errors of several comparisons.

    Attributes
    ----------
    measure : str
    matrix : ndarray of shape (k, k)
        Zero between studies; pass it on as ``sampling_covariance``.
    study, treatment, control : tuple of str
        Study and arms of each comparison.
    shared : int
        Number of pairs of comparisons with an arm in common.
    """

    measure: str
    matrix: Floats
    study: tuple[str, ...]
    treatment: tuple[str, ...]
    control: tuple[str, ...]
    shared: int

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[np.float64]:
        """Return a copy of the matrix, so that a model takes the result itself."""
        return np.array(self.matrix)

    @property
    def correlation(self) -> Floats:
        """Correlations of the sampling errors, shape (k, k)."""
        root = np.sqrt(np.diag(self.matrix))
        return np.asarray(self.matrix / np.outer(root, root))

    def printed(self) -> Printed:
        """Return the sentence: how many pairs share an arm, and how strongly."""
        k = len(self.study)
        head = (
            f"Sampling covariance, {self.measure}: {plural(k, 'comparison')} in"
            f" {plural(len(set(self.study)), 'study', 'studies')}"
        )
        if not self.shared:
            return Printed(f"{head}; no arm is shared")
        pairs = self.correlation[np.triu_indices(k, 1)]
        linked = pairs[pairs != 0]
        span = (
            format_number(linked[0])
            if linked.size == 1
            else format_interval(linked.min(), linked.max())
        )
        pairs_words = f"{plural(self.shared, 'pair')} with an arm in common"
        return Printed(f"{head}; {pairs_words}, correlation {span}")

    def columns(self) -> Columns:
        """Return one row per pair of comparisons that share an arm."""
        first, second = np.nonzero(np.triu(self.matrix, 1))
        arms = [f"{a} - {b}" for a, b in zip(self.treatment, self.control, strict=True)]
        return {
            "study": [self.study[i] for i in first],
            "first": [arms[i] for i in first],
            "second": [arms[j] for j in second],
            "covariance": self.matrix[first, second],
            "correlation": self.correlation[first, second],
        }


def shared_arm_covariance(
    measure: str,
    study: Sequence[object] | ArrayLike,
    treatment: Sequence[object] | ArrayLike,
    control: Sequence[object] | ArrayLike,
    *,
    n_treatment: ArrayLike,
    n_control: ArrayLike,
    estimates: ArrayLike | None = None,
    mean_treatment: ArrayLike | None = None,
    sd_treatment: ArrayLike | None = None,
    mean_control: ArrayLike | None = None,
    sd_control: ArrayLike | None = None,
    events_treatment: ArrayLike | None = None,
    events_control: ArrayLike | None = None,
    variances: ArrayLike | None = None,
    pooled_sd: PooledSd = "pair",
    continuity: float = 0.5,
) -> SamplingCovariance:
    """Build the sampling covariance of comparisons that may share an arm.

    Parameters
    ----------
    measure : {"SMD", "MD", "ROM", "OR", "RR", "RD"}
        Ratios are on the log scale.
    study, treatment, control : sequence of length k
        Study and arms of each comparison (treatment minus control). Arms are shared when study and
        arm label are equal; a shared arm may be the treatment of one comparison and the control of
        another.
    n_treatment, n_control : array_like of shape (k,)
        Participants analysed, > 0.
    estimates : array_like of shape (k,)
        Standardised mean differences; needed for ``"SMD"`` only.
    mean_treatment, sd_treatment, mean_control, sd_control : array_like of shape (k,)
        In points of the scale; needed for ``"MD"`` (SDs) and ``"ROM"``.
    events_treatment, events_control : array_like of shape (k,)
        Needed for ``"OR"``, ``"RR"`` and ``"RD"``.
    variances : array_like of shape (k,), optional
        Sampling variances that the comparisons are analysed with. The correlations are kept and the
        covariances scaled to them; not needed where they follow from the arms.
    pooled_sd : {"pair", "trial"}
        Whether each standardised difference was divided by the pooled SD of its own two arms (as
        :func:`ketameta.effects.standardized_mean_difference` does) or by that of all arms of
        the trial (Gleser and Olkin).
    continuity : float, default: 0.5
        Added to the four cells of a comparison with a zero cell (odds and risk ratios), as in its
        effect size.

    Returns
    -------
    SamplingCovariance

    Raises
    ------
    UsageError
        An unknown measure, a missing column, or lengths that differ.
    ImpossibleDataError
        Numbers no arm can have, an arm compared with itself, or a shared arm whose numbers differ
        between rows.

    Notes
    -----
    With ``v_a`` the variance that arm a brings, two comparisons have covariance ``sum v_a`` over
    their common arms (minus where the arm is a treatment in one and a control in the other):

    ==== =====================================
    MD   ``sd**2 / n``
    ROM  ``sd**2 / (n mean**2)``
    OR   ``1 / events + 1 / (n - events)``
    RR   ``1 / events - 1 / n``
    RD   ``p (1 - p) / n``
    SMD  ``1 / n``, plus the term of the SD
    ==== =====================================

    For SMD with the trial's pooled SD the term is ``d_i d_j / (2 N)``, N counting all arms (Gleser
    and Olkin 2009). With the pair's pooled SD it is ``d_i d_j sum n_a / (2 N_i N_j)`` over common
    arms, by the same large-sample argument: the two SDs have only those arms in common. Either
    gives the usual variance ``1/n1 + 1/n2 + d**2 / (2 N)`` on the diagonal.

    References
    ----------
    Gleser LJ, Olkin I (2009). Stochastically dependent effect sizes. In: Cooper H, Hedges LV,
    Valentine JC (eds), The Handbook of Research Synthesis and Meta-Analysis, 2nd ed., 357-376.
    Russell Sage Foundation.

    Examples
    --------
    >>> V = shared_arm_covariance(
    ...     "RD", ["a", "a"], ["low", "high"], ["placebo", "placebo"], n_treatment=[50, 50],
    ...     n_control=[40, 40], events_treatment=[10, 20], events_control=[8, 8])
    >>> round(float(V.matrix[0, 1]), 6)
    0.004
    """
    check_choice("measure", measure, SHARED_ARM_MEASURES)
    check_choice("pooled_sd", pooled_sd, POOLED_SD)
    k = as_numbers("n_treatment", n_treatment).size
    given = {
        "estimates": estimates,
        "mean_treatment": mean_treatment,
        "sd_treatment": sd_treatment,
        "mean_control": mean_control,
        "sd_control": sd_control,
        "events_treatment": events_treatment,
        "events_control": events_control,
    }
    data = {
        "n_treatment": positive_vector("n_treatment", n_treatment, k),
        "n_control": positive_vector("n_control", n_control, k),
    }
    for name in _NEEDS[measure]:
        values = given[name]
        if values is None:
            needed = ", ".join(_NEEDS[measure])
            raise UsageError(f"{name} is missing; {measure} needs n_treatment, n_control, {needed}")
        data[name] = (
            positive_vector(name, values, k)
            if name.startswith("sd_")
            else check_vector(name, values, k)
        )
    study_labels = check_groups("study", study, k)[0]
    treatments = check_groups("treatment", treatment, k)[0]
    controls = check_groups("control", control, k)[0]
    check_arms(study_labels, treatments, controls, data)
    first, second = arm_variances(measure, data, as_number("continuity", continuity))
    matrix = _common_arms(study_labels, treatments, controls, first, second, signed=True)
    if measure == "SMD":
        matrix = matrix + _common_sd(study_labels, treatments, controls, data, pooled_sd)
    shared = int(np.count_nonzero(np.triu(matrix, 1)))
    if variances is not None:
        v = positive_vector("variances", variances, k)
        scale = np.sqrt(v / np.diag(matrix))
        matrix = matrix * np.outer(scale, scale)
        matrix[np.diag_indices(k)] = v
    return SamplingCovariance(measure, frozen(matrix), study_labels, treatments, controls, shared)


def _common_arms(
    study: tuple[str, ...],
    treatment: tuple[str, ...],
    control: tuple[str, ...],
    of_treatment: Floats,
    of_control: Floats,
    *,
    signed: bool,
) -> Floats:
    """Return sums over common arms, of sqrt(value in one row x value in the other).

    The values are equal unless a continuity correction enters one comparison only; the geometric
    mean then keeps the matrix positive definite.
    """
    arms: dict[tuple[str, str], int] = {}
    for name, *pair in zip(study, treatment, control, strict=True):
        for arm in pair:
            arms.setdefault((name, arm), len(arms))
    root = np.zeros((len(study), len(arms)))
    for row, (name, a, b) in enumerate(zip(study, treatment, control, strict=True)):
        root[row, arms[name, a]] = np.sqrt(of_treatment[row])
        root[row, arms[name, b]] = np.sqrt(of_control[row]) * (-1 if signed else 1)
    return np.asarray(root @ root.T)


def _common_sd(
    study: tuple[str, ...],
    treatment: tuple[str, ...],
    control: tuple[str, ...],
    data: dict[str, Floats],
    pooled_sd: str,
) -> Floats:
    """Return what the estimated standard deviations add to a standardised mean difference."""
    d, n = data["estimates"], (data["n_treatment"], data["n_control"])
    if pooled_sd == "pair":
        common = _common_arms(study, treatment, control, n[0], n[1], signed=False)
        total = n[0] + n[1]
        return np.asarray(np.outer(d, d) * common / (2 * np.outer(total, total)))
    people: dict[str, dict[str, float]] = {}
    for row, name in enumerate(study):
        arms = people.setdefault(name, {})
        arms[treatment[row]], arms[control[row]] = float(n[0][row]), float(n[1][row])
    total = np.array([sum(people[name].values()) for name in study])
    same = np.array(study)[:, None] == np.array(study)
    return np.asarray(np.where(same, np.outer(d, d) / (2 * total), 0.0))


def rows_of_groups(groups: IntArray, count: int) -> list[IntArray]:
    """Return the positions of each group's members, in order; linear in the members."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, count)))


def given_blocks(
    covariance: Any, rows: Sequence[IntArray], studies: Sequence[str]
) -> list[Floats] | None:
    """Return the matrices of a list with one per study; ``None`` for anything else."""
    listed = isinstance(covariance, list | tuple) and len(covariance) > 0
    if not listed or not all(np.ndim(block) == 2 for block in covariance):
        return None
    if len(covariance) != len(studies):
        raise UsageError(
            f"sampling_covariance has {len(covariance)} matrices; give one for each of the"
            f" {len(studies)} studies, in order of first appearance"
        )
    found = []
    for block, at, name in zip(covariance, rows, studies, strict=True):
        array = as_numbers("sampling_covariance", block)
        if array.shape != (at.size, at.size) or not np.all(np.isfinite(array)):
            raise UsageError(
                f"sampling_covariance of study {name!r} has shape {array.shape}; it needs"
                f" ({at.size}, {at.size}) numbers"
            )
        found.append(array)
    return found
