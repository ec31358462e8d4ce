"""Values of an analysis file by kind; what is wrong is collected, never raised at the first.

Knows no analysis: keys and allowed words come from the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.errors import did_you_mean


class Problems:
    """Collects problems while a file is read.

    Attributes
    ----------
    raw : dict
        The file as read.
    problems : list of str
        Each names the key, the value and the choices.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.problems: list[str] = []

    def unknown(
        self, where: str, table: Mapping[str, Any], allowed: Sequence[str] | set[str]
    ) -> None:
        """Note the keys of a table that it cannot have."""
        for key in table:
            if key not in allowed:
                self.problems.append(
                    f"{where}{key}: no such key{did_you_mean(key, allowed)} "
                    f"(allowed: {', '.join(sorted(allowed))})"
                )

    def text(self, key: str, *, required: bool = False) -> str:
        """Return a text of the file; an empty one where it is missing or no text."""
        value = self.raw.get(key, "")
        if not isinstance(value, str) or (required and not value.strip()):
            self.problems.append(f"{key}: a text is needed")
            return ""
        return value

    def word(self, key: str, allowed: Sequence[str]) -> str:
        """Return a controlled word of the file; the first allowed one where it is none."""
        value = self.raw.get(key)
        if value not in allowed:
            hint = did_you_mean(str(value), allowed)
            self.problems.append(f"{key} is {value!r}; choose one of {', '.join(allowed)}{hint}")
            return allowed[0]
        return str(value)

    def number(self, key: str, table: Mapping[str, Any]) -> float | None:
        """Return a finite number, or nothing."""
        value = table.get(key)
        if value is None:
            return None
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and math.isfinite(value)):
            self.problems.append(f"{key} is {value!r}; a number is needed")
            return None
        return float(value)

    def flag(self, where: str, table: Mapping[str, Any], key: str, default: bool) -> bool:
        """Return true or false."""
        value = table.get(key, default)
        if not isinstance(value, bool):
            self.problems.append(f"{where}{key} is {value!r}; true or false is needed")
            return default
        return value

    def list(
        self, where: str, table: Mapping[str, Any], key: str, allowed: Sequence[str] | None
    ) -> tuple[str, ...]:
        """Return a list of words; unknown ones are noted with the nearest."""
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problems.append(f"{where}{key}: a list of words is needed")
            return ()
        if allowed is not None:
            for item in value:
                if item not in allowed:
                    self.problems.append(
                        f"{where}{key}: {item!r} is not known{did_you_mean(item, allowed)} "
                        f"({_choices(allowed)})"
                    )
        return tuple(value)

    def table(self, key: str) -> dict[str, Any]:
        """Return a table of the file; an empty one where it is missing."""
        value = self.raw.get(key, {})
        if not isinstance(value, dict):
            self.problems.append(f"[{key}]: a table is needed")
            return {}
        return value

    def positive(self, key: str, table: Mapping[str, Any], default: float) -> float:
        """Return a number of ``[model]`` above 0."""
        value = self.number(key, table)
        if value is None:
            return default
        if value <= 0:
            self.problems.append(f"model.{key} is {value:g}; a number above 0 is needed")
            return default
        return value

    def share(self, key: str, table: Mapping[str, Any], default: float) -> float:
        """Return a number of ``[model]`` from 0 to below 1."""
        value = self.number(key, table)
        if value is None:
            return default
        if not 0 <= value < 1:
            self.problems.append(f"model.{key} is {value:g}; a value from 0 to below 1 is needed")
            return default
        return value

    def model_word(
        self, table: Mapping[str, Any], key: str, allowed: Sequence[str], default: str
    ) -> str:
        """Return a controlled word of ``[model]``."""
        value = table.get(key, default)
        if value not in allowed:
            hint = did_you_mean(str(value), allowed)
            self.problems.append(
                f"model.{key} is {value!r}; choose one of {', '.join(allowed)}{hint}"
            )
            return default
        return str(value)


#: Longer lists of words are not printed in a message; the near match and the place are enough.
_MOST_CHOICES = 20


def _choices(allowed: Sequence[str]) -> str:
    """Return the allowed words, or where to read them when they are many."""
    if len(allowed) <= _MOST_CHOICES:
        return f"choose from {', '.join(sorted(allowed))}"
    return f"one of the {len(allowed)} words that the tables in data/ use"
