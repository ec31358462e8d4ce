"""The programs beside which kernels are timed: metafor in one R process, PyMARE, statsmodels."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


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
        return float(self._process.stdout.readline())


def pymare_fit(y: np.ndarray, v: np.ndarray, design: np.ndarray | None = None) -> Any:
    """One data set through PyMARE: REML and its conservative Knapp-Hartung table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymare import Dataset
        from pymare.estimators import VarianceBasedLikelihoodEstimator

        columns = np.ones((len(y), 1)) if design is None else design
        data = Dataset(y, v, X=columns, add_intercept=False)
        estimator = VarianceBasedLikelihoodEstimator(
            method="REML", small_sample_correction="knapp-hartung-conservative"
        )
        return estimator.fit_dataset(data).summary().get_fe_stats()


def statsmodels_fit(y: np.ndarray, v: np.ndarray) -> Any:
    """One data set through statsmodels: Paule-Mandel (it has no REML) and its Knapp-Hartung row."""
    with warnings.catch_warnings():
        from statsmodels.stats.meta_analysis import combine_effects

        warnings.simplefilter("ignore")
        return combine_effects(y, v, method_re="iterated", use_t=True).summary_frame()
