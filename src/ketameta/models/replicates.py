"""Random replicates in fixed blocks, each with a seed of its own, run here or on a Dask cluster.

A replicate depends on the seed and its position alone: not on memory, threads or workers. Knows
nothing of what a block computes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ketameta.errors import KetametaError, UsageError, check_choice

if TYPE_CHECKING:
    from distributed import Client

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

    Parameters
    ----------
    task : callable
        Takes the position of the block's first replicate, their number and a generator; for other
        processes it must be picklable.
    replicates, seed : int
        Block ``i`` holds :data:`BLOCK` replicates, the last one what remains, and draws from
        ``SeedSequence(seed, spawn_key=(i,))``.
    backend : {"serial", "threads", "processes", "dask"}
        Threads and processes are those of joblib.
    workers : int, optional
        For all but ``serial``; one per processor when not given.
    client : distributed.Client or str, optional
        A running Dask cluster, or the address of its scheduler; without it ``dask`` starts
        processes on this machine. A worker that dies loses nothing: its blocks run again on
        another one, with the same seeds.
    progress : callable, optional
        Called with the replicates done and their total.

    Raises
    ------
    UsageError
        Settings that cannot work, with those that would; or Dask is not installed.
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
    whole = isinstance(replicates, (int, np.integer)) and not isinstance(replicates, bool)
    if not whole or replicates < least:
        raise UsageError(f"{name} is {replicates!r}; give a whole number of at least {least}")
    if replicates > MOST_REPLICATES:
        raise UsageError(f"{name} is above {MOST_REPLICATES:,}, the most that are made")
    return int(replicates)


def check_seed(seed: Any) -> int:
    """Return a seed: the one given, or a new one that the result stores."""
    if seed is None:
        return secrets.randbits(32)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
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
    whole = isinstance(workers, (int, np.integer)) and not isinstance(workers, bool)
    if not whole or not 1 <= workers <= most:
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
