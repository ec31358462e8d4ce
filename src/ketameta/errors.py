"""Named errors: what a user can do wrong, said kindly. Knows nothing of the rest of the package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class KetametaError(Exception):
    """Base of every error this package raises on purpose; its text is meant for the user."""


class ExtractionError(KetametaError):
    """Files do not satisfy the schema or the checks.

    Attributes
    ----------
    findings : tuple
        Every problem found (``ketameta.checks.Finding``), errors first.
    """

    def __init__(self, message: str, findings: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class ImpossibleDataError(KetametaError):
    """Numbers that no trial can produce: events above n, a standard deviation of zero."""


class CorrectionError(KetametaError):
    """A declared correction matched no row, or the wrong value it expected is no longer there."""


class SpecError(KetametaError):
    """An analysis file, or the file of claims, asks for something that does not exist.

    Attributes
    ----------
    findings : tuple
        Every problem found (``ketameta.checks.Finding``), with its file and line.
    """

    def __init__(self, message: str, findings: Sequence[object] = ()) -> None:
        super().__init__(message or "\n".join(str(finding) for finding in findings))
        self.findings = tuple(findings)


class NotEstimableError(KetametaError):
    """Too few studies, a singular design, or a search that did not converge."""


class ReportError(KetametaError):
    """The report's prose uses a name that no result provides."""


class UsageError(KetametaError):
    """An argument that is not one of the choices, or lists that do not fit together."""


def near_matches(word: str, choices: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the choices that look like ``word``, best first."""
    pool = list(choices)
    lowered = {choice.lower(): choice for choice in pool}
    hits = get_close_matches(word.lower(), list(lowered), n=most, cutoff=0.6)
    return [lowered[hit] for hit in hits]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean x?"`` for the nearest choice, or an empty string."""
    hits = near_matches(word, choices, most=1)
    return f"; did you mean {hits[0]}?" if hits else ""


def check_choice(argument: str, value: object, choices: Sequence[str]) -> str:
    """Return ``value`` when it is one of ``choices``; otherwise raise and list them.

    Raises
    ------
    UsageError
        Naming the argument, the value, the choices and the nearest one.
    """
    if isinstance(value, str) and value in choices:
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    raise UsageError(f"{argument} is {value!r}; choose one of {listed}{hint}")
