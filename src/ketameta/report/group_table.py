"""The table of what else differs between groups of people, and their definitions side by side.

Rows of formatted text from results; computes nothing.
"""

from __future__ import annotations

from typing import Any

from ketameta.analyses.run import group_label
from ketameta.analyses.words import words_of
from ketameta.numberformat import format_number

#: Facts of a group, in the order of the columns, with their headings.
FACTS = (
    ("route", "Route"),
    ("regimen", "Regimen"),
    ("comparator", "Comparator"),
    ("blinding", "Blinding"),
    ("design", "Design"),
    ("age_group", "Age"),
)


def group_table(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return what differs between the groups and how each trial defines them.

    Returns
    -------
    dict or None
        ``columns`` (headings), ``rows`` (``group, k, days, cells``) and ``definitions`` (``group,
        study, definition``); a fact that is the same in all trials is left out of the columns and
        told in ``same``. ``None`` where the groups are not kinds of people.
    """
    found = result.get("group_facts")
    if not found:
        return None
    shown = [(key, label) for key, label in FACTS if _differs(found, key)]
    return {
        "columns": [label for _, label in shown],
        "rows": [
            {
                "group": group_label(entry["key"]),
                "k": str(entry["k"]),
                "days": format_number(entry["median_days"], 0),
                "cells": [_words(entry[key]) for key, _ in shown],
            }
            for entry in found
        ],
        "same": "; ".join(
            f"{label.lower()} {words_of(next(iter(found[0][key])))}"
            for key, label in FACTS
            if (key, label) not in shown
        ),
        "definitions": [
            {
                "group": group_label(entry["key"]),
                "study": item["label"],
                "definition": item["definition"],
            }
            for entry in found
            for item in entry["definitions"]
        ],
    }


def _differs(found: list[dict[str, Any]], key: str) -> bool:
    return len({word for entry in found for word in entry[key]}) > 1


def _words(counts: dict[str, int]) -> str:
    return "; ".join(f"{words_of(word)} {count}" for word, count in counts.items())
