"""Distance from the limit: floating-point operations of an algorithm against a matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import synthetic

from ketameta import batched_fit
from ketameta.models.resampling.batch import Batch

#: Operations per study of one evaluation of the projections (sums over studies), counted in
#: ``batch.projections``: without and with the derivative, mean alone.
EVALUATION, DERIVATIVE = 14, 26
#: With a design of two columns.
EVALUATION_2, DERIVATIVE_2 = 40, 62
#: The final coefficients and their covariance.
FINAL = 10


#: Square products that are tried: small ones stay in one thread, large ones may use several.
SIZES = (64, 256, 512)


def product_rate(repetitions: int = 50) -> float:
    """Return the operations per second of ``a @ a``, the best of several sizes and repetitions."""
    best = 0.0
    for size in SIZES:
        a = np.random.default_rng(1).random((size, size))
        for _ in range(repetitions):
            begun = time.perf_counter()
            a @ a
            best = max(best, 2 * size**3 / (time.perf_counter() - begun))
    return best


def counted(work: Callable[[], Any], studies: int, products: int, columns: int) -> float:
    """Return the operations of a batch: products on the grid, evaluations of the search, the end.

    ``products`` is the number of sums of ``studies`` terms at each grid point.
    """
    seen = {"grid": 0.0, "evaluations": 0.0}
    grid, projections = Batch.score_on_grid, Batch.projections
    plain, slope = (EVALUATION, DERIVATIVE) if columns == 1 else (EVALUATION_2, DERIVATIVE_2)

    def on_grid(data: Batch, points: Any, **options: Any) -> Any:
        seen["grid"] += len(points) * data.columns * (2.0 * products * studies + 8)
        return grid(data, points, **options)

    def evaluation(data: Batch, tau2: Any, *, derivative: bool = True) -> Any:
        each = slope if derivative else plain
        seen["evaluations"] += each * studies * data.columns
        return projections(data, tau2, derivative=derivative)

    with (
        mock.patch.object(Batch, "score_on_grid", on_grid),
        mock.patch.object(Batch, "projections", evaluation),
    ):
        fits = work()
    return seen["grid"] + seen["evaluations"] + FINAL * studies * len(fits.k)


def measure(rounds: int) -> dict[str, Any]:
    """Return rate and share of each kernel."""
    random = np.random.default_rng(4)
    tasks: dict[str, tuple[Callable[[], Any], int, int, int]] = {}
    v = synthetic.meta_analysis(10)[1]
    y = random.normal(0, np.sqrt(v + 0.1)[:, None], (10, 20_000))
    tasks["simulation, k = 10"] = (lambda: batched_fit(y, v), 10, 3, 1)
    y13, v13 = synthetic.meta_analysis(13)
    mask13 = (np.arange(1, 2**13) >> np.arange(13)[:, None]) & 1 > 0
    tasks["GOSH, k = 13"] = (lambda: batched_fit(y13, v13, mask=mask13), 13, 5, 1)
    y40, v40 = synthetic.meta_analysis(40)
    mask40 = random.random((40, 20_000)) < 0.5
    tasks["GOSH, k = 40"] = (lambda: batched_fit(y40, v40, mask=mask40), 40, 5, 1)
    y48, v48 = synthetic.meta_analysis(48)
    x = np.column_stack([np.ones(48), random.normal(size=48)])
    orders = np.array([random.permutation(48) for _ in range(10_000)])
    dealt = np.ascontiguousarray(np.moveaxis(x[orders], 0, -1))
    # Pairs of columns: w and w2 times three products, two cross products each, y squared, mask.
    tasks["permutations, k = 48"] = (lambda: batched_fit(y48, v48, dealt), 48, 12, 2)
    both = synthetic.meta_analysis(10)[1][:, None] * random.uniform(0.5, 2, (10, 20_000))
    tasks["simulation with its own variances, k = 10"] = (lambda: batched_fit(y, both), 10, 0, 1)
    limit = product_rate()
    found = []
    for name, (work, studies, products, columns) in tasks.items():
        operations = counted(work, studies, products, columns)
        times = []
        for _ in range(rounds):
            begun = time.process_time()
            work()
            times.append(time.process_time() - begun)
        limit = max(limit, product_rate(repetitions=20))
        found.append({"kernel": name, "operations": operations, "seconds": float(np.median(times))})
    return {"product": limit, "kernels": found}
