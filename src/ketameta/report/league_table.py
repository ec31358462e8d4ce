"""The league table of a network: every treatment against every other, best first.

Rows of formatted text from results; computes nothing but the sign of a comparison read backwards.
"""

from __future__ import annotations

from typing import Any

from ketameta.analyses.network import treatment_label
from ketameta.analyses.words import interval_words, written
from ketameta.vocabulary import Measure


def league_table(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the league table, or nothing where there is no network.

    Returns
    -------
    dict or None
        ``columns`` (labels, best first) and ``rows`` of ``treatment`` and ``cells``: for each
        treatment that ranks better, this row's treatment against it (``text``, ``direct``: whether
        a trial compares the two).
    """
    net = result["network"]
    if net is None or net["withheld"]:
        return None
    measure = Measure(result["measure"])
    pairs = {}
    for item in net["league"]:
        pairs[item["treatment"], item["control"]] = item
        pairs[item["control"], item["treatment"]] = _backwards(item)
    order = [item["treatment"] for item in net["ranking"]]
    return {
        "columns": [treatment_label(name) for name in order[:-1]],
        "rows": [
            {
                "treatment": treatment_label(name),
                "cells": [
                    {
                        "text": _cell(pairs[name, other], measure),
                        "direct": pairs[name, other]["k_direct"] > 0,
                    }
                    for other in order[:place]
                ],
            }
            for place, name in enumerate(order)
            if place
        ],
    }


def league_rows(result: dict[str, Any]) -> list[list[Any]]:
    """Return every pair once as published, for a file."""
    net = result["network"]
    if net is None or net["withheld"]:
        return []
    columns = ("treatment", "control", "estimate", "se", "ci_low", "ci_high", "pi_low", "pi_high",
               "k_direct")  # fmt: skip
    return [
        [result["name"], result["measure"], *(item[name] for name in columns)]
        for item in net["league"]
    ]


def _backwards(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "estimate": -item["estimate"],
        "ci_low": -item["ci_high"],
        "ci_high": -item["ci_low"],
        "k_direct": item["k_direct"],
    }


def _cell(item: dict[str, Any], measure: Measure) -> str:
    interval = interval_words(item["ci_low"], item["ci_high"], measure)
    return f"{written(item['estimate'], measure)} ({interval})"
