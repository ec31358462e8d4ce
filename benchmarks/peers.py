"""The programs beside which tasks are timed, each reading the same quantities.

metafor in one running R; PyMARE and statsmodels, which are installed; pimeta and PyMetaAnalysis,
which ``pip install ketameta[bench]`` adds. A peer that is absent is skipped, and the page says so.
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
#: Peers in Python: their name, and the module they are imported as.
MODULES = {
    "PyMARE": "pymare",
    "statsmodels": "statsmodels",
    "pimeta": "pimeta",
    "PyMetaAnalysis": "meta_analyze",
}
Seconds = Callable[[], float | None]
#: Inches of a forest plot of 13 studies as ketameta draws it; metafor_timings.R has them too.
PAGE_OF_A_FOREST = (7.09, 4.27)


def installed() -> dict[str, str | None]:
    """Return the version of every peer in Python; None where it is absent."""
    found: dict[str, str | None] = {}
    for name, module in MODULES.items():
        try:
            found[name] = version(name) if find_spec(module) else None
        except PackageNotFoundError:
            found[name] = None
    return found


class Metafor:
    """One running R; None for every time when Rscript or metafor is not installed."""

    def __init__(self, folder: Path) -> None:
        self.version: str | None = None
        self._process: Any = None
        if shutil.which("Rscript"):
            command = ["Rscript", "--vanilla", str(HERE / "metafor_timings.R"), str(folder)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self.version = self._process.stdout.readline().strip() or None

    def __enter__(self) -> Metafor:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def seconds(self, task: str, repetitions: int) -> float | None:
        """Return the seconds of one repetition, measured inside R."""
        if self.version is None:
            return None
        self._process.stdin.write(f"{task} {repetitions}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        return None if said == "NA" else float(said)


def pymare_fit(
    y: np.ndarray, v: np.ndarray, design: np.ndarray | None = None, method: str = "REML"
) -> Any:
    """Fit with PyMARE and read its conservative Knapp-Hartung table and heterogeneity."""
    from pymare import Dataset, estimators

    columns = np.ones((len(y), 1)) if design is None else design
    data = Dataset(y, v, X=columns, add_intercept=False)
    correction = {"small_sample_correction": "knapp-hartung-conservative"}
    estimator = (
        estimators.DerSimonianLaird(**correction)
        if method == "DL"
        else estimators.VarianceBasedLikelihoodEstimator(method=method, **correction)
    )
    found = estimator.fit_dataset(data).summary()
    return found.get_fe_stats(), found.get_heterogeneity_stats()


def pymare_permutations(y: np.ndarray, v: np.ndarray, design: np.ndarray, count: int) -> Any:
    """Run PyMARE's own permutation test of a regression."""
    from pymare import Dataset
    from pymare.estimators import VarianceBasedLikelihoodEstimator

    data = Dataset(y, v, X=design, add_intercept=False)
    fitted = VarianceBasedLikelihoodEstimator(method="REML").fit_dataset(data)
    return fitted.summary().permutation_test(n_perm=count)


def statsmodels_fit(y: np.ndarray, v: np.ndarray, method: str = "iterated") -> Any:
    """Fit with statsmodels: Paule-Mandel or DerSimonian-Laird (it has no REML)."""
    from statsmodels.stats.meta_analysis import combine_effects

    r = combine_effects(y, v, method_re=method, use_t=True)
    return r.mean_effect_re, r.sd_eff_w_re_hksj, r.conf_int(), r.tau2, r.i2, r.q


def pimeta_fit(
    y: np.ndarray, v: np.ndarray, mods: np.ndarray | None = None, method: str = "REML"
) -> Any:
    """Fit with pimeta by conservative Knapp-Hartung."""
    from pimeta import rma

    r = rma(y, v, mods=mods, method=method, test="adhoc")
    return r.b, r.se, r.ci_lb, r.ci_ub, r.tau2, r.I2, r.QE


def pymetaanalysis_fit(frame: Any, method: str = "REML") -> Any:
    """Fit with PyMetaAnalysis by conservative Knapp-Hartung."""
    from meta_analyze import meta_analysis

    r = meta_analysis(frame, effect="yi", variance="vi", tau2_method=method,
                      ci_method="hartung_knapp_adhoc")  # fmt: skip
    return r, (r.estimate, r.standard_error, r.ci, r.tau2, r.i2, r.q)


def quietly(work: Callable[[], Any]) -> Callable[[], Any]:
    """Return the work with warnings of the peer unheard."""

    def done() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()

    return done
