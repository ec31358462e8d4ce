"""Declared questions: from an analysis file to its results. Draws nothing."""

from ketameta.analyses.spec import AnalysisSpec
from ketameta.analyses.spec_file import load_spec, load_specs

__all__ = ["AnalysisSpec", "load_spec", "load_specs"]
