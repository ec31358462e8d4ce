"""Bootstrap of a fit: intervals from refits to simulated, or to resampled, studies.

Permutation tests are in ``permutation``, simulated coverage in ``simulation``; their blocks of
replicates are run from here (:func:`run_blocks`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ketameta.effects.arrays import Floats, frozen
from ketameta.errors import KetametaError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, format_interval, plural
from ketameta.measures import measure_entry
from ketameta.models.intervals import check_level
from ketameta.models.pooling import decimals_for, reader_words, scale_words
from ketameta.models.resampling.batched import (
    DEFAULT_BUDGET,
    FitData,
    batched_fit,
    fit_data,
)
from ketameta.models.results import Caveat, Line, Printed, Result, terminal_bar
from ketameta.models.tau2 import COMMON
from ketameta.models.validation import check_count, is_whole

if TYPE_CHECKING:
    from distributed import Client

    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


Part = TypeVar("Part")
#: What a block computes: from the position of its first replicate, their number and a generator.
Task = Callable[[int, int, np.random.Generator], Part]
Progress = Callable[[int, int], None]

#: Replicates that share a seed. Part of what a seed means: another value gives other numbers.
BLOCK = 2048
#: Most replicates; nobody waits for more.
MOST_REPLICATES = 1_000_000_000
#: Where blocks run. The first is this process.
BACKENDS = ("serial", "threads", "processes", "dask")
#: Blocks sent to a worker at once, at most; and the messages per worker that are aimed at.
MOST_BLOCKS, MESSAGES_PER_WORKER = 64, 16
#: More workers than this per processor of this machine cannot be of use.
WORKERS_PER_CPU = 8


def run_blocks(
    task: Task[Part],
    replicates: int,
    seed: int,
    *,
    backend: str = "serial",
    workers: int | None = None,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> list[Part]:
    """Return what ``task`` makes of every block, in the order of the blocks.

    A task takes the position of the block's first replicate, their number and a generator; for
    other processes it must be picklable. Block ``i`` holds :data:`BLOCK` replicates, the last one
    what remains, and draws from ``SeedSequence(seed, spawn_key=(i,))``.

    Parameters
    ----------
    backend : {"serial", "threads", "processes", "dask"}
        Threads and processes are those of joblib.
    workers : int, optional
        For all but ``serial``; one per processor when not given.
    client : distributed.Client or str, optional
        A running Dask cluster, or the address of its scheduler; without it ``dask`` starts
        processes on this machine. A worker that dies loses nothing: its blocks run again on another
        one, with the same seeds.
    progress : callable, optional
        Called with the replicates done and their total.
    """
    check_choice("backend", backend, BACKENDS)
    count = -(-replicates // BLOCK)
    used = check_workers(backend, workers, client)
    size = max(1, min(MOST_BLOCKS, count // (used * MESSAGES_PER_WORKER)))
    if backend == "serial":
        size = 1
    groups = [range(i, min(i + size, count)) for i in range(0, count, size)]
    found: list[Part | None] = [None] * count
    done = 0
    with _results(backend, task, groups, replicates, seed, used, client) as results:
        for group, parts in results:
            found[group.start : group.stop] = parts
            done += sum(_size(i, replicates) for i in group)
            if progress is not None:
                progress(done, replicates)
    return found  # type: ignore[return-value]


def check_replicates(replicates: Any, least: int = 1, name: str = "replicates") -> int:
    """Return ``replicates`` when it is a whole number of at least ``least``."""
    if check_count(replicates, least, name) > MOST_REPLICATES:
        raise UsageError(f"{name} is above {MOST_REPLICATES:,}, the most that are made")
    return int(replicates)


def check_seed(seed: Any) -> int:
    """Return a seed: the one given, or a new one that the result stores."""
    if seed is None:
        return secrets.randbits(32)
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"seed is {seed!r}; give a non-negative integer")
    return int(seed)


def check_workers(backend: str, workers: Any, client: object) -> int:
    """Return how many workers are used (for a running cluster, a guess that changes no number)."""
    cpus = os.cpu_count() or 1
    if client is not None and backend != "dask":
        raise UsageError(f'client is given with backend="{backend}"; it needs backend="dask"')
    if workers is None:
        return 1 if backend == "serial" else cpus
    most = 1 if backend == "serial" else WORKERS_PER_CPU * cpus
    if client is not None:
        raise UsageError("workers is given with client; a running cluster has its own workers")
    if not is_whole(workers) or not 1 <= workers <= most:
        wanted = "1, or another backend" if most == 1 else f"a whole number from 1 to {most}"
        raise UsageError(f'workers is {workers!r} with backend="{backend}"; give {wanted}')
    return int(workers)


def _size(block: int, replicates: int) -> int:
    return min(BLOCK, replicates - block * BLOCK)


def run_group(task: Task[Part], group: range, replicates: int, seed: int) -> list[Part]:
    """Run some blocks, one after the other."""
    return [
        task(
            i * BLOCK,
            _size(i, replicates),
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,))),
        )
        for i in group
    ]


@contextlib.contextmanager
def _results(
    backend: str,
    task: Task[Part],
    groups: list[range],
    replicates: int,
    seed: int,
    workers: int,
    client: Client | str | None,
) -> Iterator[Iterator[tuple[range, list[Part]]]]:
    """Yield an iterator over the groups as they are done."""
    if backend == "serial":
        yield ((group, run_group(task, group, replicates, seed)) for group in groups)
    elif backend == "dask":
        with _cluster(client, workers) as running:
            yield _by_dask(running, task, groups, replicates, seed)
    else:
        from joblib import Parallel, delayed

        pool = Parallel(
            n_jobs=workers,
            backend="loky" if backend == "processes" else "threading",
            return_as="generator",
        )
        made = pool(delayed(run_group)(task, group, replicates, seed) for group in groups)
        yield zip(groups, made, strict=True)


def _by_dask(
    client: Any, task: Task[Part], groups: list[range], replicates: int, seed: int
) -> Iterator[tuple[range, list[Part]]]:
    distributed: Any = import_module("distributed")
    futures = {
        client.submit(run_group, task, group, replicates, seed, pure=False): group
        for group in groups
    }
    try:
        for future, parts in distributed.as_completed(futures, with_results=True):
            yield futures[future], parts
    except distributed.KilledWorker as problem:
        raise KetametaError(
            f"the same blocks lost their worker again and again ({problem}); give each worker more"
            " memory, or a smaller budget_bytes"
        ) from problem
    finally:
        client.cancel(list(futures))


@contextlib.contextmanager
def _cluster(client: Client | str | None, workers: int) -> Iterator[Any]:
    """Yield a Dask client; what was started here ends here."""
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise UsageError(
            'backend="dask" needs Dask: install ketameta[distributed], or use backend="processes"'
        ) from None
    if isinstance(client, distributed.Client):
        yield client
    elif isinstance(client, str):
        with distributed.Client(client) as connected:
            yield connected
    elif client is None:
        with (
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as connected,
        ):
            yield connected
    else:
        raise UsageError(
            f"client is {client!r}; give a distributed.Client or the address of a scheduler"
        )


#: Ways to a replicate; the first is the default.
KINDS = ("parametric", "studies")
#: Replicates when none are asked for: the Monte Carlo error of a 95% bound is then about 2% of a
#: standard error.
DEFAULT_REPLICATES = 10_000
#: Replicates that percentile bounds need at least.
LEAST_REPLICATES = 100
#: Below this number, resampled studies repeat each other so often that intervals are too short.
FEW_FOR_RESAMPLING = 10
#: The share of replicates that may be lost (a design that is singular in them) without a caveat.
LOST = 0.01


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Bootstrap(Result):
    """Percentile intervals from refits to random data.

    Attributes
    ----------
    kind : {"parametric", "studies"}
    names : tuple of str
        Of the p coefficients.
    estimate, bias, se, ci_low, ci_high : ndarray of shape (p,)
        The fit's own estimate; mean of the replicates less that; their standard deviation; and
        their percentiles.
    tau2, tau2_ci_low, tau2_ci_high : float or None
        None for the common-effect model.
    coefficients : ndarray of shape (p, R)
        Of the replicates that could be fitted, in order.
    tau2_values : ndarray of shape (R,)
    replicates, used : int
        Drawn, and fitted: resampled studies may leave a design singular.
    seed : int
    level : float
    tau2_method, measure
        How the fit was made.
    caveats : tuple of Caveat
    """

    not_serialised: ClassVar[tuple[str, ...]] = ("coefficients", "tau2_values")
    framed: ClassVar[tuple[str, ...]] = (
        "term=names", "estimate", "bias", "se", "ci_low", "ci_high"
    )  # fmt: skip

    kind: str
    names: tuple[str, ...]
    estimate: Floats
    bias: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    tau2: float | None
    tau2_ci_low: float | None
    tau2_ci_high: float | None
    coefficients: Floats
    tau2_values: Floats
    replicates: int
    used: int
    seed: int
    level: float
    tau2_method: str | None
    measure: str | None
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return the interval of each coefficient and of tau-squared."""
        lines, entry = [], measure_entry(self.measure)
        for j, name in enumerate(self.names):
            digits = decimals_for(float(self.se[j]))
            bounds = format_interval(float(self.ci_low[j]), float(self.ci_high[j]), digits)
            if entry is not None and (entry.transformation == "log" or len(self.names) == 1):
                ends = self.estimate[j], self.ci_low[j], self.ci_high[j]
                read = reader_words(self.measure, *map(float, ends))
                if read is not None:
                    bounds = f"{read[1]} ({scale_words(self.measure)} {bounds})"
            lines.append(Line(name, (bounds,)))
        if self.tau2_ci_low is not None and self.tau2_ci_high is not None:
            bounds = format_interval(self.tau2_ci_low, self.tau2_ci_high, 3)
            lines.append(Line("tau2", (bounds,)))
        how = "parametric" if self.kind == "parametric" else "resampled studies"
        head = (
            f"Bootstrap: {how}, {format_count(self.used)} replicates, seed {self.seed},"
            f" {100 * self.level:g}% intervals"
        )
        return Printed(head, lines, caveats=self.caveats)


@dataclasses.dataclass(frozen=True, slots=True)
class _Draws:
    """Draws and refits a block; returns coefficients (p, size) and tau-squared (size,)."""

    data: FitData
    kind: str
    fitted: Floats
    spread: Floats
    budget_bytes: int

    def __call__(self, start: int, size: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        k = len(self.data.y)
        y, v, design = self.data.y, self.data.v, self.data.design
        if self.kind == "parametric":
            y = self.fitted[:, None] + self.spread[:, None] * random.standard_normal((k, size))
        else:
            chosen = random.integers(0, k, (k, size))
            y, v = y[chosen], v[chosen]
            if design is not None:
                design = np.ascontiguousarray(np.moveaxis(design[chosen], 2, 1))
        fits = batched_fit(
            y, v, design, tau2_method=self.data.tau2_method, budget_bytes=self.budget_bytes
        )
        return fits.coefficients, fits.tau2


def bootstrap(
    fit: RandomEffects | MetaRegression,
    kind: str = "parametric",
    replicates: int = DEFAULT_REPLICATES,
    seed: int | None = None,
    *,
    level: float | None = None,
    backend: str = "serial",
    workers: int | None = None,
    client: Client | str | None = None,
    budget_bytes: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
) -> Bootstrap:
    """Refit a model to random data that resemble the observed ones.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        At least two studies, three for ``"studies"``.
    kind : {"parametric", "studies"}
        ``parametric``: new estimates from the fitted model, ``N(x_i b, v_i + tau2)``, with the
        variances as they are. ``studies``: as many studies, drawn with replacement.
    replicates : int
        At least 100.
    seed : int, optional
        Drawn and stored when not given.
    level : float, optional
        The fit's own when not given.
    backend, workers, client
        See :func:`run_blocks`; they change no number.
    budget_bytes : int
        Working memory of each worker; it changes no number.
    progress : callable, optional
        Of (done, total); a bar on a terminal when not given.

    Returns
    -------
    Bootstrap

    Raises
    ------
    NotEstimableError
        With too few studies, or when fewer than 100 replicates can be fitted.
    UsageError
        For settings that cannot work.

    Notes
    -----
    Percentile intervals. With few studies both kinds give intervals that are too short: the
    parametric one takes tau-squared as known, and resampled studies repeat each other. They check
    the shape of the other intervals and do not replace them. metafor has no bootstrap; its authors
    show one through R's package boot.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap. Turner, Spiegelhalter, Smith and
    Thompson (2000), Stat. Med. 19, 3417-3432 (parametric bootstrap in meta-analysis).

    Examples
    --------
    >>> from ketameta.models.pooling import random_effects
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> found = bootstrap(fit, replicates=1000, seed=1)
    >>> bool(found.ci_low[0] < fit.estimate < found.ci_high[0])
    True
    """
    check_choice("kind", kind, KINDS)
    least = 2 if kind == "parametric" else 3
    data = fit_data(fit, f"a bootstrap ({kind})", minimum=least, regression=True)
    level = data.level if level is None else check_level(level)
    replicates = check_replicates(replicates, LEAST_REPLICATES)
    seed = check_seed(seed)
    estimate = np.atleast_1d(np.asarray(fit.estimate, dtype=float))
    design = np.ones((len(data.y), 1)) if data.design is None else data.design
    draws = _Draws(data, kind, design @ estimate, np.sqrt(data.v + (fit.tau2 or 0.0)), budget_bytes)
    parts = run_blocks(
        draws,
        replicates,
        seed,
        backend=backend,
        workers=workers,
        client=client,
        progress=progress or terminal_bar("bootstrap replicates"),
    )
    coefficients = np.concatenate([part[0] for part in parts], axis=1)
    tau2 = np.concatenate([part[1] for part in parts])
    kept = ~np.isnan(tau2)
    coefficients, tau2 = coefficients[:, kept], tau2[kept]
    used = int(np.count_nonzero(kept))
    if used < LEAST_REPLICATES:
        raise NotEstimableError(
            f"only {used} of {replicates} resamples have a design that can be fitted; use"
            ' kind="parametric"'
        )
    shares = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(coefficients, shares, axis=1)
    caveats = []
    if kind == "studies" and (k := len(data.y)) < FEW_FOR_RESAMPLING:
        words = f"{plural(k, 'study', 'studies')}, resampled, repeat each other; the intervals are"
        caveats.append(Caveat("few_to_resample", f"{words} too short."))
    if used < (1 - LOST) * replicates:
        words = f"In {format_count(replicates - used)} of {format_count(replicates)} resamples the"
        words += " design could not be fitted; they are left out."
        caveats.append(Caveat("singular_resamples", words))
    common = data.tau2_method == COMMON
    tau2_low, tau2_high = (None, None) if common else np.quantile(tau2, shares).tolist()
    return Bootstrap(
        kind=kind,
        names=tuple(getattr(fit, "names", ("mean",))),
        estimate=frozen(estimate),
        bias=frozen(coefficients.mean(1) - estimate),
        se=frozen(coefficients.std(1, ddof=1)),
        ci_low=frozen(low),
        ci_high=frozen(high),
        tau2=fit.tau2,
        tau2_ci_low=tau2_low,
        tau2_ci_high=tau2_high,
        coefficients=frozen(coefficients),
        tau2_values=frozen(tau2),
        replicates=replicates,
        used=used,
        seed=seed,
        level=level,
        tau2_method=None if common else data.tau2_method,
        measure=data.measure,
        caveats=tuple(caveats),
    )
