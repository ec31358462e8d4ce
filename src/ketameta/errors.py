"""Named errors: what a user can do wrong, said kindly. Knows nothing of the rest of the package.

Names stand here too: the nearest to a wrong one, and the public ones of a folder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


class KetametaError(Exception):
    """Base of every error this package raises on purpose; its text is meant for the user."""


class ExtractionError(KetametaError):
    """Files do not satisfy the schema or the checks.

    Attributes
    ----------
    findings : tuple
        Every problem found (``ketameta.evidence.checks.Finding``), errors first.
    """

    def __init__(self, message: str, findings: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class ImpossibleDataError(KetametaError):
    """Numbers that no trial can produce: events above n, a standard deviation of zero."""


class SpecError(KetametaError):
    """An analysis file, or the file of claims, asks for something that does not exist.

    Attributes
    ----------
    findings : tuple
        Every problem found (``ketameta.evidence.checks.Finding``), with its file and line.
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


class CallError(UsageError, TypeError):
    """An argument that does not exist, one given twice, or one that is missing."""


class ImportAccountError(KetametaError):
    """An import lost a row or made one up: a defect of the program, never of the file."""


def near_matches(word: str, choices: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the choices that look like ``word``, best first."""
    from difflib import get_close_matches

    pool = list(choices)
    lowered = {choice.lower(): choice for choice in pool}
    hits = get_close_matches(word.lower(), list(lowered), n=most, cutoff=0.6)
    if not hits and len(word) >= 3:
        starts = [choice for choice in lowered if choice.startswith(word.lower())]
        hits = starts if len(starts) <= most else []
    return [lowered[hit] for hit in hits]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean x?"`` for what a word is called here, or for the nearest choice."""
    pool = list(choices)
    known = ELSEWHERE.get(word.lower())
    hits = [known] if known in pool else near_matches(word, pool, most=1)
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
    hint = _hint(argument, value, choices) if isinstance(value, str) else ""
    shown = repr(value)
    if len(shown) > MOST_SHOWN or "\n" in shown:
        shown = f"of type {type(value).__name__}"
    raise UsageError(f"{argument} is {shown}; choose one of {listed}{hint}")


#: Characters of a wrong value that are repeated to its user.
MOST_SHOWN = 80


#: What functions and arguments are called in metafor, meta and other packages.
ELSEWHERE = {
    "rma": "random_effects", "rma.uni": "random_effects", "metagen": "random_effects",
    "escalc": "effect_sizes", "rma_mv": "multilevel", "rma_mh": "mantel_haenszel",
    "rma_peto": "peto", "rma_glmm": "binomial_normal", "leave1out": "leave_one_out",
    "cumul": "cumulative", "regtest": "egger_test", "trimfill": "trim_and_fill",
    "ranktest": "rank_test", "selmodel": "selection_model", "permutest": "permutation_test",
    "netmeta": "network_meta_analysis", "fsn": "fail_safe_n", "hc": "henmi_copas",
    "method": "tau2_method", "test": "ci_method", "label": "labels", "slab": "labels",
    "studlab": "labels", "yi": "estimate", "vi": "variance", "sei": "se", "mods": "moderators",
    **dict.fromkeys(("--subgroup", "--subgroups", "--by", "--mods", "--group"), "--moderators"),
}  # fmt: skip


#: What choices are called elsewhere: the argument that takes them and their name here.
_KNOWN_AS = {
    **dict.fromkeys(
        ("hksj", "hk", "kh", "knha", "khha", "hartungknapp", "hartungknappsidikjonkman"),
        ("ci_method", "knapp-hartung"),
    ),
    **dict.fromkeys(("adhoc", "mkh", "modifiedknapphartung"),
                    ("ci_method", "knapp-hartung-conservative")),
    **dict.fromkeys(("z", "normal", "classic"), ("ci_method", "wald")),
    **dict.fromkeys(("dersimonianlaird", "dsl"), ("tau2_method", "DL")),
    **dict.fromkeys(("paulemandel", "mp"), ("tau2_method", "PM")),
    **dict.fromkeys(("hedges", "hedgesolkin"), ("tau2_method", "HE")),
    "hunterschmidt": ("tau2_method", "HS"),
    "sidikjonkman": ("tau2_method", "SJ"),
    "maximumlikelihood": ("tau2_method", "ML"),
    "restrictedmaximumlikelihood": ("tau2_method", "REML"),
    "empiricalbayes": ("tau2_method", "EB"),
    **dict.fromkeys(("fe", "ee", "fixed", "fixedeffect", "fixedeffects", "commoneffect"),
                    ("tau2_method", "common")),
}  # fmt: skip


def _hint(asked: str, word: str, choices: Sequence[str]) -> str:
    bare = "".join(letter for letter in word.lower() if letter.isalnum())
    argument, name = _KNOWN_AS.get(bare, ("", ""))
    if name in choices:
        return f"; did you mean {name}?"
    option = asked.startswith("--")
    if not name or asked.lstrip("-").replace("-", "_") not in ("tau2_method", "ci_method"):
        return did_you_mean(word, choices)
    if name == "common":
        model = "--model common" if option else "common_effect()"
        return f"; for one common effect use {model}"
    if option:
        return f"; that is --{argument.replace('_', '-')} {name}"
    return f"; that is {argument}={name!r}"


# --- the face of a folder: its public names, each imported when it is first used ------------------

#: ``from module import ...`` of a stub, and ``own as public`` in it.
_IMPORT = re.compile(r"^from (\S+) import (\([^)]*\)|.*)$", re.MULTILINE)
_NAME = re.compile(r"(\w+) as (\w+)")


def face(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a folder.

    The names, and the modules they live in, are those that the folder's ``__init__.pyi`` imports:
    one list for the interpreter, type checkers and editors.

    Parameters
    ----------
    package : str
        Full name of the folder: ``__name__`` of its ``__init__.py``.
    """
    stub = Path(sys.modules[package].__file__ or "").with_suffix(".pyi")
    homes = {
        public: (module, own)
        for module, names in _IMPORT.findall(stub.read_text(encoding="utf-8"))
        for own, public in _NAME.findall(names)
    }

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}{did_you_mean(name, homes)}"
            )
        module, own = homes[name]
        if module == package:  # a folder of its own
            return import_module(f"{package}.{own}")
        return getattr(import_module(module), own)

    return get, lambda: sorted(homes), sorted(homes)
