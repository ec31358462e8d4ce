"""Settings and fixtures of the whole test set."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from helpers import ROOT
from ketameta.checks import checked_evidence
from ketameta.effect_table import EffectTable, derive_effects
from ketameta.evidence import Evidence
from ketameta.paths import project_paths

# The same examples on every machine, however busy it is, and no folder of examples beside the code.
settings.register_profile("ketameta", deadline=None, derandomize=True, database=None)
settings.load_profile("ketameta")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder of the committed project."""
    return ROOT


@pytest.fixture(scope="session")
def committed_evidence() -> Evidence:
    """The committed tables, corrected."""
    return checked_evidence(project_paths(ROOT))[1]


@pytest.fixture(scope="session")
def committed_effects(committed_evidence: Evidence) -> EffectTable:
    """The effects of the committed tables, nothing assumed."""
    return derive_effects(committed_evidence)
